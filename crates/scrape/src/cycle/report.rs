//! The automatic series of a scrape: `up`, `scrape_duration_seconds` and the others.

use base::TenantId;
use model::labels::METRIC_NAME;
use model::{BatchSeries, FloatSample, Labels, SeriesBatch};

use super::ScrapeCounts;

/// Why a scrape failed. The texts are upstream's; the API shows them as `lastError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeFailure {
    #[error("{0}")]
    Fetch(String),
    #[error("{0}")]
    Parse(String),
    #[error("missing metric name (__name__ label)")]
    NameMissing,
    #[error("invalid metric name or label names: {0}")]
    InvalidNames(String),
    #[error("sample limit exceeded")]
    SampleLimit,
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    #[error("{0}")]
    LabelLimit(String),
}

/// What the automatic series say.
#[derive(Debug, Clone, Copy)]
pub struct ReportValues {
    pub healthy: bool,
    pub duration_s: f64,
    pub counts: ScrapeCounts,
    pub timeout_s: f64,
    pub sample_limit: u64,
}

/// The identities of a target's automatic series.
#[derive(Debug)]
pub(super) struct ReportSeries {
    series: Vec<BatchSeries>,
}

const ALWAYS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];
const EXTRA: [&str; 3] = ["scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"];

impl ReportSeries {
    pub(super) fn new(tenant: &TenantId, target: &Labels, with_extra: bool) -> Self {
        let extra: &[&str] = if with_extra { &EXTRA } else { &[] };
        let names = ALWAYS.iter().chain(extra);
        let labels = names.map(|name| target.to_builder().set(METRIC_NAME, name).build());
        Self { series: labels.map(|labels| BatchSeries::new(tenant, labels)).collect() }
    }

    pub(super) fn write(&self, batch: &mut SeriesBatch, t_ms: i64, report: &ReportValues) {
        let values = [
            f64::from(u8::from(report.healthy)),
            report.duration_s,
            report.counts.scraped as f64,
            report.counts.added as f64,
            report.counts.series_added as f64,
            report.timeout_s,
            report.sample_limit as f64,
            report.counts.body_bytes as f64,
        ];
        self.push(batch, t_ms, |idx| values[idx]);
    }

    pub(super) fn write_stale(&self, batch: &mut SeriesBatch, t_ms: i64) {
        self.push(batch, t_ms, |_| model::stale_nan());
    }

    fn push(&self, batch: &mut SeriesBatch, t_ms: i64, value: impl Fn(usize) -> f64) {
        for (idx, series) in self.series.iter().enumerate() {
            let series_idx = batch.add_series(series.clone());
            batch.floats.push(FloatSample { series_idx, st: 0, t: t_ms, v: value(idx) });
        }
    }
}
