//! One target's scrapes: bytes come in, a batch of samples goes out.
//!
//! A scrape that fails, for whatever reason, stores nothing of its body: every series of the last
//! good scrape gets a staleness marker, and the automatic series say what happened.

mod report;

use std::sync::Arc;

use base::TenantId;
use model::labels::METRIC_NAME;
use model::{
    BatchSeries, Exemplar, FloatSample, HistogramSample, Labels, LabelsBuilder, Metadata, SeriesBatch,
};
use wire_prom::expose::{Entry, HistogramEntry, LabelsError, Parser, ParserOptions, SeriesEntry};
use wire_prom::negotiate::select_format;

use crate::cache::{Known, ScrapeCache};
use crate::config::{NameValidation, ScrapeConfig};
use crate::sample_labels::{check_limits, final_labels};
use crate::target::Target;

pub use report::{ReportValues, ScrapeFailure};

/// Samples may be this far in the future; later ones are refused and counted.
const FUTURE_MAX_MS: i64 = 10 * 60 * 1000;

/// Switches that hold for all targets.
#[derive(Debug, Clone, Copy, Default)]
pub struct CycleOptions {
    pub type_and_unit_labels: bool,
    /// Read start timestamps from expositions.
    pub start_timestamps: bool,
    /// Store a zero at each new start timestamp.
    pub created_zero_samples: bool,
    pub exemplars: bool,
    /// Store the extra automatic series for every job, as the feature flag of that name does.
    pub extra_scrape_metrics: bool,
}

/// Counts of one scrape, for the automatic series and the self metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrapeCounts {
    /// Samples in the body.
    pub scraped: usize,
    /// Those left after metric relabelling.
    pub added: usize,
    /// Series that the last scrape did not have.
    pub series_added: usize,
    pub duplicates: usize,
    pub out_of_bounds: usize,
    /// The size of the body; -1 when it was over the limit.
    pub body_bytes: i64,
}

/// What came back from the target.
#[derive(Debug, Clone, Copy)]
pub enum Fetched<'a> {
    Body {
        body: &'a [u8],
        content_type: &'a str,
    },
    /// The request failed, or the target must not be scraped; the text goes to `lastError`.
    Failed {
        error: &'a str,
        body_too_large: bool,
    },
}

/// A finished scrape.
#[derive(Debug)]
pub struct Scraped {
    pub batch: SeriesBatch,
    pub counts: ScrapeCounts,
    pub failure: Option<ScrapeFailure>,
}

/// The state of one target between scrapes.
#[derive(Debug)]
pub struct ScrapeCycle {
    tenant: TenantId,
    config: Arc<ScrapeConfig>,
    target: Arc<Target>,
    options: CycleOptions,
    schema_max: i32,
    cache: ScrapeCache,
    reports: report::ReportSeries,
    scratch: LabelsBuilder,
}

impl ScrapeCycle {
    pub fn new(
        tenant: TenantId,
        config: Arc<ScrapeConfig>,
        target: Arc<Target>,
        options: CycleOptions,
    ) -> Self {
        let with_extra = config.extra_scrape_metrics || options.extra_scrape_metrics;
        let reports = report::ReportSeries::new(&tenant, &target.public_labels, with_extra);
        let schema_max = schema_for_factor(config.limits.native_histogram_min_bucket_factor);
        Self {
            tenant,
            config,
            target,
            options,
            schema_max,
            cache: ScrapeCache::new(),
            reports,
            scratch: LabelsBuilder::new(),
        }
    }

    /// Continues where `old`, the same target under an older configuration, left off.
    pub fn inherit(&mut self, old: &Self) {
        self.cache.inherit(old.cache.tracked());
    }

    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub fn config(&self) -> &Arc<ScrapeConfig> {
        &self.config
    }

    /// Metadata by family name, sorted.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        self.cache.metadata()
    }

    /// Families of which there is metadata.
    pub fn n_metadata(&self) -> usize {
        self.cache.n_metadata()
    }

    /// Turns what was fetched into samples. `t_ms` is the scrape's timestamp, `now_ms` the clock.
    pub fn ingest(&mut self, fetched: Fetched<'_>, t_ms: i64, now_ms: i64) -> Scraped {
        let mut counts = ScrapeCounts::default();
        let mut batch = SeriesBatch::new(self.tenant.clone());
        let outcome = match fetched {
            Fetched::Failed { error, body_too_large } => {
                counts.body_bytes = if body_too_large { -1 } else { 0 };
                Err(ScrapeFailure::Fetch(error.to_owned()))
            }
            Fetched::Body { body, content_type } => {
                counts.body_bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
                if body.is_empty() {
                    Ok(())
                } else {
                    self.parse(body, content_type, t_ms, now_ms, &mut batch, &mut counts)
                }
            }
        };
        let good = outcome.is_ok();
        if !good {
            batch = SeriesBatch::new(self.tenant.clone());
            self.cache.untrack_current();
        }
        for series in self.cache.stale() {
            let series_idx = batch.add_series(series);
            batch.floats.push(FloatSample { series_idx, st: 0, t: t_ms, v: model::stale_nan() });
        }
        self.cache.finish(good && counts.body_bytes > 0);
        Scraped { batch, counts, failure: outcome.err() }
    }

    /// Appends `up` and its companions to the batch of a scrape.
    pub fn report(&self, scraped: &mut Scraped, t_ms: i64, duration_s: f64) {
        let values = ReportValues {
            healthy: scraped.failure.is_none(),
            duration_s,
            counts: scraped.counts,
            timeout_s: self.target.timeout_ms as f64 / 1000.0,
            sample_limit: self.config.limits.samples,
        };
        self.reports.write(&mut scraped.batch, t_ms, &values);
    }

    /// The markers that end all series of a target that is gone.
    pub fn end(&mut self, t_ms: i64) -> SeriesBatch {
        let mut batch = SeriesBatch::new(self.tenant.clone());
        for series in self.cache.tracked() {
            let series_idx = batch.add_series(series);
            batch.floats.push(FloatSample { series_idx, st: 0, t: t_ms, v: model::stale_nan() });
        }
        self.reports.write_stale(&mut batch, t_ms);
        batch
    }

    fn parse(
        &mut self,
        body: &[u8],
        content_type: &str,
        t_ms: i64,
        now_ms: i64,
        batch: &mut SeriesBatch,
        counts: &mut ScrapeCounts,
    ) -> Result<(), ScrapeFailure> {
        let fallback = self.config.fallback_protocol;
        let (format, _warning) =
            select_format(content_type, fallback).map_err(|e| ScrapeFailure::Parse(e.to_string()))?;
        let options = ParserOptions {
            type_and_unit_labels: self.options.type_and_unit_labels,
            ignore_native_histograms: !self.target.native_histograms,
            convert_classic_to_nhcb: self.target.convert_classic_histograms_to_nhcb,
            keep_classic: self.target.always_scrape_classic_histograms,
            start_timestamps: self.options.start_timestamps || self.options.created_zero_samples,
        };
        let mut parser = Parser::new(body, format, options);
        let mut pass =
            Pass { t_ms, latest_ms: now_ms.saturating_add(FUTURE_MAX_MS), batch, counts, over_limit: None };
        loop {
            let entry = parser.next_entry().map_err(|e| ScrapeFailure::Parse(e.to_string()))?;
            let Some(entry) = entry else { break };
            match entry {
                Entry::Type { name, metric_type } => self.cache.set_type(&name, metric_type),
                Entry::Help { name, help } => self.cache.set_help(&name, &help),
                Entry::Unit { name, unit } => self.cache.set_unit(&name, &unit),
                Entry::Comment(_) => {}
                Entry::Series(series) => self.series(&series, &mut pass)?,
                Entry::Histogram(histogram) => self.histogram(&histogram, &mut pass)?,
            }
        }
        match pass.over_limit {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn series(&mut self, entry: &SeriesEntry<'_>, pass: &mut Pass<'_>) -> Result<(), ScrapeFailure> {
        let Some(found) = self.resolve(entry.raw, pass, |builder| entry.labels(builder))? else {
            return Ok(());
        };
        let explicit_ms = entry.timestamp_ms.filter(|_| self.config.honor_timestamps);
        let Some((idx, series_idx, t)) = self.admit(found, explicit_ms, pass) else { return Ok(()) };
        let st = entry.start_timestamp_ms;
        if self.wants_zero_sample(idx, st, t) {
            pass.batch.floats.push(FloatSample { series_idx, st: 0, t: st, v: 0.0 });
        }
        let st = if self.options.start_timestamps { st } else { 0 };
        pass.batch.floats.push(FloatSample { series_idx, st, t, v: entry.value });
        if self.options.exemplars {
            let mut exemplars = Vec::new();
            entry.exemplars(&mut exemplars);
            push_exemplars(pass.batch, series_idx, exemplars, Some(t));
        }
        Ok(())
    }

    fn histogram(&mut self, entry: &HistogramEntry<'_>, pass: &mut Pass<'_>) -> Result<(), ScrapeFailure> {
        let Some(found) = self.resolve(entry.raw, pass, |builder| entry.labels(builder))? else {
            return Ok(());
        };
        let explicit_ms = entry.timestamp_ms.filter(|_| self.config.honor_timestamps);
        let mut histogram = entry.histogram.clone();
        let buckets_max = self.config.limits.native_histogram_buckets;
        if !fit_resolution(&mut histogram, self.schema_max, buckets_max) {
            pass.counts.added += 1; // It remained after relabelling, which is what is reported.
            pass.over_limit.get_or_insert(ScrapeFailure::BucketLimit);
            return Ok(());
        }
        let Some((idx, series_idx, t)) = self.admit(found, explicit_ms, pass) else { return Ok(()) };
        let st = entry.start_timestamp_ms;
        if self.wants_zero_sample(idx, st, t) {
            let h = Arc::new(zero_histogram(&histogram));
            pass.batch.histograms.push(HistogramSample { series_idx, st: 0, t: st, h });
        }
        let st = if self.options.start_timestamps { st } else { 0 };
        pass.batch.histograms.push(HistogramSample { series_idx, st, t, h: Arc::new(histogram) });
        if self.options.exemplars {
            let mut exemplars = Vec::new();
            entry.exemplars(&mut exemplars);
            push_exemplars(pass.batch, series_idx, exemplars, None);
        }
        Ok(())
    }

    /// The cache entry of a line: known, or built now. `None` when relabelling drops it.
    fn resolve(
        &mut self,
        raw: &[u8],
        pass: &mut Pass<'_>,
        read_labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), LabelsError>,
    ) -> Result<Option<Found>, ScrapeFailure> {
        pass.counts.scraped += 1;
        match self.cache.look_up(raw) {
            Known::Dropped => Ok(None),
            Known::Series { idx, repeated } => Ok(Some(Found { idx, repeated, is_new: false })),
            Known::Unknown => {
                read_labels(&mut self.scratch).map_err(|e| ScrapeFailure::Parse(e.to_string()))?;
                let exposed = self.scratch.build();
                let Some(labels) = final_labels(&exposed, &self.target.public_labels, &self.config) else {
                    self.cache.insert(raw, None);
                    return Ok(None);
                };
                self.check_labels(&labels)?;
                let idx = self.cache.insert(raw, Some(BatchSeries::new(&self.tenant, labels)));
                Ok(Some(Found { idx, repeated: false, is_new: true }))
            }
        }
    }

    fn check_labels(&self, labels: &Labels) -> Result<(), ScrapeFailure> {
        let Some(name) = labels.get(METRIC_NAME) else { return Err(ScrapeFailure::NameMissing) };
        let legacy_only = self.config.name_validation == NameValidation::Legacy;
        let valid = !legacy_only
            || (model::validation::is_legacy_metric_name(name)
                && labels.iter().all(|(n, _)| model::validation::is_legacy_label_name(n)));
        if !valid {
            return Err(ScrapeFailure::InvalidNames(labels.to_string()));
        }
        check_limits(labels, &self.config.limits)
    }

    /// Decides whether a sample is stored, and under which index and timestamp.
    fn admit(
        &mut self,
        found: Found,
        explicit_ms: Option<i64>,
        pass: &mut Pass<'_>,
    ) -> Option<(usize, u32, i64)> {
        let t = explicit_ms.unwrap_or(pass.t_ms);
        pass.counts.added += 1;
        if found.repeated && explicit_ms.is_none() {
            pass.counts.duplicates += 1;
            return None;
        }
        if t > pass.latest_ms {
            pass.counts.out_of_bounds += 1;
            return None;
        }
        let limit = self.config.limits.samples;
        if limit > 0 && pass.batch.n_samples() as u64 >= limit {
            pass.over_limit = Some(ScrapeFailure::SampleLimit);
            return None;
        }
        if found.is_new && pass.over_limit.is_none() {
            pass.counts.series_added += 1;
        }
        if explicit_ms.is_none() || self.config.track_timestamps_staleness {
            self.cache.track(found.idx);
        }
        let series = self.cache.entry(found.idx).series.clone()?;
        Some((found.idx, pass.batch.add_series(series), t))
    }

    /// Whether a zero belongs at the start `st` of a sample at `t`: once for each start of a series.
    fn wants_zero_sample(&mut self, idx: usize, st: i64, t: i64) -> bool {
        let entry = self.cache.entry(idx);
        let wanted = self.options.created_zero_samples && st != 0 && st < t && entry.zero_st_ms != st;
        if wanted {
            entry.zero_st_ms = st;
        }
        wanted
    }
}

/// Nothing observed, in the layout of what follows it.
fn zero_histogram(next: &model::FloatHistogram) -> model::FloatHistogram {
    model::FloatHistogram {
        counter_reset_hint: model::histogram::CounterResetHint::Reset,
        schema: next.schema,
        zero_threshold: next.zero_threshold,
        custom_values: next.custom_values.clone(),
        ..model::FloatHistogram::default()
    }
}

/// A line's entry in the cache.
#[derive(Debug, Clone, Copy)]
struct Found {
    idx: usize,
    repeated: bool,
    is_new: bool,
}

/// What travels through one pass over a body.
struct Pass<'a> {
    t_ms: i64,
    latest_ms: i64,
    batch: &'a mut SeriesBatch,
    counts: &'a mut ScrapeCounts,
    /// A limit was met: parsing goes on so that the counts are right, then the scrape fails.
    over_limit: Option<ScrapeFailure>,
}

/// Exemplars without a time get the sample's, except with native histograms, where upstream drops
/// them because repetitions could not be told from new observations.
fn push_exemplars(
    batch: &mut SeriesBatch,
    series_idx: u32,
    exemplars: Vec<Exemplar>,
    default_t: Option<i64>,
) {
    for mut exemplar in exemplars {
        if !exemplar.has_t {
            let Some(t) = default_t else { continue };
            exemplar.t = t;
        }
        batch.exemplars.push((series_idx, exemplar));
    }
}

/// Lowers the resolution until schema and bucket count are allowed; false if that is impossible.
fn fit_resolution(histogram: &mut model::FloatHistogram, schema_max: i32, buckets_max: u64) -> bool {
    const SCHEMA_MIN: i32 = -4;
    let exponential = histogram.schema != model::histogram::CUSTOM_BUCKETS_SCHEMA;
    if exponential && histogram.schema > schema_max && histogram.reduce_resolution(schema_max).is_err() {
        return false;
    }
    let n_buckets = |h: &model::FloatHistogram| (h.positive_buckets.len() + h.negative_buckets.len()) as u64;
    while buckets_max > 0 && n_buckets(histogram) > buckets_max {
        let coarser = histogram.schema - 1;
        if !exponential || coarser < SCHEMA_MIN || histogram.reduce_resolution(coarser).is_err() {
            return false;
        }
    }
    true
}

/// The finest schema whose buckets grow at least by `factor`.
fn schema_for_factor(factor: f64) -> i32 {
    const FINEST_FACTOR: f64 = 1.002_71;
    let factor = if factor <= 1.0 { FINEST_FACTOR } else { factor };
    (-factor.log2().log2()).floor().clamp(-4.0, 8.0) as i32
}

#[cfg(test)]
mod tests;
