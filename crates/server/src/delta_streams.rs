//! What the deltas of OTLP senders have come to, per tenant: the state behind the conversion to
//! cumulative values. It is lost at a restart, which the series show as a reset.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::mem::size_of;
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, Charge, Clock, TenantId};
use parking_lot::Mutex;
use wire_otlp::{DeltaDrop, DeltaStreams, DroppedDelta, ExportRequest, RunningTotal, StreamId};

use crate::shutdown::Shutdown;
use crate::telemetry::{Counter, Gauge, Labelled, Registry};

/// How often streams that ended are looked for, as upstream.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What a place in a hash table takes besides what is in it.
const PLACE_BYTES: u64 = 32;

/// What is done with deltas.
#[derive(Debug, Clone, Default)]
pub enum OtlpDeltas {
    /// Each is an error.
    #[default]
    Refused,
    /// Stored as they come, with an unknown type.
    AsTheyAre,
    /// Added up to cumulative values.
    Converted(ConversionOptions),
}

/// Bounds of the conversion.
#[derive(Debug, Clone)]
pub struct ConversionOptions {
    /// A stream without deltas for longer than this is forgotten.
    pub stale_after: Duration,
    /// More streams of one tenant are refused.
    pub streams_max: usize,
    /// What all streams of all tenants are charged to.
    pub budget: Budget,
}

impl ConversionOptions {
    /// As upstream's processor.
    pub const STALE_AFTER: Duration = Duration::from_secs(300);
    /// Upstream has no limit.
    pub const STREAMS_MAX: usize = 1_000_000;
}

/// The streams of all tenants.
pub(crate) struct DeltaConversion {
    options: ConversionOptions,
    clock: Arc<dyn Clock>,
    tenants: Mutex<BTreeMap<TenantId, Arc<Mutex<TenantStreams>>>>,
    streams: Gauge,
    dropped: Labelled<Counter>,
}

impl std::fmt::Debug for DeltaConversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaConversion").field("options", &self.options).finish_non_exhaustive()
    }
}

impl DeltaConversion {
    pub(crate) fn new(options: ConversionOptions, clock: Arc<dyn Clock>, registry: &Registry) -> Arc<Self> {
        Arc::new(Self {
            options,
            clock,
            tenants: Mutex::default(),
            streams: registry
                .gauge("sextant_otlp_delta_streams", "Streams of OTLP deltas whose totals are kept."),
            dropped: registry.counters(
                "sextant_otlp_deltas_dropped_total",
                "OTLP deltas that were not added to the total of their stream, by reason.",
                &["reason"],
            ),
        })
    }

    /// Replaces the deltas of a request by the totals of their streams; gives what was dropped.
    pub(crate) fn convert(&self, tenant: &TenantId, request: &mut ExportRequest) -> Vec<DroppedDelta> {
        let streams = {
            let mut tenants = self.tenants.lock();
            let fresh = || Arc::new(Mutex::new(TenantStreams::new(&self.options)));
            Arc::clone(tenants.entry(tenant.clone()).or_insert_with(fresh))
        };
        let (dropped, is_empty) = {
            let mut streams = streams.lock();
            let n_before = streams.by_id.len();
            streams.now_ns = self.clock.monotonic_ns();
            let dropped = request.accumulate(&mut *streams);
            self.streams.add(streams.by_id.len() as f64 - n_before as f64);
            (dropped, streams.by_id.is_empty())
        };
        drop(streams);
        if is_empty {
            // Streams are charged and tenants are not, so that none without streams may stay.
            self.forget_empty_tenants();
        }
        for drop in &dropped {
            self.dropped.with(&[drop.cause.reason()]).inc();
        }
        dropped
    }

    fn forget_empty_tenants(&self) {
        // Whoever else holds the streams of a tenant is about to add to them.
        self.tenants
            .lock()
            .retain(|_, streams| Arc::strong_count(streams) > 1 || !streams.lock().by_id.is_empty());
    }

    /// Forgets streams that have been silent for too long, and tenants without streams.
    fn sweep(&self) {
        let now_ns = self.clock.monotonic_ns();
        // A tenant whose request is being converted must not keep the others waiting.
        let tenants: Vec<_> = self.tenants.lock().values().map(Arc::clone).collect();
        for streams in tenants {
            let mut streams = streams.lock();
            let n_before = streams.by_id.len();
            streams.sweep(now_ns);
            self.streams.add(streams.by_id.len() as f64 - n_before as f64);
        }
        self.forget_empty_tenants();
    }

    /// Sweeps until shutdown begins.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut due = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                _ = due.tick() => {}
                () = shutdown.begun() => return,
            }
            let this = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || this.sweep()).await {
                tracing::error!(%error, "looking for ended streams of deltas failed");
            }
        }
    }
}

#[derive(Debug)]
struct Stream {
    total: RunningTotal,
    used_ns: u64,
    charge: Charge,
}

/// The streams of one tenant.
#[derive(Debug)]
struct TenantStreams {
    by_id: HashMap<StreamId, Stream>,
    options: ConversionOptions,
    now_ns: u64,
}

impl TenantStreams {
    fn new(options: &ConversionOptions) -> Self {
        Self { by_id: HashMap::new(), options: options.clone(), now_ns: 0 }
    }

    fn sweep(&mut self, now_ns: u64) {
        let stale_ns = u64::try_from(self.options.stale_after.as_nanos()).unwrap_or(u64::MAX);
        self.by_id.retain(|_, stream| now_ns.saturating_sub(stream.used_ns) <= stale_ns);
        // Room for what has gone is given back.
        if self.by_id.capacity() > 4 * self.by_id.len() {
            self.by_id.shrink_to_fit();
        }
    }
}

/// What a stream with this total is charged.
fn cost(total: &RunningTotal) -> u64 {
    let around = size_of::<(StreamId, Stream)>() - size_of::<RunningTotal>();
    total.size_bytes() + around as u64 + PLACE_BYTES
}

impl DeltaStreams for TenantStreams {
    fn add(&mut self, id: StreamId, delta: RunningTotal) -> Result<&RunningTotal, DeltaDrop> {
        let n_streams = self.by_id.len();
        let mut stream = match self.by_id.entry(id) {
            Entry::Vacant(place) => {
                let max = self.options.streams_max;
                if n_streams >= max {
                    return Err(DeltaDrop::TooManyStreams { max });
                }
                let charge = self.options.budget.charge(cost(&delta)).map_err(|_| DeltaDrop::NoMemory)?;
                return Ok(&place.insert(Stream { total: delta, used_ns: self.now_ns, charge }).total);
            }
            Entry::Occupied(stream) => stream,
        };
        // Upstream keeps a stream alive whose deltas all come too late.
        stream.get_mut().used_ns = self.now_ns;
        stream.get_mut().total.add(delta)?;
        let (cost, held) = (cost(&stream.get().total), stream.get().charge.bytes());
        if cost > held && stream.get_mut().charge.grow(cost - held).is_err() {
            // The total cannot be kept, so that the next delta begins the stream anew.
            stream.remove();
            return Err(DeltaDrop::NoMemory);
        }
        stream.get_mut().charge.shrink(held.saturating_sub(cost));
        Ok(&stream.into_mut().total)
    }

    fn end(&mut self, id: StreamId) {
        self.by_id.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use base::ManualClock;
    use wire_otlp::{OtlpOptions, decode_json, translate};

    use super::*;

    struct Subject {
        clock: Arc<ManualClock>,
        conversion: Arc<DeltaConversion>,
        budget: Budget,
    }

    fn subject(streams_max: usize, budget_bytes: u64) -> Subject {
        let clock = Arc::new(ManualClock::new(0));
        let budget = Budget::new("test", budget_bytes);
        let options = ConversionOptions {
            stale_after: ConversionOptions::STALE_AFTER,
            streams_max,
            budget: budget.clone(),
        };
        let conversion =
            DeltaConversion::new(options, Arc::clone(&clock) as Arc<dyn Clock>, &Registry::new());
        Subject { clock, conversion, budget }
    }

    impl Subject {
        /// Sends one delta of a second; gives the start and value of the total, or why it was dropped.
        fn send(&self, tenant: &str, stream: &str, time_s: u64, value: i64) -> Result<(i64, f64), String> {
            let body = format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","sum":{{
                "aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{{"asInt":"{value}",
                "startTimeUnixNano":"{}000000000","timeUnixNano":"{time_s}000000000",
                "attributes":[{{"key":"s","value":{{"stringValue":"{stream}"}}}}]}}]}}}}]}}]}}]}}"#,
                time_s - 1
            );
            let mut request = decode_json(body.as_bytes()).unwrap();
            let tenant = TenantId::new(tenant).unwrap();
            let dropped = self.conversion.convert(&tenant, &mut request);
            let batch = translate(&request, &tenant, &OtlpOptions::new(i64::MAX)).batch;
            match (dropped.first(), batch.floats.first()) {
                (None, Some(sample)) => Ok((sample.st / 1000, sample.v)),
                (Some(dropped), None) => Err(dropped.cause.reason().to_owned()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn tenants_do_not_share_streams() {
        let s = subject(10, u64::MAX);
        assert_eq!(s.send("a", "x", 10, 1), Ok((9, 1.0)));
        assert_eq!(s.send("b", "x", 20, 5), Ok((19, 5.0)));
        assert_eq!(s.send("a", "x", 30, 1), Ok((9, 2.0)));
        assert_eq!(s.conversion.streams.get(), 2.0);
    }

    #[test]
    fn streams_beyond_the_limit_are_dropped_and_counted() {
        let s = subject(1, u64::MAX);
        assert_eq!(s.send("a", "x", 10, 1), Ok((9, 1.0)));
        assert_eq!(s.send("a", "y", 10, 1), Err("stream limit".to_owned()));
        assert_eq!(s.send("b", "y", 10, 1), Ok((9, 1.0)));
        assert_eq!(s.send("a", "x", 11, 1), Ok((9, 2.0)));
        assert_eq!(s.send("a", "x", 5, 1), Err("older start".to_owned()));
        let dropped = |reason| s.conversion.dropped.with(&[reason]).get();
        assert_eq!(
            (dropped("stream limit"), dropped("older start"), dropped("out of order")),
            (1.0, 1.0, 0.0)
        );
    }

    #[test]
    fn silent_streams_are_forgotten_and_begin_anew() {
        let s = subject(10, u64::MAX);
        assert_eq!(s.send("a", "x", 10, 1), Ok((9, 1.0)));
        assert_eq!(s.send("b", "x", 10, 1), Ok((9, 1.0)));
        s.clock.advance(Duration::from_secs(200));
        assert_eq!(s.send("a", "x", 210, 1), Ok((9, 2.0)));
        s.clock.advance(Duration::from_secs(101));
        s.conversion.sweep();
        assert_eq!(s.conversion.tenants.lock().len(), 1);
        assert_eq!(s.send("a", "x", 311, 1), Ok((9, 3.0)));
        assert_eq!(s.send("b", "x", 311, 1), Ok((310, 1.0)));
        s.clock.advance(Duration::from_secs(300));
        s.conversion.sweep();
        assert_eq!(s.conversion.streams.get(), 2.0, "not yet for longer than that");
        s.clock.advance(Duration::from_secs(1));
        s.conversion.sweep();
        assert_eq!((s.conversion.streams.get(), s.budget.used_bytes()), (0.0, 0));
        assert!(s.conversion.tenants.lock().is_empty());
    }

    #[test]
    fn memory_is_charged_and_given_back() {
        let s = subject(10, 300);
        assert_eq!(s.send("a", "x", 10, 1), Ok((9, 1.0)));
        let one = s.budget.used_bytes();
        assert!(one > 100, "{one}");
        assert_eq!(s.send("a", "x", 11, 1), Ok((9, 2.0)));
        assert_eq!(s.budget.used_bytes(), one);
        assert_eq!(s.send("a", "y", 11, 1), Ok((10, 1.0)));
        assert_eq!(s.send("b", "z", 11, 1), Err("memory".to_owned()));
        assert_eq!(s.conversion.tenants.lock().len(), 1, "a tenant without streams is not remembered");
        assert_eq!(s.send("a", "y", 12, 1), Ok((10, 2.0)));
        drop(s.conversion);
        assert_eq!(s.budget.used_bytes(), 0);
    }
}
