//! One pass over everything the store does, in the order in which a user meets it.

use std::sync::Arc;

use base::{Budget, CancelToken, PerTenant, TenantId};
use model::histogram::Span;
use model::{Exemplar, FloatHistogram, HistogramSample, MatchOp, Matcher, Metadata, MetricType};
use store_metrics::{
    AppendOptions, AppendOutcome, BatchId, LabelScope, Limits, LiveSamples, RejectReason, SampleColumns,
    StoreOptions,
};

use crate::bench::{Bench, NOW_MS, labels};

#[test]
fn samples_are_found_live_in_parts_and_after_restarts() {
    let mut bench = Bench::new();
    let up = labels(&[("__name__", "up"), ("job", "node")]);
    let down = labels(&[("__name__", "down"), ("job", "node")]);
    let outcome = bench.append(&[(&up, NOW_MS - 2_000, 1.0), (&down, NOW_MS - 2_000, 0.5)]);
    assert_eq!((outcome.accepted, outcome.new_series), (2, 2));
    let first = bench.read_all();
    assert_eq!(first[&up], [(NOW_MS - 2_000, 1f64.to_bits())]);

    let cut = bench.store().cut().unwrap();
    assert_eq!((cut.parts, cut.series, cut.samples), (1, 2, 2));
    assert_eq!(bench.read_all(), first, "in a part");

    bench.append(&[(&up, NOW_MS - 1_000, 2.0)]);
    let both = bench.read_all();
    assert_eq!(both[&up].len(), 2, "part and live");
    let report = bench.crash();
    assert_eq!((report.parts, report.journal_samples, report.problems.len()), (1, 1, 0));
    assert_eq!(bench.read_all(), both, "after power loss");

    bench.store().close().unwrap();
    let report = bench.open();
    assert_eq!((report.parts, report.journal_samples), (2, 0), "closing cuts");
    assert_eq!(bench.read_all(), both);
    assert_eq!(bench.read(&[], NOW_MS - 1_000, NOW_MS)[&up], [(NOW_MS - 1_000, 2f64.to_bits())]);
}

#[test]
fn a_view_keeps_what_it_sees_while_the_store_moves_on() {
    let bench = Bench::new();
    let up = labels(&[("__name__", "up")]);
    bench.append(&[(&up, NOW_MS - 3_000, 1.0)]);
    let view = bench.store().view();
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    let selected = view.select(&bench.tenant, &[], 0, NOW_MS, &budget, &cancel).unwrap();
    bench.store().cut().unwrap();
    bench.append(&[(&up, NOW_MS - 2_000, 2.0)]);
    bench.store().cut().unwrap();
    bench.append(&[(&up, NOW_MS - 1_000, 3.0)]);
    let mut columns = SampleColumns::default();
    selected.read(0, &mut columns).unwrap();
    assert_eq!(columns.float_ts.first(), Some(&(NOW_MS - 3_000)), "cleared only after the view is gone");
    assert_eq!(bench.read_all()[&up].len(), 3, "and new views see each sample once");
}

#[test]
fn samples_are_refused_for_counted_reasons() {
    let mut bench = Bench::new();
    bench.options.limits.default.active_series_max = 1;
    bench.open();
    let up = labels(&[("__name__", "up")]);
    let other = labels(&[("__name__", "other")]);
    let day_ms = 24 * 3_600_000;
    bench.append(&[(&up, NOW_MS, 1.0)]);
    let outcome = bench.append(&[
        (&up, NOW_MS, 1.0),
        (&up, NOW_MS, 2.0),
        (&up, NOW_MS + day_ms, 1.0),
        (&up, NOW_MS - 16 * day_ms, 1.0),
        (&up, NOW_MS - day_ms, 7.0),
        (&other, NOW_MS, 1.0),
    ]);
    let rejected = outcome.rejected;
    assert_eq!(outcome.accepted, 2, "an equal repetition and a late sample");
    assert_eq!(
        (rejected.duplicate, rejected.out_of_bounds, rejected.too_old, rejected.series_limit),
        (1, 1, 1, 1)
    );
    assert_eq!(outcome.first_rejected, Some((0, NOW_MS, RejectReason::Duplicate)));
    assert_eq!(bench.read_all()[&up], [(NOW_MS - day_ms, 7f64.to_bits()), (NOW_MS, 1f64.to_bits())]);
    let options = AppendOptions { out_of_order_window_ms: Some(1_000), ..AppendOptions::default() };
    let outcome = bench.store().append(&bench.batch(&[(&up, NOW_MS - 5_000, 1.0)]), options).unwrap();
    assert_eq!((outcome.accepted, outcome.rejected.out_of_order), (0, 1));
    let stats = bench.store().stats();
    assert_eq!((stats.samples_appended, stats.rejected.total(), stats.active_series), (3, 5, 1));
}

#[test]
fn a_batch_is_applied_once() {
    let mut bench = Bench::new();
    let up = labels(&[("__name__", "up")]);
    let id = BatchId { writer: 1, epoch: 2, sequence: 3 };
    let options = AppendOptions { batch: Some(id), ..AppendOptions::default() };
    let batch = bench.batch(&[(&up, NOW_MS, 1.0)]);
    assert!(!bench.store().append(&batch, options).unwrap().repeated);
    assert!(bench.store().append(&batch, options).unwrap().repeated);
    bench.crash();
    assert!(bench.store().append(&batch, options).unwrap().repeated, "the journal knows");
    assert_eq!(bench.read_all()[&up].len(), 1);
    // Cuts trim the journal, and another tenant's writers are its own.
    for _ in 0..2 {
        bench.append(&[(&up, NOW_MS + 1, 1.0)]);
        bench.store().cut().unwrap();
    }
    assert!(!bench.store().wants_cut(), "there is nothing new to cut");
    bench.crash();
    assert!(bench.store().append(&batch, options).unwrap().repeated, "the journal still knows");
    let mut other = batch.clone();
    other.tenant = TenantId::new("b").unwrap();
    assert!(!bench.store().append(&other, options).unwrap().repeated);
    // Nothing else changes when a batch comes again: not even what equal samples would not hide.
    let next = AppendOptions { batch: Some(BatchId { sequence: 4, ..id }), ..AppendOptions::default() };
    let mut batch = bench.batch(&[(&up, NOW_MS + 2, 1.0)]);
    let traced = labels(&[("trace_id", "t")]);
    batch.exemplars.push((0, Exemplar { labels: traced, value: 1.0, t: NOW_MS + 2, has_t: true }));
    assert_eq!(bench.store().append(&batch, next).unwrap().accepted_exemplars, 1);
    assert_eq!(
        bench.store().append(&batch, next).unwrap(),
        AppendOutcome { repeated: true, ..AppendOutcome::default() }
    );
    assert_eq!(bench.store().stats().exemplars_appended, 1);
}

#[test]
fn a_batch_whose_sender_is_to_come_back_is_not_applied() {
    let limits = Limits { active_series_max: 1, ..Limits::default() };
    let bench = Bench::with(StoreOptions { limits: PerTenant::all(limits), ..StoreOptions::default() });
    let (a, b) = (labels(&[("__name__", "a")]), labels(&[("__name__", "b")]));
    let id = BatchId { writer: 1, epoch: 1, sequence: 1 };
    let options = AppendOptions { batch: Some(id), ..AppendOptions::default() };
    let batch = bench.batch(&[(&a, NOW_MS, 1.0), (&b, NOW_MS, 1.0)]);
    for _ in 0..2 {
        let outcome = bench.store().append(&batch, options).unwrap();
        assert_eq!((outcome.repeated, outcome.accepted, outcome.rejected.series_limit), (false, 1, 1));
    }
    // One that was refused for good is done with.
    let stale = bench.batch(&[(&a, NOW_MS, 2.0)]);
    assert_eq!(bench.store().append(&stale, options).unwrap().rejected.duplicate, 1);
    assert!(bench.store().append(&stale, options).unwrap().repeated);
}

fn histogram(count: f64) -> FloatHistogram {
    FloatHistogram {
        schema: 0,
        count,
        sum: count * 2.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![count - 1.0, 1.0],
        ..FloatHistogram::default()
    }
}

#[test]
fn histograms_start_times_exemplars_and_metadata_are_kept() {
    let mut bench = Bench::new();
    let rpc = labels(&[("__name__", "rpc"), ("job", "a")]);
    let mut batch = bench.batch(&[(&rpc, NOW_MS - 5_000, 1.0)]);
    batch.floats[0].st = 77;
    for (i, count) in [(4, 5.0), (3, 6.0)] {
        let h = Arc::new(histogram(count));
        batch.histograms.push(HistogramSample { series_idx: 0, st: i, t: NOW_MS - i * 1_000, h });
    }
    let trace = Exemplar { labels: labels(&[("trace_id", "x")]), value: 2.0, t: NOW_MS - 4_000, has_t: true };
    batch.exemplars.push((0, trace.clone()));
    let help = Metadata { metric_type: MetricType::Histogram, unit: String::new(), help: "h".to_owned() };
    batch.metadata.push(("rpc".to_owned(), help.clone()));
    let outcome = bench.store().append(&batch, AppendOptions::default()).unwrap();
    assert_eq!((outcome.accepted, outcome.accepted_exemplars), (3, 1));

    for stage in ["live", "replayed", "in a part", "reopened"] {
        match stage {
            "replayed" => drop(bench.crash()),
            "in a part" => drop(bench.store().cut().unwrap()),
            "reopened" => drop(bench.open()),
            _ => {}
        }
        let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
        let view = bench.store().view();
        let selected = view.select(&bench.tenant, &[], 0, NOW_MS, &budget, &cancel).unwrap();
        let mut columns = SampleColumns::default();
        selected.read(0, &mut columns).unwrap();
        assert_eq!((&columns.float_st, &columns.histogram_st), (&vec![77], &vec![4, 3]), "{stage}");
        let counts: Vec<f64> = columns.histograms.iter().map(|h| h.count).collect();
        assert_eq!(counts, [5.0, 6.0], "{stage}");
        assert_eq!(*columns.histograms[0], histogram(5.0), "{stage}");
        let found =
            view.query_exemplars(&bench.tenant, &[vec![Matcher::equal("job", "a")]], 0, NOW_MS, &budget);
        let found = found.unwrap().series;
        assert_eq!((found.len(), &*found[0].exemplars[0]), (1, &trace), "{stage}");
        assert_eq!(bench.metadata()["rpc"], std::slice::from_ref(&help), "{stage}");
    }
}

#[test]
fn label_queries_see_live_series_and_parts() {
    let bench = Bench::new();
    let a = labels(&[("__name__", "m"), ("job", "a"), ("zone", "1")]);
    let b = labels(&[("__name__", "m"), ("job", "b")]);
    let c = labels(&[("__name__", "n"), ("job", "c"), ("rack", "9")]);
    bench.append(&[(&a, NOW_MS - 10_000, 1.0), (&b, NOW_MS - 10_000, 1.0)]);
    bench.store().cut().unwrap();
    bench.append(&[(&b, NOW_MS, 2.0), (&c, NOW_MS, 2.0)]);
    let view = bench.store().view();
    let m = [vec![Matcher::equal("__name__", "m")]];
    let scope = |selectors, start_ms, limit| LabelScope { selectors, start_ms, end_ms: NOW_MS, limit };
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    let names = |scope| view.label_names(&bench.tenant, &scope, &budget, &cancel).unwrap();
    let values = |name, scope| view.label_values(&bench.tenant, name, &scope, &budget, &cancel).unwrap();
    assert_eq!(names(scope(&[], 0, 0)).values, ["__name__", "job", "rack", "zone"]);
    assert_eq!(names(scope(&m, 0, 0)).values, ["__name__", "job", "zone"]);
    assert_eq!(values("job", scope(&[], 0, 0)).values, ["a", "b", "c"]);
    assert_eq!(values("job", scope(&m, 0, 0)).values, ["a", "b"]);
    let limited = values("job", scope(&[], 0, 2));
    assert_eq!((limited.values, limited.truncated), (vec!["a".to_owned(), "b".to_owned()], true));
    assert_eq!(values("nothing", scope(&[], 0, 0)).values, [""; 0]);
    let series = |scope| view.series(&bench.tenant, &scope, &budget, &cancel).unwrap();
    assert_eq!(series(scope(&m, 0, 0)).series, [a.clone(), b.clone()]);
    assert_eq!(series(scope(&m, NOW_MS - 1_000, 0)).series, std::slice::from_ref(&b), "time bounds");
    let two = [m[0].clone(), vec![Matcher::new(MatchOp::Regex, "job", "b|c").unwrap()]];
    assert_eq!(series(scope(&two, 0, 0)).series, [a, b, c]);
    let cardinality = bench.store().cardinality(&bench.tenant, 10);
    assert_eq!(cardinality.series_by_metric_name[0].name, "m");
    assert_eq!(cardinality.values_by_label_name[0].name, "job");
    assert_eq!((cardinality.head.n_series, cardinality.series_by_label_pair[0].value), (3, 2));
}

#[test]
fn deleted_samples_are_hidden_at_once_and_their_space_comes_back() {
    let mut bench = Bench::new();
    let up = labels(&[("__name__", "up"), ("i", "1")]);
    let gone = labels(&[("__name__", "gone"), ("i", "1")]);
    let rows: Vec<_> = (0..200i32)
        .flat_map(|i| {
            let t = NOW_MS - i64::from(i) * 1_000;
            [(&up, t, f64::from(i)), (&gone, t, f64::from(i).sqrt())]
        })
        .collect();
    bench.append(&rows);
    bench.store().cut().unwrap();
    let before = bench.store().stats();
    let matchers = [Matcher::equal("__name__", "gone")];
    let outcome = bench.store().delete_series(&bench.tenant, &matchers, 0, NOW_MS - 10_000).unwrap();
    assert_eq!(outcome.series, 1);
    assert_eq!(bench.read_all()[&gone].len(), 10, "hidden");
    bench.append(&[(&gone, NOW_MS - 50_000, 4.0)]);
    assert_eq!(bench.read_all()[&gone].len(), 11, "what arrives later stays");
    bench.crash();
    assert_eq!(bench.read_all()[&gone].len(), 11);
    bench.store().clean_tombstones().unwrap();
    assert_eq!((bench.read_all()[&gone].len(), bench.read_all()[&up].len()), (11, 200), "rewritten");
    let after = bench.store().stats();
    assert!(after.parts_bytes + 500 < before.parts_bytes, "{} {}", after.parts_bytes, before.parts_bytes);
    assert_eq!(after.part_samples, 210);
}

#[test]
fn retention_drops_by_time_and_by_size() {
    let mut bench = Bench::new();
    let hour_ms = 3_600_000i64;
    let noise = |i: i64| ((i * 7_919) as f64).sin();
    let up = labels(&[("__name__", "up")]);
    for hour in (1..=5).rev() {
        let t = NOW_MS - hour * 24 * hour_ms;
        let rows: Vec<_> = (0..500).map(|i| (&up, t + i * 1_000, noise(i))).collect();
        bench.append(&rows);
        bench.store().cut().unwrap();
    }
    let sizes = bench.store().stats();
    assert!(sizes.parts >= 5);
    bench.options.retention.time_ms = Some(3 * 24 * hour_ms + hour_ms);
    bench.open();
    bench.store().maintain(&CancelToken::unbounded()).unwrap();
    assert_eq!(bench.read_all()[&up].len(), 1_500, "by time");
    let journal_bytes = bench.store().stats().journal_bytes;
    bench.options.retention.size_bytes = Some(sizes.parts_bytes * 2 / 5 + journal_bytes);
    bench.open();
    let outcome = bench.store().maintain(&CancelToken::unbounded()).unwrap();
    assert!(outcome.parts_dropped >= 1);
    let left = bench.read_all()[&up].len();
    assert!((500..=1_000).contains(&left), "by size: {left}");
    assert!(bench.store().stats().parts_bytes <= sizes.parts_bytes * 2 / 5);
}

#[test]
fn snapshots_open_as_stores() {
    let mut bench = Bench::new();
    let up = labels(&[("__name__", "up")]);
    bench.append(&[(&up, NOW_MS, 1.0)]);
    let take = |bench: &Bench, name: &str, live| bench.store().snapshot(name, live);
    let empty = take(&bench, "empty", LiveSamples::LeaveOut).unwrap();
    assert_eq!((empty.parts, bench.store().stats().cuts), (0, 0), "what is live is left out");
    let report = take(&bench, "before", LiveSamples::CutFirst).unwrap();
    assert_eq!((report.name.as_str(), report.parts), ("before", 1));
    assert_eq!(report.prefix, "snapshots/before/metrics/");
    assert!(take(&bench, "no/such", LiveSamples::CutFirst).is_err());
    assert!(take(&bench, "before", LiveSamples::CutFirst).is_err(), "the name is taken");
    bench.append(&[(&up, NOW_MS + 1, 2.0)]);
    let all = bench.read_all();
    assert_eq!(all[&up].len(), 2);
    bench.open();
    assert_eq!(bench.read_all(), all);
}

#[test]
fn parts_are_listed() {
    let mut bench = Bench::new();
    bench.open();
    assert_eq!(bench.store().parts(&TenantId::anonymous()), []);
    let up = labels(&[("__name__", "up")]);
    bench.append(&[(&up, NOW_MS - 5_000, 1.0), (&up, NOW_MS, 2.0)]);
    bench.store().cut().unwrap();
    let parts = bench.store().parts(&TenantId::anonymous());
    let [part] = parts.as_slice() else { panic!("one part: {parts:?}") };
    assert_eq!((part.min_time_ms, part.max_time_ms), (NOW_MS - 5_000, NOW_MS));
    assert_eq!((part.n_samples, part.n_series, part.level), (2, 1, 0));
    assert_eq!(part.bytes, bench.store().stats().parts_bytes);
    assert_eq!(bench.store().parts(&TenantId::new("other").unwrap()), []);
}
