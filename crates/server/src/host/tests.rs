use std::path::Path;

use base::{ManualClock, PerTenant};
use store_metrics::MetricStore;

use super::*;
use crate::ingest::Rates;
use crate::outbound::client::Environment;
use crate::outbound::connections::Connections;
use crate::remote_write::{RemoteWriting, RemoteWritingParts};
use crate::telemetry::Registry;

#[test]
fn ticks_are_multiples_of_the_interval() {
    for (now_ms, interval_ms, expected) in [
        (0, 15_000, 15_000),
        (14_999, 15_000, 15_000),
        (15_000, 15_000, 30_000),
        (-1, 15_000, 0),
        (i64::MAX, 15_000, i64::MAX),
    ] {
        assert_eq!(next_tick_ms(now_ms, interval_ms), expected, "{now_ms}");
    }
}

fn options(root: &Path) -> HostOptions {
    std::fs::create_dir_all(root.join("proc")).unwrap();
    std::fs::write(root.join("proc/loadavg"), "0.5 1 2 1/1 1\n").unwrap();
    let others = agent::COLLECTOR_NAMES.iter().filter(|name| **name != "loadavg");
    HostOptions {
        tenant: TenantId::anonymous(),
        interval: Duration::from_millis(10),
        job_name: "node".to_owned(),
        instance: "h".to_owned(),
        collector: agent::HostOptions {
            proc_root: root.join("proc"),
            sys_root: root.join("sys"),
            root_fs: root.to_owned(),
            textfile_directory: None,
            disabled: others.map(|name| (*name).to_owned()).collect(),
        },
    }
}

fn ingest(dir: &Path, clock: &Arc<dyn Clock>) -> Arc<Ingest> {
    let vfs: Arc<dyn vfs::Vfs> = Arc::new(vfs::RealVfs);
    let journal = store_core::JournalOptions::default();
    let options = store_metrics::StoreOptions::default();
    let (store, _) = MetricStore::open_dir(vfs, dir, Arc::clone(clock), journal, options).unwrap();
    let parts = RemoteWritingParts {
        clock: Arc::clone(clock),
        data_dir: dir.to_owned(),
        environment: Environment { var: Arc::new(|_| None), connections: Connections::within(1024) },
        flush_deadline: Duration::ZERO,
        tenant: TenantId::anonymous(),
        queue_bytes_max: 1 << 20,
    };
    let remote_writing = RemoteWriting::new(parts, &Registry::new());
    let rates = Rates::new(PerTenant::all(0), Arc::clone(clock));
    Arc::new(Ingest { store: Arc::new(store), remote_writing, rates })
}

#[tokio::test]
async fn a_host_is_collected_until_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(base::SystemClock::new());
    let (ingest, shutdown) = (ingest(&dir.path().join("data"), &clock), Shutdown::new());
    let running =
        tokio::spawn(run(options(dir.path()), Arc::clone(&ingest), Arc::clone(&clock), shutdown.clone()));
    // load averages, the collector's two and the build information, up and its four companions
    while ingest.store.stats().active_series < 11 {
        tokio::task::yield_now().await;
    }
    shutdown.begin();
    assert_eq!(running.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn unknown_collectors_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(0));
    let mut options = options(dir.path());
    options.collector.disabled = vec!["gpu".to_owned()];
    let outcome = run(options, ingest(&dir.path().join("data"), &clock), clock, Shutdown::new()).await;
    assert_eq!(outcome, Err(OptionsError::UnknownCollector { name: "gpu".to_owned() }));
}
