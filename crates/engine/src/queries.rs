//! Instant and range queries from text to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base::{Budget, BudgetExceeded, CancelToken, Clock, PerTenant, TenantId};
use parking_lot::RwLock;
use ql_promql::ast::Expr;
use ql_promql::eval::{EvalError, evaluate};
use ql_promql::parser::{ParseErrors, ParserOptions, parse_expr};
use ql_promql::query::{EngineOptions, EvalContext, QueryKind, QueryOutput, QueryParams};
use store_metrics::MetricStore;

use crate::active::ActiveQueries;
use crate::admission::{Admission, AdmissionRefused};
use crate::query_log::{FinishedQuery, QueryLog, QueryOrigin};
use crate::remote::{JoinedSource, Remote};
use crate::source::StoreSource;
use crate::tenants::{TenantQueryLimits, TenantShare, Tenants};

/// Named limits of the query side.
#[derive(Debug, Clone)]
pub struct QueryLimits {
    pub concurrency_max: usize,
    /// Queries that may wait for a place; more are refused at once.
    pub waiting_max: usize,
    /// The longest a query may take, and the deadline of those that name none.
    pub timeout: Duration,
    /// What the memory of all queries together is charged to.
    pub budget: Budget,
    pub memory_bytes_per_query_max: u64,
    /// What the queries of each tenant may use together.
    pub tenants: PerTenant<TenantQueryLimits>,
    /// Threads that one query may use.
    pub threads_per_query: usize,
}

/// One query as a client asks it.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    pub tenant: TenantId,
    pub text: Arc<str>,
    pub kind: QueryKind,
    /// Never longer than the engine's own.
    pub timeout: Option<Duration>,
    /// 0: the engine's.
    pub lookback_delta_ms: i64,
    pub per_step_stats: bool,
    /// Set when the client hangs up.
    pub cancel: CancelToken,
    pub origin: QueryOrigin,
}

/// Where the time went, in seconds, as `stats=all` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QueryTimings {
    pub queue_s: f64,
    pub preparation_s: f64,
    pub evaluation_s: f64,
    pub total_s: f64,
}

/// An evaluated query.
#[derive(Debug, Clone)]
pub struct QueryAnswer {
    pub output: QueryOutput,
    pub timings: QueryTimings,
    /// What the store or a remote could not read: the answer is incomplete.
    pub store_warnings: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    #[error("{0}")]
    Parse(ParseErrors),
    #[error(transparent)]
    Admission(#[from] AdmissionRefused),
    #[error(transparent)]
    Eval(EvalError),
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
}

/// Parses, admits and evaluates.
#[derive(Debug)]
pub struct QueryEngine {
    store: Arc<MetricStore>,
    clock: Arc<dyn Clock>,
    options: EngineOptions,
    /// Replaces the one of `options`; a reload changes it.
    no_step_subquery_interval_ms: AtomicI64,
    parser: ParserOptions,
    limits: QueryLimits,
    tenants: Arc<Tenants>,
    admission: Admission,
    active: ActiveQueries,
    observer: Option<Observer>,
    query_log: RwLock<Option<Arc<dyn QueryLog>>>,
    /// Of one tenant: remotes know none.
    remotes: RwLock<(TenantId, Arc<[Remote]>)>,
}

/// Told of the timings of every query that was evaluated, with or without success.
struct Observer(Box<dyn Fn(&QueryTimings) + Send + Sync>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl QueryEngine {
    pub fn new(
        store: Arc<MetricStore>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
        parser: ParserOptions,
        limits: QueryLimits,
    ) -> Self {
        let tenants = Tenants::new(limits.tenants.clone(), limits.waiting_max, limits.budget.clone());
        let tenants = Arc::new(tenants);
        let admission = Admission::new(limits.concurrency_max, limits.waiting_max);
        let no_step_subquery_interval_ms = AtomicI64::new(options.no_step_subquery_interval_ms);
        let active = ActiveQueries::default();
        Self {
            store,
            clock,
            options,
            no_step_subquery_interval_ms,
            parser,
            limits,
            tenants,
            admission,
            active,
            observer: None,
            query_log: RwLock::default(),
            remotes: RwLock::new((TenantId::anonymous(), Arc::from([]))),
        }
    }

    /// Has `observer` called with the timings of every query that was evaluated.
    #[must_use]
    pub fn with_observer(self, observer: impl Fn(&QueryTimings) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Observer(Box::new(observer))), ..self }
    }

    pub fn store(&self) -> &Arc<MetricStore> {
        &self.store
    }

    pub fn parser_options(&self) -> &ParserOptions {
        &self.parser
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Sets the step of subqueries that give none: the evaluation interval of the configuration.
    pub fn set_no_step_subquery_interval_ms(&self, interval_ms: i64) {
        self.no_step_subquery_interval_ms.store(interval_ms, Ordering::Relaxed);
    }

    /// Who is told of every evaluated query from now on; `None`: nobody.
    pub fn set_query_log(&self, log: Option<Arc<dyn QueryLog>>) {
        *self.query_log.write() = log;
    }

    /// Which servers the queries of this tenant read besides the store, from the next query on.
    pub fn set_remotes(&self, tenant: TenantId, remotes: Vec<Remote>) {
        *self.remotes.write() = (tenant, remotes.into());
    }

    fn remotes_of(&self, tenant: &TenantId) -> Arc<[Remote]> {
        let remotes = self.remotes.read();
        if remotes.0 == *tenant { Arc::clone(&remotes.1) } else { Arc::from([]) }
    }

    /// Whether this tenant's queries read other servers.
    pub fn has_remotes(&self, tenant: &TenantId) -> bool {
        !self.remotes_of(tenant).is_empty()
    }

    /// The store as it is now and the remotes, for reads that are no queries.
    pub fn joined_source(&self, local: StoreSource) -> JoinedSource {
        let remotes = self.remotes_of(&local.tenant);
        // Without remotes nobody asks for the oldest sample, which takes a walk over the catalog.
        let oldest_local_ms = if remotes.is_empty() { None } else { self.store.stats().min_time_ms };
        let (budget, cancel) = (local.budget.clone(), local.cancel.clone());
        JoinedSource::new(local.tenant.clone(), Arc::new(local), remotes, oldest_local_ms, budget, cancel)
    }

    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    pub fn active(&self) -> &ActiveQueries {
        &self.active
    }

    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The budget all queries draw from.
    pub fn budget(&self) -> &Budget {
        &self.limits.budget
    }

    /// The memory of one query of the tenant, for as long as the share is held.
    pub fn share_of(&self, tenant: &TenantId, what: &'static str) -> (TenantShare, Budget) {
        let share = self.tenants.enter(tenant);
        let budget = share.budget(what, self.limits.memory_bytes_per_query_max);
        (share, budget)
    }

    /// Bytes that the running queries of each tenant use.
    pub fn used_bytes_by_tenant(&self) -> Vec<(TenantId, u64)> {
        self.tenants.used_bytes()
    }

    pub fn parse(&self, text: &str) -> Result<Expr, QueryError> {
        parse_expr(text, &self.parser).map_err(QueryError::Parse)
    }

    /// Evaluates on the calling thread, which may block for as long as the query takes.
    pub fn run(&self, request: &QueryRequest) -> Result<QueryAnswer, QueryError> {
        let expr = self.parse(&request.text)?;
        self.run_parsed(&expr, request)
    }

    /// As [`QueryEngine::run`], for an expression that was parsed before, as rules are.
    pub fn run_parsed(&self, expr: &Expr, request: &QueryRequest) -> Result<QueryAnswer, QueryError> {
        let mut timings = QueryTimings::default();
        let outcome = self.evaluate(expr, request, &mut timings);
        let log = self.query_log.read().clone();
        if let Some(log) = log {
            log.log(&FinishedQuery { request, timings, outcome: outcome.as_ref() });
        }
        outcome
    }

    fn evaluate(
        &self,
        expr: &Expr,
        request: &QueryRequest,
        timings: &mut QueryTimings,
    ) -> Result<QueryAnswer, QueryError> {
        let started_ns = self.clock.monotonic_ns();
        let timeout = request.timeout.map_or(self.limits.timeout, |asked| asked.min(self.limits.timeout));
        let cancel = request.cancel.with_deadline(Arc::clone(&self.clock), timeout);
        let (share, budget) = self.share_of(&request.tenant, "query");
        let _listed = self.active.list(
            request.tenant.clone(),
            Arc::clone(&request.text),
            self.clock.now_ms(),
            budget.clone(),
            cancel.clone(),
        );
        // A tenant's own queue first, so that whoever waits there takes no place from others.
        let admitted_by_tenant = share.admission().enter(&cancel);
        let admitted = admitted_by_tenant.and_then(|ours| Ok((ours, self.admission.enter(&cancel)?)));
        let admitted_ns = self.clock.monotonic_ns();
        timings.queue_s = seconds(started_ns, admitted_ns);
        timings.total_s = timings.queue_s;
        let _admitted = admitted?;

        let view = self.store.view();
        let mut source = self.joined_source(StoreSource {
            view: view.clone(),
            tenant: request.tenant.clone(),
            budget: budget.clone(),
            cancel: cancel.clone(),
        });
        let params = QueryParams {
            expr,
            kind: request.kind,
            lookback_delta_ms: request.lookback_delta_ms,
            per_step_stats: request.per_step_stats,
        };
        let context = EvalContext { cancel, budget, threads: self.limits.threads_per_query };
        let prepared_ns = self.clock.monotonic_ns();
        timings.preparation_s = seconds(admitted_ns, prepared_ns);
        let no_step_subquery_interval_ms = self.no_step_subquery_interval_ms.load(Ordering::Relaxed);
        let options = EngineOptions { no_step_subquery_interval_ms, ..self.options.clone() };
        let mut evaluated = evaluate(&options, &params, &source, &context);
        // Each try leaves at least one remote more alone.
        while source.is_torn() && context.cancel.check().is_ok() {
            source = source.without_failed();
            evaluated = evaluate(&options, &params, &source, &context);
        }
        let done_ns = self.clock.monotonic_ns();
        timings.evaluation_s = seconds(prepared_ns, done_ns);
        timings.total_s = seconds(started_ns, done_ns);
        if let Some(Observer(observer)) = &self.observer {
            observer(timings);
        }
        let output = evaluated.map_err(QueryError::Eval)?;
        let store_warnings = view.warnings().into_iter().chain(source.warnings()).collect();
        Ok(QueryAnswer { output, timings: *timings, store_warnings })
    }
}

fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}
