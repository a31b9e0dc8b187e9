//! Remote write: what the store accepts goes to other servers too, through a queue on disk per
//! remote that survives restarts and receivers that are down.
//!
//! Duty: take stored batches, relabel, queue, send, count. Not its duty: authentication and
//! transport (`outbound`), the messages (`wire-prom`), durability of the samples themselves.

mod backlog;
mod intake;
mod known_metadata;
mod metrics;
mod queue;
mod round;
mod sender;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, TenantId};
use config::PrometheusConfig;
use config::prometheus::remote::RemoteWriteConfig;
use http::Uri;
use model::{Labels, SeriesBatch};
use parking_lot::{Mutex, RwLock};
use ring::digest;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vfs::{RealVfs, Vfs};

use crate::outbound::client::{ClientError, Environment, HttpClient};
use crate::telemetry::Registry;

use intake::Intake;
use known_metadata::KnownMetadata;
use metrics::{DropReason, QueueMetrics, RemoteMetrics};
pub use queue::QueueError;
use queue::{Queue, delete_files};
use round::Counts;
use sender::{BatchNames, Mode, Sender, encode_record};

/// What may wait on disk for one remote unless the caller says otherwise: at 2 bytes a sample, days
/// of what a small server collects.
pub const QUEUE_BYTES_MAX_DEFAULT: u64 = 8 << 30;

/// Samples of one record; a larger batch is queued in pieces, so that a record stays far below the
/// journal's limit.
const RECORD_SAMPLES_MAX: usize = 50_000;

/// How much of a remote's name its directory shows.
const DIR_NAME_CHARS_MAX: usize = 40;

/// What a [`RemoteWriting`] is built from.
pub struct RemoteWritingParts {
    pub clock: Arc<dyn Clock>,
    /// Queues are below `remote` in it.
    pub data_dir: PathBuf,
    pub environment: Environment,
    /// How long [`RemoteWriting::finish`] may take.
    pub flush_deadline: Duration,
    /// Whose samples are sent; remotes know no tenants.
    pub tenant: TenantId,
    /// What may wait on disk for one remote.
    pub queue_bytes_max: u64,
}

/// Why a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("remote_write {url}: {cause}")]
    Url { url: String, cause: http::uri::InvalidUri },
    #[error("remote_write {url}: {cause}")]
    Client { url: String, cause: Box<ClientError> },
    #[error("remote_write {url}: cannot open the queue in {dir}: {cause}")]
    Queue { url: String, dir: String, cause: Box<QueueError> },
}

/// All remotes.
pub struct RemoteWriting {
    parts: RemoteWritingParts,
    vfs: Arc<dyn Vfs>,
    metrics: Arc<RemoteMetrics>,
    metadata: Arc<KnownMetadata>,
    remotes: RwLock<Arc<BTreeMap<String, Arc<Remote>>>>,
    /// Directories of earlier configurations are looked for once.
    swept: Mutex<bool>,
}

impl std::fmt::Debug for RemoteWriting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteWriting").field("remotes", &self.remotes.read().len()).finish_non_exhaustive()
    }
}

/// A remote in force.
struct Remote {
    config: RemoteWriteConfig,
    external_labels: Labels,
    intake: Intake,
    queue: Arc<Queue>,
    metrics: Arc<QueueMetrics>,
    shown_name: String,
    modes: watch::Sender<Mode>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// A configuration whose clients and queues work, ready for [`RemoteWriting::apply`].
pub struct Prepared {
    remotes: Vec<(String, PreparedRemote)>,
    external_labels: Labels,
}

enum PreparedRemote {
    /// Goes on as it is.
    Same,
    New {
        config: Box<RemoteWriteConfig>,
        client: Box<HttpClient>,
        uri: Uri,
        queue: Arc<Queue>,
    },
}

impl RemoteWriting {
    /// Remotes come with [`RemoteWriting::apply`].
    pub fn new(parts: RemoteWritingParts, registry: &Registry) -> Arc<Self> {
        Arc::new(Self {
            parts,
            vfs: Arc::new(RealVfs),
            metrics: RemoteMetrics::new(registry),
            metadata: Arc::default(),
            remotes: RwLock::default(),
            swept: Mutex::new(false),
        })
    }

    /// Builds clients and opens queues; what is in force stays. Reads files.
    pub fn prepare(&self, config: &PrometheusConfig) -> Result<Prepared, PrepareError> {
        let in_force = Arc::clone(&self.remotes.read());
        let external_labels = &config.global.external_labels;
        let mut remotes: Vec<(String, PreparedRemote)> = Vec::new();
        for remote in &config.remote_write {
            let key = free_key(remote, |key| remotes.iter().any(|(taken, _)| taken == key));
            let prepared = match in_force.get(&key) {
                Some(known) if known.is_configured_as(remote, external_labels) => PreparedRemote::Same,
                known => self.prepare_new(&key, remote, known.map(|known| &known.queue))?,
            };
            remotes.push((key, prepared));
        }
        Ok(Prepared { remotes, external_labels: external_labels.clone() })
    }

    fn prepare_new(
        &self,
        key: &str,
        config: &RemoteWriteConfig,
        queue: Option<&Arc<Queue>>,
    ) -> Result<PreparedRemote, PrepareError> {
        let url = || config.url.clone();
        let uri: Uri = config.url.parse().map_err(|cause| PrepareError::Url { url: url(), cause })?;
        let client = HttpClient::new(config.http.clone(), &self.parts.environment, None);
        let client =
            Box::new(client.map_err(|cause| PrepareError::Client { url: url(), cause: Box::new(cause) })?);
        let queue = match queue {
            Some(queue) => Arc::clone(queue),
            None => {
                let dir = self.dir().join(dir_name(key));
                let now_ms = self.parts.clock.now_ms().unsigned_abs();
                let incarnation = base::Rng::new(now_ms ^ self.parts.clock.monotonic_ns()).next_u64();
                let opened =
                    Queue::open(Arc::clone(&self.vfs), &dir, self.parts.queue_bytes_max, incarnation);
                Arc::new(opened.map_err(|cause| PrepareError::Queue {
                    url: url(),
                    dir: dir.display().to_string(),
                    cause: Box::new(cause),
                })?)
            }
        };
        Ok(PreparedRemote::New { config: Box::new(config.clone()), client, uri, queue })
    }

    /// Makes the remotes equal to the configuration. Those that did not change go on undisturbed;
    /// those that changed go on with their queue; the queues of those that are gone are deleted.
    pub fn apply(&self, prepared: Prepared) {
        let mut in_force = self.remotes.write();
        let mut before = (**in_force).clone();
        let mut after = BTreeMap::new();
        for (key, remote) in prepared.remotes {
            let old = before.remove(&key);
            let remote = match (remote, old) {
                (PreparedRemote::Same, Some(old)) => old,
                (PreparedRemote::Same, None) => continue,
                (PreparedRemote::New { config, client, uri, queue }, old) => {
                    self.start(*config, &prepared.external_labels, *client, uri, queue, old)
                }
            };
            after.insert(key, remote);
        }
        *in_force = Arc::new(after);
        let kept: Vec<String> = in_force.keys().map(|key| dir_name(key)).collect();
        drop(in_force);
        for (key, gone) in before {
            self.metrics.forget(&gone.shown_name, &gone.config.url);
            let (vfs, dir) = (Arc::clone(&self.vfs), self.dir().join(dir_name(&key)));
            tokio::spawn(async move {
                gone.stop(Mode::Stop).await;
                delete_queue(&*vfs, &dir);
            });
        }
        if !std::mem::replace(&mut *self.swept.lock(), true) {
            self.sweep(&kept);
        }
    }

    /// Deletes queues that no remote of the first configuration claims.
    fn sweep(&self, kept: &[String]) {
        for entry in self.vfs.list_dir(&self.dir()).unwrap_or_default() {
            if entry.is_dir && !kept.contains(&entry.name) {
                delete_queue(&*self.vfs, &self.dir().join(&entry.name));
            }
        }
    }

    fn dir(&self) -> PathBuf {
        self.parts.data_dir.join("remote")
    }

    fn start(
        &self,
        config: RemoteWriteConfig,
        external_labels: &Labels,
        client: HttpClient,
        uri: Uri,
        queue: Arc<Queue>,
        old: Option<Arc<Remote>>,
    ) -> Arc<Remote> {
        let shown_name = shown_name(&config);
        if let Some(old) = old.as_ref().filter(|old| old.shown_name != shown_name) {
            self.metrics.forget(&old.shown_name, &old.config.url);
        }
        let metrics = Arc::new(self.metrics.of(&shown_name, &config.url));
        let (modes, receiver) = watch::channel(Mode::Run);
        let sender = Arc::new(Sender {
            queue: Arc::clone(&queue),
            config: config.clone(),
            client,
            uri,
            clock: Arc::clone(&self.parts.clock),
            metrics: Arc::clone(&metrics),
            metadata: Arc::clone(&self.metadata),
            tenant: self.parts.tenant.clone(),
            names: BatchNames::new(),
        });
        let task = tokio::spawn(async move {
            // A queue has one reader.
            if let Some(old) = old {
                old.stop(Mode::Stop).await;
            }
            sender.run(receiver).await;
        });
        Arc::new(Remote {
            intake: Intake::new(&config, external_labels),
            config,
            external_labels: external_labels.clone(),
            queue,
            metrics,
            shown_name,
            modes,
            task: Mutex::new(Some(task)),
        })
    }

    /// Takes a batch that was stored. Writes files; for blocking threads.
    pub fn offer(&self, batch: &SeriesBatch) {
        let remotes = Arc::clone(&self.remotes.read());
        if remotes.is_empty() || batch.tenant != self.parts.tenant {
            return;
        }
        self.metadata.learn(&batch.metadata);
        self.metrics.samples_in.add(batch.n_samples() as f64);
        let times = batch.floats.iter().map(|sample| sample.t);
        let newest_ms = times.chain(batch.histograms.iter().map(|sample| sample.t)).max();
        if let Some(newest_ms) = newest_ms {
            self.metrics.highest_in.raise(newest_ms);
        }
        for remote in remotes.values() {
            remote.offer(batch, newest_ms, self.parts.clock.now_ms());
        }
    }

    /// Sends what waits until the deadline, or the first failure: the rest waits on disk for the next
    /// start.
    pub async fn finish(&self) {
        let remotes = Arc::clone(&self.remotes.read());
        for remote in remotes.values() {
            remote.modes.send_replace(Mode::Drain);
        }
        let deadline = tokio::time::Instant::now() + self.parts.flush_deadline;
        for remote in remotes.values() {
            if tokio::time::timeout_at(deadline, remote.stop(Mode::Drain)).await.is_err() {
                let waiting = remote.queue.n_samples();
                tracing::warn!(url = %remote.config.url, waiting, "remote write was not flushed in time; the rest is sent after the next start");
            }
        }
    }
}

impl Remote {
    /// Secrets are hidden in the YAML, so the client's settings are compared as well.
    fn is_configured_as(&self, config: &RemoteWriteConfig, external_labels: &Labels) -> bool {
        self.config.yaml == config.yaml
            && self.config.http == config.http
            && self.config.headers == config.headers
            && self.config.relabel == config.relabel
            && self.external_labels == *external_labels
    }

    async fn stop(&self, mode: Mode) {
        self.modes.send_replace(mode);
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(url = %self.config.url, %error, "a remote write sender ended badly");
        }
    }

    fn offer(&self, batch: &SeriesBatch, newest_ms: Option<i64>, now_ms: i64) {
        let taken = self.intake.take(batch);
        self.metrics.dropped(DropReason::Relabelled, taken.dropped);
        if Counts::of(&taken.batch).total() == 0 {
            return;
        }
        if let Some(newest_ms) = newest_ms {
            self.metrics.highest_queued.raise(newest_ms);
        }
        for piece in pieces(taken.batch) {
            let counts = Counts::of(&piece);
            match self.queue.append(counts.total(), &encode_record(&piece), now_ms) {
                Ok(given_up) => self.metrics.dropped_samples(DropReason::QueueFull, given_up),
                Err(error) => {
                    self.metrics.dropped(DropReason::QueueFailed, counts);
                    tracing::warn!(url = %self.config.url, %error, "samples for remote write were not queued");
                }
            }
        }
        self.metrics.pending.set(self.queue.n_samples() as f64);
    }
}

/// The batch, or parts of it that are small enough for one record each.
fn pieces(batch: SeriesBatch) -> Vec<SeriesBatch> {
    if Counts::of(&batch).total() <= RECORD_SAMPLES_MAX as u64 {
        return vec![batch];
    }
    let rules = round::RoundRules {
        n_shards: 1,
        items_per_send: RECORD_SAMPLES_MAX,
        oldest_ms: i64::MIN,
        message: config::prometheus::remote::RemoteWriteMessage::V2,
    };
    let tenant = batch.tenant.clone();
    round::plan(&[batch], &tenant, &rules).shards.into_iter().flatten().collect()
}

/// What names a queue across restarts and changes of the configuration: the remote's name, or its
/// URL; a number tells remotes with one URL apart.
fn free_key(config: &RemoteWriteConfig, is_taken: impl Fn(&str) -> bool) -> String {
    let wanted = if config.name.is_empty() { &config.url } else { &config.name };
    let mut key = wanted.clone();
    let mut number = 1;
    while is_taken(&key) {
        number += 1;
        key = format!("{wanted} {number}");
    }
    key
}

/// Readable, and different for different keys.
fn dir_name(key: &str) -> String {
    let readable: String = key
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(DIR_NAME_CHARS_MAX)
        .collect();
    format!("{readable}-{}", hash_text(key, 8))
}

/// The `remote_name` label: as upstream, a short hash where no name is configured.
fn shown_name(config: &RemoteWriteConfig) -> String {
    if config.name.is_empty() { hash_text(&config.yaml, 3) } else { config.name.clone() }
}

fn hash_text(text: &str, n_bytes: usize) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(n_bytes).map(|byte| format!("{byte:02x}")).collect()
}

fn delete_queue(vfs: &dyn Vfs, dir: &Path) {
    let shown = dir.display().to_string();
    match delete_files(vfs, dir) {
        Ok(()) => tracing::info!(dir = shown, "deleted the queue of a remote write target that is gone"),
        Err(error) => {
            tracing::warn!(dir = shown, %error, "the queue of a remote write target was not deleted");
        }
    }
}
