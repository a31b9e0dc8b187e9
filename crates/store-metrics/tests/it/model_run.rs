//! Random histories against a naive model: appends in any order, with repetitions and conflicts, cuts,
//! merges, deletions, restarts and power cuts.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, CancelToken};
use model::{FloatHistogram, FloatSample, HistogramSample, Labels, Matcher, is_stale_nan, stale_nan};
use proptest::prelude::*;
use store_metrics::{AppendOptions, SampleColumns, StoreOptions};

use crate::bench::{Bench, Contents, NOW_MS, labels};

/// The written rule: a float before a staleness marker, otherwise the greater by total order.
fn beats(a: f64, b: f64) -> bool {
    let rank = |v: f64| !is_stale_nan(v);
    rank(a).cmp(&rank(b)).then(a.total_cmp(&b)) == Ordering::Greater
}

#[derive(Default)]
struct Model {
    samples: BTreeMap<Labels, BTreeMap<i64, f64>>,
    newest: BTreeMap<Labels, (i64, f64)>,
    /// What was accepted since the last cut, in order: all that a replay knows.
    journal: Vec<(Labels, i64, f64)>,
}

impl Model {
    fn append(&mut self, labels: &Labels, t: i64, v: f64) {
        let newest = self.newest.get(labels);
        if newest.is_some_and(|(newest_t, newest)| *newest_t == t && newest.to_bits() != v.to_bits()) {
            return;
        }
        self.note_newest(labels, t, v);
        self.journal.push((labels.clone(), t, v));
        let slot = self.samples.entry(labels.clone()).or_default().entry(t).or_insert(v);
        if beats(v, *slot) {
            *slot = v;
        }
    }

    fn note_newest(&mut self, labels: &Labels, t: i64, v: f64) {
        if self.newest.get(labels).is_none_or(|(newest_t, _)| t >= *newest_t) {
            self.newest.insert(labels.clone(), (t, v));
        }
    }

    /// A restart knows the newest samples of the journal only.
    fn restart(&mut self) {
        self.newest.clear();
        for (labels, t, v) in self.journal.clone() {
            self.note_newest(&labels, t, v);
        }
    }

    fn contents(&self) -> Contents {
        let rows = |series: &BTreeMap<i64, f64>| series.iter().map(|(t, v)| (*t, v.to_bits())).collect();
        self.samples.iter().filter(|(_, s)| !s.is_empty()).map(|(l, s)| (l.clone(), rows(s))).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, i64, u8)>),
    Cut,
    Maintain,
    Delete { series: u8, from: i64, len: i64 },
    Restart,
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (0u8..6, 0i64..400, 0u8..12);
    prop_oneof![
        6 => proptest::collection::vec(sample, 1..40).prop_map(Step::Append),
        2 => Just(Step::Cut),
        2 => Just(Step::Maintain),
        1 => (0u8..6, 0i64..400, 0i64..200).prop_map(|(series, from, len)| Step::Delete { series, from, len }),
        1 => Just(Step::Restart),
        1 => Just(Step::PowerCut),
    ]
}

fn value(code: u8) -> f64 {
    match code {
        0 => stale_nan(),
        1 => f64::NAN,
        2 => f64::from_bits(0x7ff8_0000_0000_0007),
        3 => -0.0,
        4 => 0.0,
        5 => f64::INFINITY,
        6 => 0.1,
        other => f64::from(other) * 1e3,
    }
}

fn series(i: u8) -> Labels {
    labels(&[("__name__", ["a", "b"][usize::from(i % 2)]), ("i", ["x", "y", "z"][usize::from(i % 3)])])
}

/// Steps of time are hours apart, so that parts span days and every level of compaction happens.
fn at(step: i64) -> i64 {
    NOW_MS - 10 * 24 * 3_600_000 + step * 1_800_000 + step % 7
}

fn run(steps: Vec<Step>) {
    // Series stay live throughout, so that store and model remember the same newest samples.
    let options = StoreOptions { idle_series_ms: i64::MAX, ..StoreOptions::default() };
    let mut bench = Bench::with(options);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(rows) => {
                // A conflict with a newest sample that only parts remember is not refused but resolved:
                // both outcomes follow the rule, and the model takes the same one.
                let rows: Vec<(Labels, i64, f64)> =
                    rows.into_iter().map(|(s, t, v)| (series(s), at(t), value(v))).collect();
                let refs: Vec<(&Labels, i64, f64)> = rows.iter().map(|(l, t, v)| (l, *t, *v)).collect();
                bench.append(&refs);
                for (labels, t, v) in &rows {
                    model.append(labels, *t, *v);
                }
            }
            Step::Cut => {
                bench.store().cut().unwrap();
                model.journal.clear();
            }
            Step::Maintain => drop(bench.store().maintain(&CancelToken::unbounded()).unwrap()),
            Step::Delete { series: i, from, len } => {
                let labels = series(i);
                let matchers: Vec<Matcher> = labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
                bench.store().delete_series(&bench.tenant, &matchers, at(from), at(from + len)).unwrap();
                model.journal.clear();
                if let Some(samples) = model.samples.get_mut(&labels) {
                    samples.retain(|t, _| *t < at(from) || *t > at(from + len));
                }
            }
            Step::Restart | Step::PowerCut => {
                let report = if matches!(step, Step::Restart) { bench.open() } else { bench.crash() };
                assert_eq!(report.problems, Vec::<String>::new());
                model.restart();
            }
        }
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(bench.read_all(), model.contents());
    }
    bench.store().cut().unwrap();
    while bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
    assert_eq!(bench.read_all(), model.contents(), "compacted");
    bench.crash();
    assert_eq!(bench.read_all(), model.contents(), "compacted and restarted");
    let (from, to) = (at(100), at(200));
    let mut expected = model.contents();
    for rows in expected.values_mut() {
        rows.retain(|(t, _)| *t >= from && *t <= to);
    }
    expected.retain(|_, rows| !rows.is_empty());
    assert_eq!(bench.read(&[], from, to), expected, "a range");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_history_equals_the_model(steps in proptest::collection::vec(step(), 1..25)) {
        run(steps);
    }
}

#[test]
fn the_winner_of_a_conflict_does_not_depend_on_the_order() {
    let up = labels(&[("__name__", "up")]);
    let values = [stale_nan(), f64::NAN, -1.0, -0.0, 0.0, 2.5, f64::INFINITY];
    for a in values {
        for b in values {
            if a.to_bits() == b.to_bits() {
                continue;
            }
            let mut winners = Vec::new();
            for (first, second) in [(a, b), (b, a)] {
                let mut bench = Bench::new();
                bench.append(&[(&up, NOW_MS, 9.0), (&up, NOW_MS - 1_000, first)]);
                bench.store().cut().unwrap();
                bench.append(&[(&up, NOW_MS - 1_000, second)]);
                let mixed = bench.read_all();
                bench.crash();
                assert_eq!(bench.read_all(), mixed);
                bench.store().cut().unwrap();
                bench.clock.advance(Duration::from_secs(40 * 24 * 3_600));
                bench.options.retention.time_ms = None;
                bench.open();
                while bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
                assert_eq!(bench.store().stats().parts, 1, "merged");
                assert_eq!(bench.read_all(), mixed);
                winners.push(mixed[&up][0].1);
            }
            assert_eq!(winners[0], winners[1], "{a} {b}");
            assert_eq!(winners[0], if beats(a, b) { a } else { b }.to_bits());
        }
    }
}

/// What one sender says of one time.
#[derive(Clone, Copy)]
enum Said {
    Float(f64),
    Histogram { count: f64, sum: f64 },
}

fn say(bench: &Bench, labels: &Labels, said: Said) {
    let mut batch = bench.batch(&[(labels, NOW_MS, 9.0)]);
    batch.floats.clear();
    let t = NOW_MS - 1_000;
    match said {
        Said::Float(v) => batch.floats.push(FloatSample { series_idx: 0, st: 0, t, v }),
        Said::Histogram { count, sum } => {
            let h = FloatHistogram { count, zero_count: count, sum, ..FloatHistogram::default() };
            batch.histograms.push(HistogramSample { series_idx: 0, st: 0, t, h: Arc::new(h) });
        }
    }
    assert_eq!(bench.store().append(&batch, AppendOptions::default()).unwrap().accepted, 1);
}

fn heard(bench: &Bench) -> String {
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    let view = bench.store().view();
    let selected = view.select(&bench.tenant, &[], NOW_MS - 1_000, NOW_MS - 1_000, &budget, &cancel).unwrap();
    let mut columns = SampleColumns::default();
    selected.read(0, &mut columns).unwrap();
    assert_eq!(columns.n_samples(), 1);
    let floats: Vec<u64> = columns.float_values.iter().map(|v| v.to_bits()).collect();
    let histograms: Vec<(f64, f64)> = columns.histograms.iter().map(|h| (h.count, h.sum)).collect();
    format!("{floats:x?} {histograms:?}")
}

#[test]
fn histograms_beat_floats_and_the_greater_histogram_wins_in_any_order() {
    let up = labels(&[("__name__", "up")]);
    let marker = Said::Histogram { count: 0.0, sum: stale_nan() };
    let ranked = [
        (marker, "[7ff0000000000002] []"),
        (Said::Float(f64::INFINITY), "[7ff0000000000000] []"),
        (Said::Histogram { count: 1.0, sum: 5.0 }, "[] [(1.0, 5.0)]"),
        (Said::Histogram { count: 2.0, sum: 1.0 }, "[] [(2.0, 1.0)]"),
        (Said::Histogram { count: 2.0, sum: 3.0 }, "[] [(2.0, 3.0)]"),
    ];
    for (lesser, (a, _)) in ranked.iter().enumerate() {
        for (b, expected) in &ranked[lesser + 1..] {
            for (first, second) in [(a, b), (b, a)] {
                let mut bench = Bench::new();
                bench.append(&[(&up, NOW_MS, 9.0)]);
                say(&bench, &up, *first);
                bench.store().cut().unwrap();
                say(&bench, &up, *second);
                assert_eq!(heard(&bench), *expected, "part and live");
                bench.store().cut().unwrap();
                assert_eq!(heard(&bench), *expected, "two parts");
                bench.options.retention.time_ms = None;
                bench.clock.advance(Duration::from_secs(40 * 24 * 3_600));
                bench.open();
                while bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
                assert_eq!(bench.store().stats().parts, 1);
                assert_eq!(heard(&bench), *expected, "merged");
            }
        }
    }
}
