//! Measures the store alone: appends what a fleet of exporters would send, cutting and compacting as
//! the server does, then reads it all back. Prints CPU time per sample and bytes per sample.
//!
//! `cargo run --release -p store-metrics --example ingest -- [series] [samples per series] [dir]`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Budget, CancelToken, Clock, ManualClock, Rng, SystemClock, TenantId};
use model::{BatchSeries, FloatSample, Labels, Matcher, SeriesBatch};
use store_core::JournalOptions;
use store_metrics::{AppendOptions, MetricStore, SampleColumns, StoreOptions};
use vfs::{RealVfs, Vfs};

const STEP_MS: i64 = 15_000;
const BATCH_SAMPLES: usize = 2_000;

/// What a series does over time.
#[derive(Clone, Copy)]
enum Shape {
    Constant,
    Counter,
    SparseCounter,
    Gauge,
    FloatCounter,
}

struct Fleet {
    series: Vec<BatchSeries>,
    shapes: Vec<Shape>,
    values: Vec<f64>,
    rng: Rng,
}

impl Fleet {
    fn new(n_series: usize, tenant: &TenantId) -> Self {
        let per_instance = 500;
        let shapes_of = [
            Shape::Constant,
            Shape::Constant,
            Shape::Constant,
            Shape::Counter,
            Shape::SparseCounter,
            Shape::Constant,
            Shape::Gauge,
            Shape::SparseCounter,
            Shape::Constant,
            Shape::FloatCounter,
        ];
        let mut series = Vec::with_capacity(n_series);
        let mut shapes = Vec::with_capacity(n_series);
        for i in 0..n_series {
            let (instance, metric) = (i / per_instance, i % per_instance);
            let labels = Labels::from_pairs([
                ("__name__".to_owned(), format!("node_metric_{}_total", metric / 5)),
                ("device".to_owned(), format!("dev{}", metric % 5)),
                ("instance".to_owned(), format!("host-{instance:04}.example.net:9100")),
                ("job".to_owned(), "node".to_owned()),
                ("cluster".to_owned(), format!("eu-{}", instance % 4)),
            ]);
            series.push(BatchSeries::new(tenant, labels));
            shapes.push(shapes_of[metric % shapes_of.len()]);
        }
        Self { series, shapes, values: vec![100.0; n_series], rng: Rng::new(1) }
    }

    fn next(&mut self, i: usize) -> f64 {
        let rng = &mut self.rng;
        self.values[i] += match self.shapes[i] {
            Shape::Constant => 0.0,
            Shape::Counter => rng.below(2_000) as f64,
            Shape::SparseCounter => f64::from(u8::from(rng.one_in(10))),
            Shape::Gauge => (rng.below(200) as f64 - 100.0) / 100.0,
            Shape::FloatCounter => rng.below(1_500) as f64 / 100.0,
        };
        // Exporters print a few decimals.
        self.values[i] = (self.values[i] * 100.0).round() / 100.0;
        self.values[i]
    }
}

/// CPU time of the process in seconds, from the kernel.
fn cpu_seconds(vfs: &dyn Vfs) -> f64 {
    let text = vfs.read(Path::new("/proc/self/stat")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks = |n: usize| after.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_mb(vfs: &dyn Vfs, field: &str) -> f64 {
    let text = vfs.read(Path::new("/proc/self/status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

struct Measure {
    vfs: Arc<dyn Vfs>,
    clock: Arc<ManualClock>,
    wall: SystemClock,
    dir: PathBuf,
    options: StoreOptions,
    out: std::io::Stdout,
}

impl Measure {
    fn open(&self) -> MetricStore {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let vfs = Arc::clone(&self.vfs);
        let opened =
            MetricStore::open_dir(vfs, &self.dir, clock, JournalOptions::default(), self.options.clone());
        opened.expect("the directory is ours").0
    }

    fn say(&mut self, line: &str) {
        writeln!(self.out, "{line}").expect("standard output takes a line");
    }

    fn timed<T>(&mut self, what: &str, n: u64, work: impl FnOnce() -> T) -> T {
        let (cpu, wall) = (cpu_seconds(&*self.vfs), self.wall.monotonic_ns());
        let done = work();
        let cpu = cpu_seconds(&*self.vfs) - cpu;
        let wall = (self.wall.monotonic_ns() - wall) as f64 / 1e9;
        let each_ns = cpu * 1e9 / n.max(1) as f64;
        self.say(&format!("{what}: cpu {cpu:.2} s, wall {wall:.3} s, {each_ns:.1} cpu ns each of {n}"));
        done
    }
}

fn append_all(
    store: &MetricStore,
    fleet: &mut Fleet,
    tenant: &TenantId,
    clock: &ManualClock,
    n_samples: i64,
) {
    let start_ms = clock.now_ms();
    let cancel = CancelToken::unbounded();
    for step in 0..n_samples {
        let t = start_ms + step * STEP_MS;
        clock.set_ms(t);
        for first in (0..fleet.series.len()).step_by(BATCH_SAMPLES) {
            let mut batch = SeriesBatch::new(tenant.clone());
            for i in first..(first + BATCH_SAMPLES).min(fleet.series.len()) {
                let series_idx = batch.add_series(fleet.series[i].clone());
                batch.floats.push(FloatSample { series_idx, st: 0, t, v: fleet.next(i) });
            }
            store.append(&batch, AppendOptions::default()).expect("the disk takes it");
        }
        if store.wants_cut() {
            store.cut().expect("the disk takes it");
            store.maintain(&cancel).expect("merges succeed");
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let n_series: usize = args.next().and_then(|a| a.parse().ok()).unwrap_or(20_000);
    let n_samples: i64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(720);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| "target/ingest-example".to_owned()));
    let tenant = TenantId::anonymous();
    let mut measure = Measure {
        vfs: Arc::new(RealVfs),
        clock: Arc::new(ManualClock::new(1_700_000_000_000)),
        wall: SystemClock::new(),
        dir,
        options: StoreOptions::default(),
        out: std::io::stdout(),
    };
    let total = n_series as u64 * n_samples as u64;
    let mut fleet = Fleet::new(n_series, &tenant);
    measure.timed("generate only", total, || {
        for _ in 0..n_samples {
            for i in 0..n_series {
                std::hint::black_box(fleet.next(i));
            }
        }
    });
    let mut fleet = Fleet::new(n_series, &tenant);
    let store = measure.open();
    let clock = Arc::clone(&measure.clock);
    measure
        .timed("append, cut, compact", total, || append_all(&store, &mut fleet, &tenant, &clock, n_samples));
    let peak = resident_mb(&*measure.vfs, "VmHWM");
    measure.say(&format!("peak resident {peak:.0} MB"));
    drop(store);
    let (cpu, wall) = (cpu_seconds(&*measure.vfs), measure.wall.monotonic_ns());
    let store = measure.open();
    let cpu = cpu_seconds(&*measure.vfs) - cpu;
    let wall = (measure.wall.monotonic_ns() - wall) as f64 / 1e9;
    measure.say(&format!("restart without closing: cpu {cpu:.2} s, wall {wall:.3} s"));
    read_back(&mut measure, &store, &tenant, total);
    measure.timed("settle", total, || {
        store.cut().expect("the disk takes it");
        clock.set_ms(clock.now_ms() + 25 * 3_600_000);
        while store.maintain(&CancelToken::unbounded()).expect("merges succeed").more {}
    });
    let stats = store.stats();
    let per_sample = stats.parts_bytes as f64 / stats.part_samples as f64;
    measure.say(&format!(
        "settled: {} parts, {} samples, {} bytes, {per_sample:.3} B/sample with index",
        stats.parts, stats.part_samples, stats.parts_bytes
    ));
    read_back(&mut measure, &store, &tenant, total);
}

fn read_back(measure: &mut Measure, store: &MetricStore, tenant: &TenantId, total: u64) {
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    for round in ["first", "again"] {
        let view = store.view();
        let selected = measure.timed(&format!("select everything, {round}"), total, || {
            view.select(tenant, &[], i64::MIN, i64::MAX, &budget, &cancel).expect("the parts are whole")
        });
        let n = measure.timed(&format!("read {} series, {round}", selected.len()), total, || {
            let mut columns = SampleColumns::default();
            let mut n = 0;
            for i in 0..selected.len() {
                selected.read(i, &mut columns).expect("the parts are whole");
                n += columns.n_samples() as u64;
            }
            n
        });
        assert_eq!(n, total, "every sample is there");
    }
    let one = [Matcher::equal("instance", "host-0001.example.net:9100")];
    let view = store.view();
    measure.timed("select one instance", 1, || {
        view.select(tenant, &one, i64::MIN, i64::MAX, &budget, &cancel).expect("the parts are whole").len()
    });
}
