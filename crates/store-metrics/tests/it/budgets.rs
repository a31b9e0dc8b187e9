//! Whatever grows with input is charged, refused by name, and given back.

use base::{Budget, CancelToken, Charge};
use model::{Exemplar, Labels, Metadata, MetricType, SeriesBatch};
use store_metrics::{AppendError, AppendOptions, LabelScope, SampleColumns, StoreError, StoreOptions};
use vfs::FaultPlan;

use crate::bench::{Bench, NOW_MS, labels};

const EVERYTHING: LabelScope<'static> =
    LabelScope { selectors: &[], start_ms: 0, end_ms: i64::MAX, limit: 0 };

fn fleet(name: &str, n: usize) -> Vec<Labels> {
    (0..n).map(|i| labels(&[("__name__", name), (&format!("l{i}"), "x"), ("i", &i.to_string())])).collect()
}

fn rows(fleet: &[Labels], t: i64) -> Vec<(&Labels, i64, f64)> {
    fleet.iter().map(|series| (series, t, 1.0)).collect()
}

fn charged() -> (Bench, Budget) {
    let budget = Budget::new("store", 64 << 20);
    let options = StoreOptions { budget: budget.clone(), reserve_bytes: 0, ..StoreOptions::default() };
    (Bench::with(options), budget)
}

/// An exemplar and metadata whose texts are this long, for the first series of the batch.
fn decorate(batch: &mut SeriesBatch, t: i64, family: &str, text_bytes: usize) {
    let text = "x".repeat(text_bytes);
    let exemplar = Exemplar { labels: labels(&[("trace_id", &text)]), value: 1.0, t, has_t: true };
    batch.exemplars.push((0, exemplar));
    let metadata = Metadata { metric_type: MetricType::Gauge, unit: String::new(), help: text };
    batch.metadata.push((family.to_owned(), metadata));
}

/// A query within a budget: how much it found, and what it was charged.
type Ask<'a> = dyn Fn(&Budget) -> Result<(usize, Charge), StoreError> + 'a;

#[test]
fn answers_of_label_queries_are_charged_until_they_are_dropped() {
    let (bench, _) = charged();
    let all = fleet("m", 600);
    let mut batch = bench.batch(&rows(&all[..300], NOW_MS));
    decorate(&mut batch, NOW_MS, "m", 4_000);
    bench.store().append(&batch, AppendOptions::default()).unwrap();
    bench.store().cut().unwrap();
    bench.append(&rows(&all[300..], NOW_MS + 1));
    let view = bench.store().view();
    let tenant = &bench.tenant;
    let cancel = CancelToken::unbounded();
    let check = |ask: &Ask<'_>, n: usize| {
        let ample = Budget::new("query", 64 << 20);
        let (n_found, charge) = ask(&ample).unwrap();
        assert_eq!(n_found, n);
        let held = charge.bytes();
        assert!(held > 3_000 && ample.used_bytes() == held, "{held} of {}", ample.used_bytes());
        drop(charge);
        assert_eq!(ample.used_bytes(), 0, "all of it is given back");
        let scarce = Budget::new("query", held / 2);
        assert!(matches!(ask(&scarce), Err(StoreError::Budget(refused)) if refused.budget == "query"));
        assert_eq!(scarce.used_bytes(), 0);
    };
    check(
        &|budget| {
            let answer = view.label_names(tenant, &EVERYTHING, budget, &cancel)?;
            Ok((answer.values.len(), answer.charge))
        },
        602,
    );
    check(
        &|budget| {
            let answer = view.label_values(tenant, "i", &EVERYTHING, budget, &cancel)?;
            Ok((answer.values.len(), answer.charge))
        },
        600,
    );
    check(
        &|budget| {
            let answer = view.series(tenant, &EVERYTHING, budget, &cancel)?;
            Ok((answer.series.len(), answer.charge))
        },
        600,
    );
    check(
        &|budget| {
            let answer = view.query_exemplars(tenant, &[], 0, i64::MAX, budget)?;
            Ok((answer.series.len(), answer.charge))
        },
        1,
    );
    assert_eq!(view.warnings(), Vec::<String>::new(), "want of memory is no damage");
}

#[test]
fn a_batch_that_fails_leaves_no_series_behind() {
    let (bench, budget) = charged();
    let known = fleet("known", 3);
    bench.append(&rows(&known, NOW_MS));
    let before = (bench.store().stats(), budget.used_bytes(), bench.read_all());
    let fresh = fleet("fresh", 50);
    let mut batch = bench.batch(&rows(&fresh, NOW_MS));
    decorate(&mut batch, NOW_MS, "fresh", 100);
    let fails = |expected: &dyn Fn(&AppendError) -> bool| {
        let error = bench.store().append(&batch, AppendOptions::default()).unwrap_err();
        assert!(expected(&error), "{error}");
        let stats = bench.store().stats();
        assert_eq!((stats.active_series, stats.series_created), (3, 3), "{error}");
        assert_eq!((stats.live_bytes, budget.used_bytes()), (before.0.live_bytes, before.1), "{error}");
        assert_eq!(bench.store().cardinality(&bench.tenant, 10).head.n_series, 3);
        assert!(bench.metadata().is_empty() && bench.read_all() == before.2);
    };
    let used: u64 = bench.disk.files().iter().map(|(_, len)| len).sum();
    bench.disk.set_plan(FaultPlan { capacity_bytes: Some(used + 64), ..FaultPlan::default() });
    fails(&|error| matches!(error, AppendError::ReadOnly(_)));
    bench.disk.set_plan(FaultPlan::default());
    // Just enough is free for series to be let in one by one, and not for all of the batch.
    let room = budget.limit_bytes() / 10 - 2_000;
    let elsewhere = budget.charge(budget.limit_bytes() / 10 * 9 - budget.used_bytes() - 200).unwrap();
    let rest = fleet("rest", 1);
    let mut large = bench.batch(&rows(&rest, NOW_MS));
    decorate(&mut large, NOW_MS, "rest", usize::try_from(room).unwrap());
    let error = bench.store().append(&large, AppendOptions::default()).unwrap_err();
    assert!(matches!(error, AppendError::Budget(_)), "{error}");
    assert_eq!(bench.store().stats().active_series, 3);
    drop(elsewhere);
    assert_eq!(budget.used_bytes(), before.1);
    let outcome = bench.store().append(&batch, AppendOptions::default()).unwrap();
    assert_eq!((outcome.new_series, bench.store().stats().active_series), (50, 53));
    assert_eq!(bench.metadata().len(), 1);
}

#[test]
fn a_series_of_which_nothing_is_accepted_does_not_become_live() {
    let (bench, budget) = charged();
    let before = budget.used_bytes();
    let series = fleet("old", 1);
    let outcome = bench.append(&rows(&series, 0));
    assert_eq!((outcome.accepted, outcome.new_series, outcome.rejected.too_old), (0, 0, 1));
    assert_eq!((bench.store().stats().active_series, budget.used_bytes()), (0, before));
}

#[test]
fn exemplars_and_metadata_are_charged_and_given_back() {
    let (mut bench, budget) = charged();
    bench.options.limits.default.exemplars_max = 10;
    bench.open();
    let series = fleet("m", 1);
    let append = |bench: &Bench, step: i64, family: &str| {
        let t = NOW_MS + step;
        let mut batch = bench.batch(&rows(&series, t));
        decorate(&mut batch, t, family, 1_000 + usize::try_from(step).unwrap());
        bench.store().append(&batch, AppendOptions::default()).unwrap();
        bench.store().stats().live_bytes
    };
    let first = append(&bench, 0, "m");
    assert!(first > 2_000, "{first}");
    for step in 1..10 {
        append(&bench, step, "m");
    }
    let full = append(&bench, 10, "m");
    // Both are bounded by number: from here on the oldest go.
    let later = append(&bench, 11, "m");
    assert!(full > 20_000 && later.abs_diff(full) < 100, "{full} {later}");
    let another = append(&bench, 12, "n");
    assert!(another > later + 1_000, "{another}");
    bench.crash();
    assert_eq!(bench.store().stats().live_bytes, another, "replayed, they weigh the same");
    bench.store().cut().unwrap();
    let cut = bench.store().stats().live_bytes;
    assert!(cut + 10_000 < another && cut > 10_000, "the exemplars are in a part, metadata stay: {cut}");
    bench.open();
    let reopened = bench.store().stats().live_bytes;
    assert!(reopened + 2_000 > cut && reopened < cut, "from the part, without the series: {reopened}");
    bench.store = None;
    assert_eq!(budget.used_bytes(), 0);
}

/// Cuts, merges and queries, with a cache too small for what they hold: nothing is left charged when the
/// last of them is gone.
#[test]
fn everything_is_given_back() {
    let (mut bench, budget) = charged();
    bench.options.cache_bytes = 2_000;
    bench.open();
    let all = fleet("m", 200);
    for step in 0..30 {
        bench.append(&rows(&all, NOW_MS - (30 - step) * 3_600_000));
        bench.store().cut().unwrap();
    }
    while bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
    let query = budget.child("query", 64 << 20);
    let view = bench.store().view();
    let before = budget.used_bytes();
    let selected =
        view.select(&bench.tenant, &[], i64::MIN, i64::MAX, &query, &CancelToken::unbounded()).unwrap();
    let chosen = budget.used_bytes();
    let mut columns = SampleColumns::default();
    (0..selected.len()).for_each(|i| selected.read(i, &mut columns).unwrap());
    let read = budget.used_bytes();
    assert!(before < chosen && chosen < read, "{before} {chosen} {read}");
    assert!(bench.store().stats().cache_bytes <= 2_000, "what a query holds is charged out of the cache too");
    drop((selected, view));
    assert!(budget.used_bytes() < chosen);
    assert_eq!(query.used_bytes(), 0);
    bench.store = None;
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_merge_waits_for_memory_and_a_cut_does_not() {
    let (bench, budget) = charged();
    let all = fleet("m", 2_000);
    for step in 0..4 {
        bench.append(&rows(&all, NOW_MS - (4 - step) * 24 * 3_600_000));
        bench.store().cut().unwrap();
    }
    let two_days_ago = NOW_MS - 48 * 3_600_000;
    bench.append(&rows(&all, two_days_ago + 1_000));
    let expected = bench.read_all();
    let elsewhere = budget.charge(budget.limit_bytes() - budget.used_bytes() - 50_000).unwrap();
    let cut = bench.store().cut().unwrap();
    assert_eq!(cut.samples, 2_000, "it gives memory back");
    let n_parts = bench.store().stats().parts;
    let round = bench.store().maintain(&CancelToken::unbounded()).unwrap();
    assert!(round.failures.iter().any(|failure| failure.contains("memory budget \"store\"")), "{round:?}");
    assert_eq!((round.merges, bench.store().stats().parts), (0, n_parts));
    drop(elsewhere);
    let round = bench.store().maintain(&CancelToken::unbounded()).unwrap();
    assert!(round.merges > 0 && round.failures.is_empty(), "{round:?}");
    assert_eq!(bench.read_all(), expected);
}
