//! The data of every released format version, opened by the current code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Budget, CancelToken};
use model::histogram::Span;
use model::{
    Exemplar, FloatHistogram, HistogramSample, Matcher, Metadata, MetricType, SeriesBatch, stale_nan,
};
use store_metrics::{AppendOptions, BatchId, SampleColumns};
use vfs::{RealVfs, Vfs};

use crate::bench::{Bench, NOW_MS, labels};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/formats/metrics-part/v1")
}

fn copy_files(from: &dyn Vfs, from_dir: &Path, to: &dyn Vfs, to_dir: &Path) {
    to.create_dir_all(to_dir).unwrap();
    for entry in from.list_dir(from_dir).unwrap() {
        let (from_path, to_path) = (from_dir.join(&entry.name), to_dir.join(&entry.name));
        if entry.is_dir {
            copy_files(from, &from_path, to, &to_path);
        } else {
            let mut file = to.create(&to_path).unwrap();
            file.write_all(&from.read(&from_path).unwrap()).unwrap();
            file.sync_data().unwrap();
        }
    }
    to.sync_dir(to_dir).unwrap();
}

/// The value of a series at a step.
type Value = Box<dyn Fn(i32) -> f64>;

/// Every codec, every kind of entry.
fn first_batch(bench: &Bench) -> SeriesBatch {
    let values: [(&str, Value); 6] = [
        ("constant", Box::new(|_| 42.0)),
        ("counter", Box::new(|i| f64::from(i * 7 + i % 3))),
        ("gauge", Box::new(|i| f64::from((i * 37) % 101) / 100.0)),
        ("noise", Box::new(|i| 1.0 / f64::from(i + 3))),
        ("special", Box::new(|i| [f64::NAN, f64::INFINITY, -0.0, 1e300][i as usize % 4])),
        ("ending", Box::new(|i| if i == 59 { stale_nan() } else { 1.5 })),
    ];
    let names: Vec<_> =
        values.iter().map(|(name, _)| labels(&[("__name__", name), ("job", "api")])).collect();
    let mut rows = Vec::new();
    for i in 0..60 {
        for (labels, (_, value)) in names.iter().zip(&values) {
            rows.push((labels, NOW_MS - 900_000 + i64::from(i) * 15_000 + i64::from(i % 3), value(i)));
        }
    }
    let mut batch = bench.batch(&rows);
    batch.floats[1].st = NOW_MS - 1_000_000;
    for i in 0..3i64 {
        let count = 3.0 + i as f64;
        let h = FloatHistogram {
            schema: 2,
            zero_threshold: 1e-10,
            count,
            sum: 9.5,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![1.0, count - 1.0],
            ..FloatHistogram::default()
        };
        batch.histograms.push(HistogramSample { series_idx: 0, st: i, t: NOW_MS + i, h: Arc::new(h) });
    }
    let trace = Exemplar { labels: labels(&[("trace_id", "abc")]), value: 0.25, t: NOW_MS - 1, has_t: true };
    batch.exemplars.push((1, trace));
    let help = Metadata { metric_type: MetricType::Counter, unit: "s".to_owned(), help: "Helps.".to_owned() };
    batch.metadata.push(("counter".to_owned(), help));
    batch
}

/// A part, a merged part, a tombstone, and a journal above them.
fn write() -> Bench {
    let mut bench = Bench::new();
    let batch = first_batch(&bench);
    bench.store().append(&batch, AppendOptions::default()).unwrap();
    bench.store().cut().unwrap();
    let constant = labels(&[("__name__", "constant"), ("job", "api")]);
    bench.append(&[(&constant, NOW_MS - 1, 43.0)]);
    bench.store().cut().unwrap();
    bench.clock.set_ms(NOW_MS + 50 * 24 * 3_600_000);
    bench.options.retention.time_ms = None;
    bench.open();
    while bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
    assert_eq!(bench.store().stats().parts, 1, "merged");
    let late = labels(&[("__name__", "late")]);
    let id = BatchId { writer: 1, epoch: 1, sequence: 1 };
    let options = AppendOptions { batch: Some(id), ..AppendOptions::default() };
    bench.store().append(&bench.batch(&[(&late, NOW_MS, 5.0)]), options).unwrap();
    let gone = [Matcher::equal("__name__", "gauge")];
    bench.store().delete_series(&bench.tenant, &gone, 0, NOW_MS - 600_000).unwrap();
    let mut second = first_batch(&bench);
    for sample in &mut second.floats {
        sample.t += 1_000_000;
    }
    second.histograms.clear();
    let options = AppendOptions { batch: Some(BatchId { sequence: 2, ..id }), ..AppendOptions::default() };
    bench.store().append(&second, options).unwrap();
    bench
}

fn everything(bench: &Bench) -> Vec<(String, SampleColumns)> {
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    let view = bench.store().view();
    let selected = view.select(&bench.tenant, &[], i64::MIN, i64::MAX, &budget, &cancel).unwrap();
    let read = |i| {
        let mut columns = SampleColumns::default();
        selected.read(i, &mut columns).unwrap();
        (selected.labels(i).to_string(), columns)
    };
    (0..selected.len()).map(read).collect()
}

/// Columns as text, since NaN is not equal to itself.
fn printed(bench: &Bench) -> String {
    let exact = |v: &f64| format!("{:016x}", v.to_bits());
    let row = |(labels, c): (String, SampleColumns)| {
        let values: Vec<String> = c.float_values.iter().map(exact).collect();
        format!(
            "{labels} {:?} {values:?} {:?} {:?} {:?} {:?}\n",
            c.float_ts, c.float_st, c.histogram_ts, c.histograms, c.histogram_st
        )
    };
    let samples: String = everything(bench).into_iter().map(row).collect();
    let exemplars = bench
        .store()
        .view()
        .query_exemplars(&bench.tenant, &[], 0, i64::MAX, &base::Budget::unlimited())
        .unwrap()
        .series;
    let metadata = bench.metadata();
    format!("{samples}{exemplars:?}\n{metadata:?}\n")
}

#[test]
fn metrics_part_v1() {
    let mut written = write();
    let expected = printed(&written);
    let mut old = Bench::new();
    old.store = None;
    old.options.retention.time_ms = None;
    let disk = vfs::FaultVfs::default();
    copy_files(&RealVfs, &corpus(), &disk, &Bench::dir());
    old.disk = Arc::new(disk);
    let report = old.open();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(printed(&old), expected);
    written.open();
    assert_eq!(printed(&written), expected);
}
