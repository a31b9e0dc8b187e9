//! Checks for the command line: everything wrong with a set of files, with positions, and the exit
//! status that scripts know from promtool (0 good, 1 errors, 3 lint findings that are fatal).

use rules::config::{RuleFile, SourcePos};
use scrape::sd_config::SdConfig;
use wire_core::http_config::{HttpClientConfig, PemSource, SecretSource};

use crate::error::{ConfigError, Problem};
use crate::prometheus::{Environment, Mode, PrometheusConfig};
use crate::rule_files::{RuleFileOptions, duplicate_rules, parse_rule_file};
use crate::sextant::SextantConfig;
use crate::target_groups::parse_target_file;
use crate::web::WebConfig;

/// What the checks may look at. Errors are texts for people.
pub trait Files {
    fn read(&self, path: &str) -> Result<String, String>;
    /// Existing files whose path matches, sorted. The last element may hold `*`, `?`, `[…]`.
    fn glob(&self, pattern: &str) -> Result<Vec<String>, String>;
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file would be refused.
    Error,
    /// A lint was asked for and found something.
    Lint,
    /// Worth knowing.
    Warning,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub path: String,
    pub pos: Option<SourcePos>,
    pub message: String,
}

impl std::fmt::Display for Finding {
    /// `path:line:column: message`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pos {
            Some(pos) => write!(f, "{}:{}:{}: {}", self.path, pos.line, pos.column, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// What came out of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    pub findings: Vec<Finding>,
    /// What was good, in upstream's words: `SUCCESS: 5 rules found`.
    pub successes: Vec<String>,
}

impl CheckReport {
    /// 0, or 1 with an error, or 3 with lint findings that are to be fatal.
    pub fn exit_code(&self, lint_fatal: bool) -> u8 {
        let any = |severity| self.findings.iter().any(|finding| finding.severity == severity);
        match (any(Severity::Error), any(Severity::Lint) && lint_fatal) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 0,
        }
    }

    fn add(&mut self, severity: Severity, path: &str, pos: Option<SourcePos>, message: String) {
        self.findings.push(Finding { severity, path: path.to_owned(), pos, message });
    }

    fn refuse(&mut self, err: &ConfigError) {
        for Problem { pos, message } in &err.problems {
            self.add(Severity::Error, &err.file, *pos, message.clone());
        }
    }
}

/// Which lints run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lints {
    /// Rules that give the same series.
    pub duplicate_rules: bool,
    /// Jobs whose interval reaches this look stale between scrapes; `None`: not checked.
    pub too_long_scrape_interval_ms: Option<i64>,
}

impl Lints {
    /// Reads promtool's `--lint` (`all`, `none`, `duplicate-rules`, `too-long-scrape-interval`,
    /// comma separated). Unknown words are given back.
    pub fn parse(text: &str, lookback_delta_ms: i64) -> (Self, Vec<String>) {
        let mut lints = Self::default();
        let mut unknown = Vec::new();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word {
                "all" => {
                    lints.duplicate_rules = true;
                    lints.too_long_scrape_interval_ms = Some(lookback_delta_ms);
                }
                "duplicate-rules" => lints.duplicate_rules = true,
                "too-long-scrape-interval" => lints.too_long_scrape_interval_ms = Some(lookback_delta_ms),
                "none" => return (Self::default(), unknown),
                _ => unknown.push(word.to_owned()),
            }
        }
        (lints, unknown)
    }
}

/// How `check_config` looks at a file.
#[derive(Debug, Clone, Copy)]
pub struct ConfigCheck {
    pub mode: Mode,
    /// Opens no other file.
    pub syntax_only: bool,
    pub lints: Lints,
    pub rules: RuleFileOptions,
}

/// Checks a `prometheus.yml` and, unless told otherwise, every file it names.
pub fn check_config(
    path: &str,
    files: &dyn Files,
    environment: Environment<'_>,
    how: &ConfigCheck,
) -> CheckReport {
    let mut report = CheckReport::default();
    let text = match files.read(path) {
        Ok(text) => text,
        Err(err) => {
            report.add(Severity::Error, path, None, err);
            return report;
        }
    };
    let mut config = match PrometheusConfig::parse(&text, path, environment, how.mode) {
        Ok(config) => config,
        Err(err) => {
            report.refuse(&err);
            return report;
        }
    };
    for Problem { pos, message } in &config.warnings {
        report.add(Severity::Warning, path, *pos, message.clone());
    }
    if !how.syntax_only {
        add_scrape_files(&mut config, path, files, &mut report);
        check_named_files(&config, path, files, &mut report);
        let rule_paths = rule_paths(&config, path, files, &mut report);
        if !rule_paths.is_empty() {
            report.successes.push(format!("{} rule files found", rule_paths.len()));
        }
        check_rule_paths(&rule_paths, files, how, &mut report);
    }
    if !report.findings.iter().any(|finding| finding.severity == Severity::Error) {
        report.successes.push(format!("{path} is valid prometheus config file syntax"));
    }
    lint_intervals(&config, path, how.lints, &mut report);
    report
}

fn lint_intervals(config: &PrometheusConfig, path: &str, lints: Lints, report: &mut CheckReport) {
    let Some(limit_ms) = lints.too_long_scrape_interval_ms else { return };
    for job in config.scrape_configs.iter().filter(|job| job.interval_ms >= limit_ms) {
        let message = format!(
            "too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
            job.job_name,
            base::duration::format_ms(job.interval_ms)
        );
        report.add(Severity::Lint, path, None, message);
    }
}

fn add_scrape_files(config: &mut PrometheusConfig, path: &str, files: &dyn Files, report: &mut CheckReport) {
    for pattern in config.scrape_config_files.clone() {
        match files.glob(&pattern) {
            Err(err) => report.add(Severity::Error, path, None, err),
            Ok(found) => {
                for file in found {
                    match files.read(&file) {
                        Err(err) => report.add(Severity::Error, &file, None, err),
                        Ok(text) => {
                            if let Err(err) = config.add_scrape_file(&text, &file) {
                                report.refuse(&err);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Credentials, certificates and discovery files that jobs and Alertmanager sets name.
fn check_named_files(config: &PrometheusConfig, path: &str, files: &dyn Files, report: &mut CheckReport) {
    for job in &config.scrape_configs {
        check_client_files(&job.http, path, files, report);
        check_discovery_files(&job.sd, &format!("scrape job {:?}", job.job_name), path, files, report);
    }
    for alertmanager in &config.alerting.alertmanagers {
        check_client_files(&alertmanager.http, path, files, report);
        check_discovery_files(&alertmanager.sd, "alertmanager config", path, files, report);
    }
}

fn check_client_files(http: &HttpClientConfig, path: &str, files: &dyn Files, report: &mut CheckReport) {
    let pem = |source: &PemSource| match source {
        PemSource::File(file) => Some(file.clone()),
        _ => None,
    };
    let credentials =
        http.authorization.as_ref().and_then(|authorization| match &authorization.credentials {
            SecretSource::File(file) => Some(file.clone()),
            _ => None,
        });
    let named = [
        ("authorization credentials or bearer token file", credentials),
        ("client cert file", pem(&http.tls.certificate)),
        ("client key file", pem(&http.tls.key)),
        ("CA file", pem(&http.tls.ca)),
    ];
    for (what, file) in named {
        if let Some(file) = file
            && let Err(err) = files.read(&file)
        {
            report.add(Severity::Error, path, None, format!("error checking {what} {file:?}: {err}"));
        }
    }
}

fn check_discovery_files(
    configs: &[SdConfig],
    owner: &str,
    path: &str,
    files: &dyn Files,
    report: &mut CheckReport,
) {
    for sd in configs {
        let SdConfig::File(file_sd) = sd else { continue };
        for pattern in &file_sd.files {
            let found = files.glob(pattern).unwrap_or_default();
            if found.is_empty() {
                let message = format!("file {pattern:?} for file_sd in {owner} does not exist");
                report.add(Severity::Warning, path, None, message);
            }
            for file in found {
                match files.read(&file) {
                    Err(err) => report.add(Severity::Error, &file, None, err),
                    Ok(text) => {
                        if let Err(err) = parse_target_file(&text, &file) {
                            report.refuse(&err);
                        }
                    }
                }
            }
        }
    }
}

/// The rule files a configuration names. A name without a star must exist.
fn rule_paths(
    config: &PrometheusConfig,
    path: &str,
    files: &dyn Files,
    report: &mut CheckReport,
) -> Vec<String> {
    let mut paths = Vec::new();
    for pattern in &config.rule_files {
        match files.glob(pattern) {
            Err(err) => report.add(Severity::Error, path, None, err),
            Ok(found) if found.is_empty() && !pattern.contains('*') => {
                let message = format!("{pattern:?} does not point to an existing file");
                report.add(Severity::Error, path, None, message);
            }
            Ok(found) => paths.extend(found),
        }
    }
    paths
}

/// Checks rule files by themselves.
pub fn check_rules(paths: &[String], files: &dyn Files, how: &ConfigCheck) -> CheckReport {
    let mut report = CheckReport::default();
    check_rule_paths(paths, files, how, &mut report);
    report
}

fn check_rule_paths(paths: &[String], files: &dyn Files, how: &ConfigCheck, report: &mut CheckReport) {
    for path in paths {
        let loaded = files.read(path).map(|text| parse_rule_file(&text, path, &how.rules));
        match loaded {
            Err(err) => report.add(Severity::Error, path, None, err),
            Ok(Err(err)) => report.refuse(&err),
            Ok(Ok(file)) => report_rule_file(&file, how.lints, report),
        }
    }
}

fn report_rule_file(file: &RuleFile, lints: Lints, report: &mut CheckReport) {
    let duplicates =
        if lints.duplicate_rules { duplicate_rules(std::slice::from_ref(file)) } else { Vec::new() };
    for rule in &duplicates {
        let labels: Vec<String> =
            rule.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let message = format!(
            "duplicate rule. Metric: {} Label(s): {} Might cause inconsistency while recording expressions",
            rule.metric,
            labels.join(", ")
        );
        report.add(Severity::Lint, &file.path, Some(rule.pos), message);
    }
    if duplicates.is_empty() {
        let count: usize = file.groups.iter().map(|group| group.rules.len()).sum();
        report.successes.push(format!("{count} rules found"));
    }
}

/// Checks a web.config file and that the files it names can be read.
pub fn check_web_config(path: &str, files: &dyn Files) -> CheckReport {
    let mut report = CheckReport::default();
    match files.read(path).map(|text| WebConfig::parse(&text, path)) {
        Err(err) => report.add(Severity::Error, path, None, err),
        Ok(Err(err)) => report.refuse(&err),
        Ok(Ok(web)) => {
            for file in web.files() {
                if let Err(err) = files.read(file) {
                    report.add(Severity::Error, path, None, format!("failed to read {file}: {err}"));
                }
            }
            if report.findings.is_empty() {
                report.successes.push(format!("{path} SUCCESS"));
            }
        }
    }
    report
}

/// Checks a `sextant.yml` and the `prometheus.yml` it names.
pub fn check_sextant(
    path: &str,
    files: &dyn Files,
    environment: Environment<'_>,
    how: &ConfigCheck,
) -> CheckReport {
    let mut report = CheckReport::default();
    match files.read(path).map(|text| SextantConfig::parse(&text, path)) {
        Err(err) => report.add(Severity::Error, path, None, err),
        Ok(Err(err)) => report.refuse(&err),
        Ok(Ok(config)) => {
            for Problem { pos, message } in &config.warnings {
                report.add(Severity::Warning, path, *pos, message.clone());
            }
            for listener in config.listeners.iter().filter(|listener| !listener.web_config.is_empty()) {
                let web = check_web_config(&listener.web_config, files);
                report.findings.extend(web.findings);
            }
            if let Some(prometheus) = &config.prometheus {
                let inner = check_config(prometheus, files, environment, how);
                report.findings.extend(inner.findings);
                report.successes.extend(inner.successes);
            }
            if !report.findings.iter().any(|finding| finding.severity == Severity::Error) {
                report.successes.push(format!("{path} is valid"));
            }
        }
    }
    report
}
