//! Series of other servers beside those of the store: which remotes a selector goes to and with which
//! matchers, and how their answers are joined. Reading itself is behind [`RemoteSource`].

mod join;

use std::fmt::Debug;
use std::sync::Arc;

use base::{Budget, BudgetExceeded, CancelToken, Cancelled, Charge, TenantId};
use model::{Labels, MatchOp, Matcher, SeriesId, shard_of};
use parking_lot::Mutex;
use ql_promql::source::{SelectRequest, SeriesBuffer, SeriesSet, SeriesSource, SourceError};

use join::{JoinedSeries, by_labels};

/// Remotes that do not read recent data are asked up to this long after the oldest local sample, as
/// upstream does: twice the length of its blocks.
const LOCAL_START_MARGIN_MS: i64 = 4 * 3_600_000;

/// The function that hints name when only series are wanted, which no language has.
const SERIES_ONLY: &str = "series";

/// What one selector asks of a remote.
#[derive(Debug, Clone)]
pub struct RemoteRequest {
    pub matchers: Vec<Matcher>,
    /// Both inclusive.
    pub start_ms: i64,
    pub end_ms: i64,
    /// What the samples are for, as a hint; may be empty.
    pub func: &'static str,
    pub budget: Budget,
    pub cancel: CancelToken,
}

/// One series as a remote sent it, its samples in any order.
#[derive(Debug)]
pub struct RemoteSeries {
    pub labels: Labels,
    pub samples: SeriesBuffer,
}

/// Series in any order, and the memory they take.
#[derive(Debug)]
pub struct RemoteAnswer {
    pub series: Vec<RemoteSeries>,
    pub charge: Charge,
}

/// Why a remote gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The remote is at fault: the query goes on without it and says so.
    #[error("{0}")]
    Failed(String),
}

/// A read that is under way. Dropping it gives it up.
pub trait PendingRead: Send {
    /// Blocks until there is an answer.
    fn wait(self: Box<Self>) -> Result<RemoteAnswer, RemoteError>;
}

/// Whoever can read from another server.
pub trait RemoteSource: Send + Sync + Debug {
    /// Begins to read and does not wait, so that several remotes work at the same time.
    fn begin(&self, request: RemoteRequest) -> Box<dyn PendingRead>;
}

/// A remote with what decides when it is asked.
#[derive(Debug, Clone)]
pub struct Remote {
    pub source: Arc<dyn RemoteSource>,
    /// Are asked for by their values where a selector says nothing of them, and taken off the answer.
    pub external_labels: Labels,
    /// The remote is asked only by selectors that have all of these as equalities.
    pub required_matchers: Vec<(String, String)>,
    /// Also ask for times that are complete here.
    pub read_recent: bool,
}

#[derive(Debug, PartialEq)]
struct Plan {
    matchers: Vec<Matcher>,
    end_ms: i64,
    added: Vec<String>,
}

impl Remote {
    /// `None` when the remote has nothing to say to this.
    fn plan(&self, matchers: &[Matcher], times: (i64, i64), oldest_local_ms: Option<i64>) -> Option<Plan> {
        let asks = |(name, value): &(String, String)| {
            matchers.iter().any(|m| m.op == MatchOp::Equal && m.name == *name && m.value == *value)
        };
        if !self.required_matchers.iter().all(asks) {
            return None;
        }
        let (start_ms, mut end_ms) = times;
        // A store without samples covers no time, so that all of it is the remote's.
        if let Some(oldest_ms) = oldest_local_ms.filter(|_| !self.read_recent) {
            let local_start_ms = oldest_ms.saturating_add(LOCAL_START_MARGIN_MS);
            if start_ms > local_start_ms {
                return None;
            }
            end_ms = end_ms.min(local_start_ms);
        }
        let (mut all, mut added) = (matchers.to_vec(), Vec::new());
        for (name, value) in &self.external_labels {
            if matchers.iter().all(|m| m.name != name) {
                all.push(Matcher::equal(name, value));
                added.push(name.to_owned());
            }
        }
        Some(Plan { matchers: all, end_ms, added })
    }
}

/// What became of a remote within one query.
#[derive(Debug, Clone, Default)]
struct Standing {
    failure: Option<String>,
    /// It has given series to some selector.
    has_given: bool,
}

/// The store's series and the remotes', for one query.
pub struct JoinedSource {
    tenant: TenantId,
    local: Arc<dyn SeriesSource>,
    remotes: Arc<[Remote]>,
    oldest_local_ms: Option<i64>,
    budget: Budget,
    cancel: CancelToken,
    standings: Mutex<Vec<Standing>>,
}

impl Debug for JoinedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinedSource").field("remotes", &self.remotes).finish_non_exhaustive()
    }
}

impl JoinedSource {
    /// `oldest_local_ms` is the time of the store's first sample; without one there is none.
    pub fn new(
        tenant: TenantId,
        local: Arc<dyn SeriesSource>,
        remotes: Arc<[Remote]>,
        oldest_local_ms: Option<i64>,
        budget: Budget,
        cancel: CancelToken,
    ) -> Self {
        let standings = Mutex::new(vec![Standing::default(); remotes.len()]);
        Self { tenant, local, remotes, oldest_local_ms, budget, cancel, standings }
    }

    /// What the remotes that failed said.
    pub fn warnings(&self) -> Vec<String> {
        self.standings.lock().iter().filter_map(|standing| standing.failure.clone()).collect()
    }

    /// Whether the query must be evaluated again, by [`JoinedSource::without_failed`]: a remote is
    /// asked by all selectors or by none, but one failed after it had given something already.
    pub fn is_torn(&self) -> bool {
        self.standings.lock().iter().any(|standing| standing.has_given && standing.failure.is_some())
    }

    /// The same source for another try, which leaves the failed remotes alone and still warns of them.
    pub fn without_failed(self) -> Self {
        for standing in self.standings.lock().iter_mut() {
            standing.has_given = false;
        }
        self
    }

    /// Label sets that the remotes have series of, in any order and with repetitions.
    pub fn remote_labels(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        let series = self.wait(self.begin(matchers, (start_ms, end_ms), SERIES_ONLY))?;
        Ok(series.0.into_iter().map(|series| series.labels).collect())
    }

    fn begin(
        &self,
        matchers: &[Matcher],
        times: (i64, i64),
        func: &'static str,
    ) -> Vec<(usize, Vec<String>, Box<dyn PendingRead>)> {
        let mut pending = Vec::new();
        for (idx, remote) in self.remotes.iter().enumerate() {
            if self.standings.lock()[idx].failure.is_some() {
                continue;
            }
            let Some(plan) = remote.plan(matchers, times, self.oldest_local_ms) else { continue };
            let request = RemoteRequest {
                matchers: plan.matchers,
                start_ms: times.0,
                end_ms: plan.end_ms,
                func,
                budget: self.budget.clone(),
                cancel: self.cancel.clone(),
            };
            pending.push((idx, plan.added, remote.source.begin(request)));
        }
        pending
    }

    /// All series of the remotes that answered, those of earlier remotes first.
    fn wait(
        &self,
        pending: Vec<(usize, Vec<String>, Box<dyn PendingRead>)>,
    ) -> Result<(Vec<RemoteSeries>, Vec<Charge>), SourceError> {
        let (mut all, mut charges) = (Vec::new(), Vec::new());
        for (idx, added, read) in pending {
            match read.wait() {
                Ok(answer) => {
                    let standing = &mut self.standings.lock()[idx];
                    standing.has_given |= !answer.series.is_empty();
                    charges.push(answer.charge);
                    for mut series in answer.series {
                        if !added.is_empty() {
                            series.labels = series.labels.without(|name| added.iter().any(|a| a == name));
                        }
                        all.push(series);
                    }
                }
                Err(RemoteError::Failed(text)) => self.standings.lock()[idx].failure = Some(text),
                Err(RemoteError::Budget(refused)) => return Err(refused.into()),
                Err(RemoteError::Cancelled(cancelled)) => return Err(cancelled.into()),
            }
        }
        Ok((all, charges))
    }
}

impl SeriesSource for JoinedSource {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SourceError> {
        let times = (request.start_ms, request.end_ms);
        let pending = self.begin(request.matchers, times, "");
        let local = self.local.select(request)?;
        let (mut series, charges) = self.wait(pending)?;
        // Remotes know no shards: each place keeps of their answer what is its own.
        if !request.shards.is_all() {
            let is_ours =
                |labels: &Labels| request.shards.contains(shard_of(SeriesId::of(&self.tenant, labels)));
            series.retain(|series| is_ours(&series.labels));
        }
        if series.is_empty() {
            return Ok(local);
        }
        Ok(Box::new(JoinedSeries::new(local, by_labels(series, times), charges)))
    }
}

#[cfg(test)]
mod tests;
