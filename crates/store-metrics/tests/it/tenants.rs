//! Tenants with the same series: whatever state the samples are in, each sees its own and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Budget, CancelToken, TenantId};
use model::{Exemplar, Labels, MatchOp, Matcher, Metadata, MetricType};
use store_metrics::{AppendOptions, CardinalityStats, LabelScope};

use crate::bench::{Bench, Contents, NOW_MS, labels};

const TENANTS: [&str; 3] = ["a", "anonymous", "b"];
const STEP_MS: i64 = 600_000;

/// Everything that a tenant can ask for.
#[derive(Debug, PartialEq)]
struct Seen {
    contents: Contents,
    series: Vec<Labels>,
    names: Vec<String>,
    instances: Vec<String>,
    exemplars: Vec<(Labels, Vec<Exemplar>)>,
    metadata: BTreeMap<String, Vec<Metadata>>,
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn up() -> Labels {
    labels(&[("__name__", "up"), ("instance", "same")])
}

/// A series that only this tenant has.
fn own(name: &str) -> Labels {
    labels(&[("__name__", "own"), ("instance", name), (&format!("label_{name}"), "x")])
}

fn has_instance() -> Matcher {
    Matcher::new(MatchOp::NotEqual, "instance", "").unwrap()
}

fn value(name: &str, step: i64) -> f64 {
    f64::from(name.as_bytes()[0]) * 1_000.0 + step as f64
}

fn append(bench: &mut Bench, name: &str, step: i64, expected: &mut Seen) {
    let t = NOW_MS + step * STEP_MS;
    bench.tenant = tenant(name);
    let (up, own) = (up(), own(name));
    let mut batch = bench.batch(&[(&up, t, value(name, step)), (&own, t, value(name, step))]);
    for series in [&up, &own] {
        let rows = expected.contents.entry(series.clone()).or_default();
        rows.push((t, value(name, step).to_bits()));
    }
    let trace = labels(&[("trace_id", &format!("{name}{step}"))]);
    let exemplar = Exemplar { labels: trace, value: value(name, step), t, has_t: true };
    batch.exemplars.push((0, exemplar.clone()));
    expected.exemplars[0].1.push(exemplar);
    batch.metadata.push(("up".to_owned(), metadata(name)));
    bench.store().append(&batch, AppendOptions::default()).unwrap();
}

fn metadata(name: &str) -> Metadata {
    Metadata { metric_type: MetricType::Gauge, unit: String::new(), help: format!("of {name}") }
}

fn nothing_yet(name: &str) -> Seen {
    let mut instances = vec!["same".to_owned(), name.to_owned()];
    instances.sort();
    Seen {
        contents: Contents::new(),
        series: vec![own(name), up()],
        names: vec!["__name__".to_owned(), "instance".to_owned(), format!("label_{name}")],
        instances,
        exemplars: vec![(up(), Vec::new())],
        metadata: [("up".to_owned(), vec![metadata(name)])].into(),
    }
}

fn see(bench: &mut Bench, name: &str) -> Seen {
    bench.tenant = tenant(name);
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    let view = bench.store().view();
    let scope = LabelScope { selectors: &[], start_ms: 0, end_ms: i64::MAX, limit: 0 };
    // With a selector, whose matches are remembered by part.
    let instance = [vec![has_instance()]];
    let selected = LabelScope { selectors: &instance, ..scope };
    let exemplars = view.query_exemplars(&bench.tenant, &instance, 0, i64::MAX, &budget).unwrap();
    let exemplars = exemplars.series.iter().map(|found| {
        (found.labels.clone(), found.exemplars.iter().map(|exemplar| Exemplar::clone(exemplar)).collect())
    });
    assert!(view.warnings().is_empty());
    Seen {
        contents: bench.read(&[has_instance()], i64::MIN, i64::MAX),
        series: view.series(&bench.tenant, &selected, &budget, &cancel).unwrap().series,
        names: view.label_names(&bench.tenant, &scope, &budget, &cancel).unwrap().values,
        instances: view.label_values(&bench.tenant, "instance", &selected, &budget, &cancel).unwrap().values,
        exemplars: exemplars.collect(),
        metadata: bench.metadata(),
    }
}

fn check(bench: &mut Bench, expected: &[Seen], state: &str) {
    for (name, expected) in TENANTS.iter().zip(expected) {
        assert_eq!(see(bench, name), *expected, "tenant {name}, {state}");
    }
    // Nobody is a tenant too.
    bench.tenant = tenant("nobody");
    assert!(bench.read_all().is_empty() && bench.store().parts(&bench.tenant).is_empty(), "{state}");
    assert_eq!(bench.store().cardinality(&bench.tenant, 10).head.n_series, 0);
}

#[test]
fn tenants_with_the_same_series_never_see_each_other() {
    let mut bench = Bench::new();
    bench.options.compaction.windows_ms = vec![STEP_MS * 12];
    bench.options.compaction.grace_ms = 0;
    bench.options.reserve_bytes = 0;
    bench.open();
    let mut expected: Vec<Seen> = TENANTS.iter().map(|name| nothing_yet(name)).collect();
    let round = |bench: &mut Bench, expected: &mut Vec<Seen>, step: i64| {
        for (name, expected) in TENANTS.iter().zip(expected) {
            append(bench, name, step, expected);
        }
        bench.clock.advance(Duration::from_millis(STEP_MS.unsigned_abs()));
    };
    round(&mut bench, &mut expected, 0);
    check(&mut bench, &expected, "live");
    let of_tenant =
        |bench: &Bench, name: &str| -> CardinalityStats { bench.store().cardinality(&tenant(name), 9) };
    for name in TENANTS {
        let stats = of_tenant(&bench, name);
        assert_eq!((stats.head.n_series, stats.head.n_label_pairs), (2, 5));
        let pairs: Vec<_> = stats.series_by_label_pair.iter().map(|count| count.name.as_str()).collect();
        let foreign = TENANTS.iter().filter(|other| **other != name);
        assert!(
            foreign.clone().all(|other| !pairs.contains(&format!("instance={other}").as_str())),
            "{pairs:?}"
        );
    }
    bench.crash();
    check(&mut bench, &expected, "replayed");
    for step in 1..40 {
        bench.store().cut().unwrap();
        round(&mut bench, &mut expected, step);
    }
    check(&mut bench, &expected, "cut and live");
    bench.store().cut().unwrap();
    check(&mut bench, &expected, "cut");
    while bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
    for name in TENANTS {
        assert!(bench.store().parts(&tenant(name)).iter().any(|part| part.level == 1), "compacted");
    }
    check(&mut bench, &expected, "compacted");

    // Each part lies below the name of its tenant, and there is none besides.
    for name in TENANTS {
        let dir = Bench::dir().join("parts/metrics").join(name);
        let n_files = bench.disk.files().iter().filter(|(path, _)| path.starts_with(&dir)).count();
        assert_eq!(n_files, bench.store().parts(&tenant(name)).len());
    }

    // What one deletes is hidden from it alone, and so it stays.
    let everything = [has_instance()];
    bench.store().delete_series(&tenant("a"), &everything, i64::MIN, i64::MAX).unwrap();
    let others = &expected[1..];
    for state in ["hidden", "rewritten", "reopened"] {
        match state {
            "rewritten" => drop(bench.store().clean_tombstones().unwrap()),
            "reopened" => drop(bench.crash()),
            _ => {}
        }
        for (name, expected) in TENANTS[1..].iter().zip(others) {
            assert_eq!(see(&mut bench, name), *expected, "tenant {name}, deletion of another's {state}");
        }
        assert!(see(&mut bench, "a").contents.is_empty(), "{state}");
    }
}
