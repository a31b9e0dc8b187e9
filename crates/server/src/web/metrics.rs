//! Self metrics of the HTTP side and of what comes in through it.

use base::TenantId;
use engine::QueryEngine;
use store_metrics::AppendOutcome;

use crate::telemetry::{Counter, Gauge, Histogram, Labelled, Registry};

const DURATION_BOUNDS_S: &[f64] = &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
const QUERY_BOUNDS_S: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

#[derive(Debug, Clone)]
pub struct WebMetrics {
    pub(crate) http_requests: Labelled<Counter>,
    pub(crate) http_duration: Labelled<Histogram>,
    pub(crate) queries: Labelled<Counter>,
    pub(crate) query_duration: Histogram,
    pub(crate) rejected_requests: Labelled<Counter>,
    pub(crate) invalid_labels: Counter,
    samples_received: Labelled<Counter>,
    pub(crate) otlp_rejected: Counter,
    pub(crate) otlp_warnings: Labelled<Counter>,
    batches_repeated: Counter,
    samples_rejected: Labelled<Counter>,
    engine_queries: Gauge,
    engine_queries_max: Gauge,
}

impl WebMetrics {
    pub fn new(r: &Registry) -> Self {
        Self {
            http_requests: r.counters(
                "prometheus_http_requests_total",
                "Counter of HTTP requests.",
                &["handler", "code"],
            ),
            http_duration: r.histograms(
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                &["handler"],
                DURATION_BOUNDS_S,
            ),
            queries: r.counters("sextant_queries_total", "Queries that clients asked for.", &["tenant"]),
            query_duration: r.histogram(
                "sextant_query_duration_seconds",
                "Time from a query's arrival to its answer.",
                QUERY_BOUNDS_S,
            ),
            rejected_requests: r.counters(
                "sextant_ingest_requests_rejected_total",
                "Pushed requests of which nothing was stored, by reason.",
                &["tenant", "reason"],
            ),
            invalid_labels: r.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which contain invalid labels.",
            ),
            samples_received: r.counters(
                "sextant_ingest_samples_total",
                "Pushed samples that were stored.",
                &["tenant"],
            ),
            otlp_rejected: r.counter(
                "sextant_otlp_data_points_rejected_total",
                "OTLP data points that were not stored: not translatable, or deltas that cannot be added up.",
            ),
            otlp_warnings: r.counters(
                "sextant_otlp_warnings_total",
                "Oddities of OTLP requests that were stored all the same, by category.",
                &["category"],
            ),
            engine_queries: r.gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            engine_queries_max: r
                .gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries."),
            batches_repeated: r.counter(
                "sextant_ingest_batches_repeated_total",
                "Pushed batches that had been applied before, so that nothing was done.",
            ),
            samples_rejected: r.counters(
                "sextant_ingest_samples_rejected_total",
                "Pushed samples that were not stored, by reason.",
                &["tenant", "reason"],
            ),
        }
    }

    pub(crate) fn update_engine(&self, engine: &QueryEngine) {
        self.engine_queries.set(engine.active().len() as f64);
        self.engine_queries_max.set(engine.limits().concurrency_max as f64);
    }

    pub(crate) fn count_append(&self, tenant: &TenantId, outcome: &AppendOutcome) {
        if outcome.repeated {
            self.batches_repeated.inc();
        }
        self.samples_received.with(&[tenant.as_str()]).add(outcome.accepted as f64);
        let rejected = outcome.rejected;
        for (reason, n) in [
            ("out of bounds", rejected.out_of_bounds),
            ("too old", rejected.too_old),
            ("out of order", rejected.out_of_order),
            ("duplicate", rejected.duplicate),
            ("series limit", rejected.series_limit),
            ("series memory", rejected.series_memory),
            ("invalid histogram", rejected.invalid_histogram),
            ("label names", rejected.label_names),
            ("label value", rejected.label_value),
        ] {
            if n > 0 {
                self.samples_rejected.with(&[tenant.as_str(), reason]).add(n as f64);
            }
        }
    }
}
