//! Rule files, the alerting section and promtool's unit-test files as plain data. `config` reads
//! the YAML and checks it; positions are kept so that later findings can point into the file.

use std::collections::BTreeMap;

use model::Labels;
use model::relabel::RelabelConfig;
use wire_core::http_config::HttpClientConfig;

/// A place in a file; line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourcePos {
    pub line: u32,
    pub column: u32,
}

/// One rule file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleFile {
    /// The path as it was opened; groups are identified by (path, name).
    pub path: String,
    pub groups: Vec<RuleGroupConfig>,
}

/// A list of rules evaluated together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleGroupConfig {
    pub name: String,
    /// `None`: the global evaluation interval.
    pub interval_ms: Option<i64>,
    /// `None`: the global `rule_query_offset`.
    pub query_offset_ms: Option<i64>,
    /// The most series or alerts a rule may give; 0 means no limit.
    pub limit: u64,
    /// Added to every rule of the group; a rule's own label wins.
    pub labels: BTreeMap<String, String>,
    pub rules: Vec<RuleConfig>,
    pub pos: SourcePos,
}

/// A recording or alerting rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleConfig {
    pub kind: RuleKind,
    /// The PromQL text. It has been parsed once without error.
    pub expr: String,
    /// For alerts the values are templates.
    pub labels: BTreeMap<String, String>,
    pub pos: SourcePos,
    pub expr_pos: SourcePos,
}

/// What a rule makes of its result.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleKind {
    Recording {
        /// The metric name written.
        record: String,
    },
    Alerting {
        alert: String,
        for_ms: i64,
        keep_firing_for_ms: i64,
        /// Templates by name.
        annotations: BTreeMap<String, String>,
    },
}

impl RuleConfig {
    /// The value of `record` or `alert`.
    pub fn name(&self) -> &str {
        match &self.kind {
            RuleKind::Recording { record } => record,
            RuleKind::Alerting { alert, .. } => alert,
        }
    }
}

/// The `alerting` section. `S` is the type of a service-discovery entry (`scrape::sd_config::SdConfig`),
/// a parameter because this crate does not know discovery.
#[derive(Debug, Clone)]
pub struct AlertingConfig<S> {
    /// Applied to every alert before it is queued.
    pub alert_relabel: Vec<RelabelConfig>,
    pub alertmanagers: Vec<AlertmanagerConfig<S>>,
}

impl<S> Default for AlertingConfig<S> {
    fn default() -> Self {
        Self { alert_relabel: Vec::new(), alertmanagers: Vec::new() }
    }
}

/// One set of Alertmanagers.
#[derive(Debug, Clone)]
pub struct AlertmanagerConfig<S> {
    pub sd: Vec<S>,
    pub http: HttpClientConfig,
    /// `http` or `https`.
    pub scheme: String,
    /// Put before `/api/v2/alerts`.
    pub path_prefix: String,
    pub timeout_ms: i64,
    /// Applied to the discovered Alertmanagers.
    pub relabel: Vec<RelabelConfig>,
    /// Applied to alerts on their way to this set.
    pub alert_relabel: Vec<RelabelConfig>,
}

/// A promtool unit-test file (`promtool test rules`).
#[derive(Debug, Clone, PartialEq)]
pub struct UnitTestFile {
    pub path: String,
    /// Paths or globs, already joined with the test file's directory.
    pub rule_files: Vec<String>,
    /// 1 minute unless given.
    pub evaluation_interval_ms: i64,
    /// Group names in the order they are to be evaluated; groups not named come first in file order.
    pub group_eval_order: Vec<String>,
    /// Samples are compared up to a relative error.
    pub fuzzy_compare: bool,
    pub tests: Vec<UnitTestGroup>,
}

/// One entry of `tests`.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitTestGroup {
    pub name: String,
    /// Step of the input series; the evaluation interval of the file unless given.
    pub interval_ms: i64,
    /// Unix time of the first sample, 0 unless given.
    pub start_ms: i64,
    pub input_series: Vec<UnitTestSeries>,
    pub alert_tests: Vec<AlertTest>,
    pub promql_tests: Vec<PromqlTest>,
    pub external_labels: BTreeMap<String, String>,
    pub external_url: String,
    pub pos: SourcePos,
}

/// A series in the notation of promqltest `load`.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitTestSeries {
    pub series: String,
    pub values: String,
    pub pos: SourcePos,
}

/// One entry of `alert_rule_test`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertTest {
    /// Offset from the start.
    pub eval_time_ms: i64,
    pub alertname: String,
    pub expected: Vec<ExpectedAlert>,
    pub pos: SourcePos,
}

/// A firing alert that is expected; `alertname` is implied.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExpectedAlert {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// One entry of `promql_expr_test`.
#[derive(Debug, Clone, PartialEq)]
pub struct PromqlTest {
    pub expr: String,
    /// Offset from the start.
    pub eval_time_ms: i64,
    pub expected: Vec<ExpectedSample>,
    pub pos: SourcePos,
}

/// A sample that is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedSample {
    /// A metric selector text such as `up{job="x"}`; empty means no labels.
    pub labels: String,
    pub value: f64,
    /// A native histogram in promqltest notation; empty: the sample is a float.
    pub histogram: String,
}

/// External labels and what else rules take from the `global` section.
#[derive(Debug, Clone, PartialEq)]
pub struct RulesGlobal {
    pub evaluation_interval_ms: i64,
    pub query_offset_ms: i64,
    pub external_labels: Labels,
}
