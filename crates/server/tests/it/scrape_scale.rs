//! Ten thousand targets in one process: all scraped, on time, within bounds, and gone without a trace.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use base::{Budget, CancelToken, Clock, PerTenant, SystemClock, TenantId};
use config::PrometheusConfig;
use model::{Labels, Matcher, is_stale_nan};
use server::ingest::{Ingest, Rates};
use server::outbound::client::Environment;
use server::outbound::connections::Connections;
use server::remote_write::{QUEUE_BYTES_MAX_DEFAULT, RemoteWriting, RemoteWritingParts};
use server::scraping::{Health, Scraping, ScrapingParts};
use server::shutdown::Shutdown;
use server::telemetry::Registry;
use store_core::journal::JournalOptions;
use store_metrics::{MetricStore, SampleColumns, StoreOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vfs::RealVfs;

use crate::heap;

const N_TARGETS: usize = 10_000;
/// Targets that come and go in the second half of the test.
const N_CHANGED: usize = 5_000;
const N_LISTENERS: usize = 20;
const INTERVAL_MS: i64 = 6_000;
/// Half a thousand scrapes may be in flight.
const OPEN_FILES: u64 = 4096;
/// Nothing here takes longer unless it never ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a target may keep on the heap, both ends of its connection, its eight series in the scrape
/// cache and in the live store included.
const TARGET_BYTES_MAX: usize = 12 << 10;
/// Tasks and threads that may live at once, however many targets there are: scrapes in flight, both ends
/// of their connections and of those that are kept.
const TASKS_MAX: usize = 2_000;
const THREADS_MAX: usize = 300;

const BODY: &str = "# TYPE requests_total counter\nrequests_total{code=\"200\"} 3\n\
                    requests_total{code=\"500\"} 1\n# TYPE queue gauge\nqueue 7\n";

/// Many targets behind a few sockets; a target is a parameter of the URL.
struct Exporter {
    addresses: Vec<SocketAddr>,
    scrapes: Arc<Vec<AtomicU32>>,
}

impl Exporter {
    async fn start() -> Self {
        let scrapes: Arc<Vec<AtomicU32>> =
            Arc::new((0..N_TARGETS + N_CHANGED).map(|_| AtomicU32::new(0)).collect());
        let mut addresses = Vec::new();
        for _ in 0..N_LISTENERS {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let scrapes = Arc::clone(&scrapes);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, Arc::clone(&scrapes)));
                }
            });
        }
        Self { addresses, scrapes }
    }

    /// The fewest scrapes that any of these targets saw.
    fn fewest(&self, targets: Range<usize>) -> u32 {
        self.scrapes[targets].iter().map(|n| n.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    /// A file of target groups, one per socket.
    fn write_targets(&self, path: &Path, targets: Range<usize>) {
        let mut text = String::new();
        for (idx, address) in self.addresses.iter().enumerate() {
            let own = targets.clone().filter(|target| target % N_LISTENERS == idx);
            let names: Vec<String> = own.map(|target| format!("\"{address}/{target}\"")).collect();
            text.push_str(&format!("- targets: [{}]\n", names.join(",")));
        }
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, path).unwrap();
    }
}

async fn answer(mut stream: TcpStream, scrapes: Arc<Vec<AtomicU32>>) {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
                return;
            }
        }
        let text = std::str::from_utf8(&request).unwrap();
        let (target, _) = text.strip_prefix("GET /metrics?target=").unwrap().split_once(' ').unwrap();
        scrapes[target.parse::<usize>().unwrap()].fetch_add(1, Ordering::Relaxed);
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Scraper {
    scraping: Arc<Scraping>,
    store: Arc<MetricStore>,
    registry: Registry,
    shutdown: Shutdown,
    peak_tasks: AtomicUsize,
    peak_threads: AtomicUsize,
}

impl Scraper {
    fn start(dir: &Path, targets: &Path) -> Self {
        let registry = Registry::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let environment =
            Environment { var: Arc::new(|_| None), connections: Connections::within(OPEN_FILES) };
        let options = StoreOptions { idle_series_ms: 1, ..StoreOptions::default() };
        let opened = MetricStore::open_dir(
            Arc::new(RealVfs),
            &dir.join("store"),
            Arc::clone(&clock),
            JournalOptions::default(),
            options,
        );
        let store = Arc::new(opened.unwrap().0);
        let parts = RemoteWritingParts {
            clock: Arc::clone(&clock),
            data_dir: dir.to_owned(),
            environment: environment.clone(),
            flush_deadline: Duration::ZERO,
            tenant: TenantId::anonymous(),
            queue_bytes_max: QUEUE_BYTES_MAX_DEFAULT,
        };
        let remote_writing = RemoteWriting::new(parts, &registry);
        let shutdown = Shutdown::new();
        let parts = ScrapingParts {
            ingest: Arc::new(Ingest {
                store: Arc::clone(&store),
                remote_writing,
                rates: Rates::new(PerTenant::all(0), Arc::clone(&clock) as _),
            }),
            clock,
            tenant: TenantId::anonymous(),
            parse_groups: Arc::new(|text| config::parse_target_groups(text).map_err(|e| e.to_string())),
            environment,
            options: scrape::cycle::CycleOptions::default(),
            budget: Budget::unlimited(),
            shutdown: shutdown.clone(),
            host_name: "it".to_owned(),
        };
        let scraping = Scraping::new(parts, &registry);
        let text = format!(
            "scrape_configs:\n- job_name: many\n  scrape_interval: {INTERVAL_MS}ms\n  scrape_timeout: {INTERVAL_MS}ms\n  \
             file_sd_configs: [{{files: [{:?}]}}]\n  relabel_configs:\n  \
             - {{source_labels: [__address__], regex: '.*/(.*)', target_label: __param_target}}\n  \
             - {{source_labels: [__param_target], target_label: instance}}\n  \
             - {{source_labels: [__address__], regex: '(.*)/.*', target_label: __address__}}\n",
            targets.display()
        );
        let config = PrometheusConfig::parse(&text, "it.yml", &|_| None, config::Mode::Server).unwrap();
        let jobs: Vec<_> = config.scrape_configs.into_iter().map(Arc::new).collect();
        scraping.apply(scraping.prepare(&jobs).unwrap(), &Labels::empty());
        let (peak_tasks, peak_threads) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { scraping, store, registry, shutdown, peak_tasks, peak_threads }
    }

    /// Looks, now and then, until there is nothing left to wait for.
    async fn until(&self, what: &str, mut left: impl FnMut() -> usize) {
        let waiting = async {
            let mut looks = tokio::time::interval(Duration::from_millis(100));
            while left() > 0 {
                looks.tick().await;
                let n_tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
                self.peak_tasks.fetch_max(n_tasks, Ordering::Relaxed);
                self.peak_threads.fetch_max(n_threads(), Ordering::Relaxed);
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("waited for {what}"));
    }

    /// `up` of every target by its number: times and values.
    fn ups(&self) -> Vec<(usize, Vec<i64>, Vec<f64>)> {
        let selected = self.store.view().select(
            &TenantId::anonymous(),
            &[Matcher::equal("__name__", "up")],
            0,
            i64::MAX,
            &Budget::unlimited(),
            &CancelToken::unbounded(),
        );
        let selected = selected.unwrap();
        let mut columns = SampleColumns::default();
        let read = |idx| {
            selected.read(idx, &mut columns).unwrap();
            let target = selected.labels(idx).get("instance").unwrap().parse().unwrap();
            (target, columns.float_ts.clone(), columns.float_values.clone())
        };
        (0..selected.len()).map(read).collect()
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.snapshot();
        families.iter().filter(|f| f.name == name).flat_map(|f| &f.series).map(|s| s.value).sum()
    }
}

fn n_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_targets_are_scraped_on_time_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let targets = dir.path().join("targets.yml");
    let exporter = Exporter::start().await;
    exporter.write_targets(&targets, 0..N_TARGETS);
    let before_bytes = heap::live_bytes();
    let scraper = Scraper::start(dir.path(), &targets);

    scraper
        .until("two scrapes of each", || 2_usize.saturating_sub(exporter.fewest(0..N_TARGETS) as usize))
        .await;
    let pool = scraper.scraping.pools().remove(0);
    let down: Vec<_> = pool.active.iter().filter(|t| t.status.health != Health::Up).collect();
    assert!(pool.active.len() == N_TARGETS && down.is_empty(), "{:?}", down.first());
    let target_bytes = (heap::live_bytes() - before_bytes) / N_TARGETS;
    check_times(&scraper);

    // Half of them go, as many new ones come.
    exporter.write_targets(&targets, N_CHANGED..N_TARGETS + N_CHANGED);
    scraper
        .until("a scrape of each new one", || {
            1_usize.saturating_sub(exporter.fewest(N_TARGETS..N_TARGETS + N_CHANGED) as usize)
        })
        .await;
    scraper
        .until("the end of each old one", || {
            let ended = |(target, _, values): &(usize, Vec<i64>, Vec<f64>)| {
                *target < N_CHANGED && values.last().copied().is_some_and(is_stale_nan)
            };
            N_CHANGED - scraper.ups().iter().filter(|up| ended(up)).count()
        })
        .await;
    let up = scraper.ups();
    let alive = up.iter().filter(|(_, _, values)| values.last() == Some(&1.0));
    assert_eq!(alive.map(|(target, _, _)| *target).min(), Some(N_CHANGED));

    // Without the series that only the store remembers, as many bytes are kept as before.
    scraper.store.cut().unwrap();
    let churned_bytes = (heap::live_bytes() - before_bytes) / N_TARGETS;
    let (tasks, threads) =
        (scraper.peak_tasks.load(Ordering::Relaxed), scraper.peak_threads.load(Ordering::Relaxed));
    println!(
        "{target_bytes} bytes a target, {churned_bytes} after the change; at most {tasks} tasks, {threads} threads"
    );
    assert!(target_bytes <= TARGET_BYTES_MAX, "{target_bytes} bytes a target");
    assert!(churned_bytes <= TARGET_BYTES_MAX, "{churned_bytes} bytes a target after the change");
    assert!(tasks <= TASKS_MAX && threads <= THREADS_MAX, "{tasks} tasks, {threads} threads");
    scraper.shutdown.begin();
}

/// Every target has a sample in each interval since its first, and all say `up`. How late they are is the
/// machine's affair in a build that is not optimised: it is printed.
fn check_times(scraper: &Scraper) {
    let (mut n_gaps, mut n_missed, mut n_exact, mut latest_ms) = (0, 0, 0, 0);
    for (target, times, values) in scraper.ups() {
        assert!(values.iter().all(|up| *up == 1.0), "target {target}: {values:?}");
        for pair in times.windows(2) {
            let gap_ms = pair[1] - pair[0];
            let ticks = (gap_ms + INTERVAL_MS / 2) / INTERVAL_MS;
            n_gaps += 1;
            n_missed += (ticks - 1).max(0);
            n_exact += i64::from(gap_ms == INTERVAL_MS);
            latest_ms = latest_ms.max(gap_ms - ticks * INTERVAL_MS);
        }
    }
    let skipped = scraper.metric("sextant_target_scrapes_skipped_total");
    println!("{n_gaps} gaps, {n_missed} missed, {skipped} skipped, {n_exact} exact, latest {latest_ms} ms");
    assert!(n_gaps >= N_TARGETS as i64);
    assert!(n_missed * 20 <= n_gaps, "{n_missed} of {n_gaps} ticks were missed");
}
