//! Rule unit tests in promtool's format: load series, evaluate rule groups step by step, compare
//! alerts and query results with what is expected.
//!
//! Reading the YAML is `config`'s duty; printing the report is the command line's.

mod compare;
mod input;
mod junit;
mod report;
pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{Clock, ManualClock};
use model::Labels;
use ql_promql::ast::Expr;
use ql_promql::parser::{ParserOptions, parse_expr};
use ql_promql::query::EngineOptions;

use crate::alert::AlertState;
use crate::config::{PromqlTest, RuleConfig, RuleFile, RulesGlobal, UnitTestFile, UnitTestGroup};
use crate::group::{Equipment, Group};
use crate::query::{OneHand, RuleQuery as _};
use crate::ruler::{RuleManager, RuleOptions};
use compare::{alerts_agree, samples_agree};
use input::Inputs;
use store::TestStore;

pub use junit::junit_xml;
pub use report::{ShownAlert, ShownSample, ShownValue, TestGroupReport, UnitTestFailure, UnitTestReport};

/// How the tests are run.
#[derive(Debug, Clone, Default)]
pub struct UnitTestOptions {
    pub parser: ParserOptions,
    /// Features of the engine; the subquery step is set to the file's evaluation interval.
    pub engine: EngineOptions,
    /// Parts of names of the test groups to run; empty: all.
    pub only: Vec<String>,
}

/// The most evaluations one test group may ask for.
const STEPS_MAX: i64 = 10_000_000;

/// Runs the tests of one file against its rule files, which the caller has read. With names in
/// `options.only`, only test groups whose name contains one of them.
pub fn run(file: &UnitTestFile, rules: &[RuleFile], options: &UnitTestOptions) -> UnitTestReport {
    let mut report = UnitTestReport { file: file.path.clone(), error: None, groups: Vec::new() };
    let mut order = BTreeMap::new();
    for (idx, name) in file.group_eval_order.iter().enumerate() {
        if order.insert(name.as_str(), idx).is_some() {
            report.error = Some(format!("group name repeated in evaluation order: {name}"));
            return report;
        }
    }
    for (idx, test) in file.tests.iter().enumerate() {
        let wanted = options.only.is_empty() || options.only.iter().any(|part| test.name.contains(part));
        if !wanted {
            continue;
        }
        let name = if test.name.is_empty() { format!("unnamed#{idx}") } else { test.name.clone() };
        let failures = match Run::new(file, test, rules, &order, options) {
            Ok(run) => run.run(),
            Err(failure) => vec![failure],
        };
        report.groups.push(TestGroupReport { name, failures });
    }
    report
}

/// One test group on its way.
struct Run<'a> {
    test: &'a UnitTestGroup,
    step_ms: i64,
    fuzzy: bool,
    parser: &'a ParserOptions,
    store: TestStore,
    inputs: Inputs,
    groups: Vec<Arc<Group>>,
    clock: ManualClock,
    failures: Vec<UnitTestFailure>,
}

impl<'a> Run<'a> {
    fn new(
        file: &UnitTestFile,
        test: &'a UnitTestGroup,
        rules: &[RuleFile],
        order: &BTreeMap<&str, usize>,
        options: &'a UnitTestOptions,
    ) -> Result<Self, UnitTestFailure> {
        if let Some(nameless) = test.alert_tests.iter().find(|test| test.alertname.is_empty()) {
            return Err(UnitTestFailure::NoAlertName { eval_time_ms: nameless.eval_time_ms });
        }
        let step_ms = file.evaluation_interval_ms.max(1);
        let engine = EngineOptions { no_step_subquery_interval_ms: step_ms, ..options.engine.clone() };
        let manager = RuleManager::new(RuleOptions { parser: options.parser, ..RuleOptions::default() });
        let global = RulesGlobal {
            evaluation_interval_ms: test.interval_ms,
            query_offset_ms: 0,
            external_labels: Labels::from_pairs(&test.external_labels),
        };
        manager
            .update(rules, &global, &test.external_url, test.start_ms)
            .map_err(|error| UnitTestFailure::Setup(error.to_string()))?;
        let mut groups = manager.group_handles();
        // The sort is stable: groups without a place keep the order of files and names.
        groups.sort_by_key(|group| order.get(group.key().name.as_str()).map_or(0, |idx| idx + 1));
        for alerting in groups.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.alerting()) {
            alerting.set_restored();
        }
        Ok(Self {
            test,
            step_ms,
            fuzzy: file.fuzzy_compare,
            parser: &options.parser,
            store: TestStore::new(engine, options.parser),
            inputs: Inputs::parse(test)?,
            groups,
            clock: ManualClock::new(test.start_ms),
            failures: Vec::new(),
        })
    }

    fn end_ms(&self) -> i64 {
        let alerts = self.test.alert_tests.iter().map(|test| test.eval_time_ms);
        let queries = self.test.promql_tests.iter().map(|test| test.eval_time_ms);
        self.test.start_ms + alerts.chain(queries).max().unwrap_or(0)
    }

    fn run(mut self) -> Vec<UnitTestFailure> {
        let (start_ms, end_ms) = (self.test.start_ms, self.end_ms());
        if (end_ms - start_ms) / self.step_ms > STEPS_MAX {
            self.failures.push(UnitTestFailure::Setup(format!("more than {STEPS_MAX} evaluations")));
            return self.failures;
        }
        let mut t_ms = start_ms;
        while t_ms <= end_ms {
            self.inputs.load_until(t_ms, &self.store);
            if !self.evaluate(t_ms) {
                return self.failures;
            }
            self.check_alerts(t_ms - start_ms);
            t_ms += self.step_ms;
        }
        self.inputs.load_until(i64::MAX, &self.store);
        for test in &self.test.promql_tests {
            if let Err(failure) = self.check_query(test) {
                self.failures.push(failure);
            }
        }
        self.failures
    }

    /// Evaluates all groups; false if a rule failed, which ends the test.
    fn evaluate(&mut self, t_ms: i64) -> bool {
        self.clock.set_ms(t_ms);
        let equipment = Equipment {
            query: &self.store,
            sink: &self.store,
            hands: &OneHand,
            clock: &self.clock as &dyn Clock,
        };
        let mut failed = false;
        for group in &self.groups {
            for (rule, error) in group.evaluate(t_ms, equipment).failures {
                failed = true;
                self.failures.push(UnitTestFailure::Rule { rule, t_ms, error });
            }
        }
        !failed
    }

    /// Compares the alerts of all tests that fall into the step beginning `offset_ms` after the start.
    fn check_alerts(&mut self, offset_ms: i64) {
        let due = offset_ms..offset_ms + self.step_ms;
        for test in self.test.alert_tests.iter().filter(|test| due.contains(&test.eval_time_ms)) {
            let mut got: Vec<ShownAlert> = Vec::new();
            for rule in self.groups.iter().flat_map(|group| &group.rules) {
                if rule.alerting().is_none() || rule.name != test.alertname {
                    continue;
                }
                let firing = rule.active_alerts().into_iter().filter(|a| a.state == AlertState::Firing);
                got.extend(firing.map(|a| ShownAlert { labels: a.labels, annotations: a.annotations }));
            }
            let expected = test.expected.iter().map(|alert| {
                let mut labels = alert.labels.clone();
                labels.insert("alertname".to_owned(), test.alertname.clone());
                let labels = Labels::from_pairs(labels);
                ShownAlert { labels, annotations: alert.annotations.clone() }
            });
            let mut expected: Vec<ShownAlert> = expected.collect();
            got.sort();
            expected.sort();
            if !alerts_agree(&expected, &got) {
                self.failures.push(UnitTestFailure::Alerts {
                    alertname: test.alertname.clone(),
                    eval_time_ms: test.eval_time_ms,
                    expected,
                    got,
                });
            }
        }
    }

    fn check_query(&self, test: &PromqlTest) -> Result<(), UnitTestFailure> {
        let failed = |error: String| UnitTestFailure::Query {
            expr: test.expr.clone(),
            eval_time_ms: test.eval_time_ms,
            error,
        };
        let expr: Expr = parse_expr(&test.expr, self.parser).map_err(|error| failed(error.to_string()))?;
        let t_ms = self.test.start_ms + test.eval_time_ms;
        let vector = self.store.instant(&expr, &test.expr, t_ms).map_err(|error| failed(error.text))?;
        let mut got: Vec<ShownSample> = vector.into_iter().map(ShownSample::from).collect();
        let expected: Result<Vec<ShownSample>, String> = test.expected.iter().map(input::expected).collect();
        let mut expected = expected.map_err(failed)?;
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        if samples_agree(&expected, &got, self.fuzzy) {
            return Ok(());
        }
        Err(UnitTestFailure::Samples {
            expr: test.expr.clone(),
            eval_time_ms: test.eval_time_ms,
            expected,
            got,
        })
    }
}

/// Names of alerts that tests ask for and no rule defines: most likely a slip of the pen.
pub fn unknown_alert_names(file: &UnitTestFile, rules: &[RuleFile]) -> Vec<String> {
    let defined: BTreeSet<&str> =
        rules.iter().flat_map(|f| &f.groups).flat_map(|g| &g.rules).map(RuleConfig::name).collect();
    let asked = file.tests.iter().flat_map(|test| &test.alert_tests).map(|test| test.alertname.as_str());
    let unknown: BTreeSet<&str> = asked.filter(|name| !defined.contains(name)).collect();
    unknown.into_iter().map(str::to_owned).collect()
}
