//! Export requests to series, as upstream's translator makes them.

mod histogram;
mod labels;

use std::sync::Arc;

use base::TenantId;
use hashbrown::{HashMap, HashSet};
use model::labels::{GoQuoted, METRIC_NAME};
use model::{
    BatchSeries, Exemplar, FloatHistogram, FloatSample, HistogramSample, Labels, Metadata, MetricType,
    SeriesBatch, SeriesId,
};

use crate::naming::{MetricNamer, NamedKind, TranslationStrategy, unit_name};
use crate::request::{
    Data, ExportRequest, HistogramPoint, Metric, NumberPoint, OtlpExemplar, Point, ResourceMetrics,
    SummaryPoint, Temporality,
};
use labels::LabelContext;

/// Upstream's text for points later than [`OtlpOptions::max_time_ms`].
const TOO_FAR_AHEAD: &str = "out of bounds: timestamp is too far in the future";

/// Characters that the labels of an exemplar may have together before its attributes are left out.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Which resource attributes become labels of every series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PromotedAttributes {
    #[default]
    None,
    /// `promote_resource_attributes`
    Listed(Vec<String>),
    /// `promote_all_resource_attributes` without `ignore_resource_attributes`
    AllExcept(Vec<String>),
}

/// The `otlp` section of the configuration, and what the server adds.
#[derive(Debug, Clone)]
pub struct OtlpOptions {
    pub strategy: TranslationStrategy,
    pub promoted: PromotedAttributes,
    pub keep_identifying_resource_attributes: bool,
    pub convert_histograms_to_nhcb: bool,
    pub promote_scope_metadata: bool,
    pub label_name_underscore_sanitization: bool,
    pub label_name_preserve_multiple_underscores: bool,
    /// Keeps deltas as they are; otherwise they are refused.
    pub allow_delta_temporality: bool,
    pub type_and_unit_labels: bool,
    /// `target_info` gets a sample every half of this.
    pub lookback_delta_ms: i64,
    /// Points later than this are refused.
    pub max_time_ms: i64,
}

impl OtlpOptions {
    /// Upstream's defaults.
    pub fn new(max_time_ms: i64) -> Self {
        Self {
            strategy: TranslationStrategy::default(),
            promoted: PromotedAttributes::None,
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            allow_delta_temporality: false,
            type_and_unit_labels: false,
            lookback_delta_ms: 300_000,
            max_time_ms,
        }
    }
}

/// Classes of warnings, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WarningCategory {
    EmptyDataPoints,
    LabelNameCollision,
    HistogramZeroCountNonZeroSum,
}

impl WarningCategory {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyDataPoints => "empty_data_points",
            Self::LabelNameCollision => "label_name_collision",
            Self::HistogramZeroCountNonZeroSum => "histogram_zero_count_non_zero_sum",
        }
    }
}

/// Something odd that was translated all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslationWarning {
    pub category: WarningCategory,
    pub text: String,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    pub batch: SeriesBatch,
    /// Data points refused, for the partial success of the answer.
    pub rejected_data_points: usize,
    /// Why, once per metric or point.
    pub errors: Vec<String>,
    pub warnings: Vec<TranslationWarning>,
}

/// Translates a request for a tenant.
pub fn translate(request: &ExportRequest, tenant: &TenantId, options: &OtlpOptions) -> Translated {
    let mut translator = Translator {
        options,
        namer: MetricNamer { namespace: String::new(), strategy: options.strategy },
        out: Translated {
            batch: SeriesBatch::new(tenant.clone()),
            rejected_data_points: 0,
            errors: Vec::new(),
            warnings: Vec::new(),
        },
        series: HashMap::new(),
        families: HashSet::new(),
        target_infos: HashSet::new(),
        collisions: HashSet::new(),
    };
    for resource in &request.resources {
        translator.resource(resource);
    }
    translator.out
}

struct Translator<'o> {
    options: &'o OtlpOptions,
    namer: MetricNamer,
    out: Translated,
    series: HashMap<SeriesId, u32>,
    families: HashSet<String>,
    target_infos: HashSet<(SeriesId, i64)>,
    /// Label names whose collision has been warned of.
    collisions: HashSet<String>,
}

/// What the points of a metric have in common.
struct Family<'a> {
    name: String,
    metadata: Metadata,
    temporality: Option<Temporality>,
    labels: &'a LabelContext<'a>,
}

/// A translated value.
enum Translation {
    Float(f64),
    Histogram(FloatHistogram),
}

type PointError = String;

pub(crate) fn ms(ns: u64) -> i64 {
    ns.cast_signed() / 1_000_000
}

impl Translator<'_> {
    fn fail(&mut self, points: usize, error: String) {
        self.out.rejected_data_points += points;
        self.out.errors.push(error);
    }

    fn warn(&mut self, category: WarningCategory, text: String) {
        self.out.warnings.push(TranslationWarning { category, text });
    }

    fn resource(&mut self, resource: &ResourceMetrics) {
        let options = self.options;
        let n_points = |scopes: &[crate::request::ScopeMetrics]| -> usize {
            scopes.iter().flat_map(|s| &s.metrics).map(|m| m.data.n_points()).sum()
        };
        let context = match LabelContext::of_resource(&resource.attributes, options) {
            Ok(context) => context,
            Err(error) => return self.fail(n_points(&resource.scopes), error.to_string()),
        };
        let mut times: Option<(u64, u64)> = None;
        for scope in &resource.scopes {
            let scoped = match context.with_scope(scope) {
                Ok(scoped) => scoped,
                Err(error) => {
                    self.fail(n_points(std::slice::from_ref(scope)), error.to_string());
                    continue;
                }
            };
            for metric in &scope.metrics {
                each_point(&metric.data, |point| {
                    let (first, last) = times.unwrap_or((point.time_ns, point.time_ns));
                    times = Some((first.min(point.time_ns), last.max(point.time_ns)));
                });
                self.metric(metric, &scoped);
            }
        }
        if let Some((first_ns, last_ns)) = times {
            self.target_info(resource, &context, ms(first_ns), ms(last_ns));
        }
    }

    fn metric(&mut self, metric: &Metric, labels: &LabelContext<'_>) {
        let n_points = metric.data.n_points();
        if metric.data == Data::None {
            let name = &metric.name;
            let error = format!(
                "could not get aggregation temporality for {name} as it has unsupported metric type Empty"
            );
            return self.fail(0, error);
        }
        let temporality = metric.data.temporality();
        let is_allowed = match temporality {
            None | Some(Temporality::Cumulative) => true,
            Some(Temporality::Delta) => self.options.allow_delta_temporality,
            Some(Temporality::Unspecified) => false,
        };
        if !is_allowed {
            let name = GoQuoted(&metric.name);
            return self
                .fail(n_points, format!("invalid temporality and type combination for metric {name}"));
        }
        let name = match self.namer.build(&metric.name, &metric.unit, kind_of(&metric.data)) {
            Ok(name) => name,
            Err(error) => return self.fail(n_points, error.to_string()),
        };
        if n_points == 0 {
            let text = format!("empty data points. {} is dropped", metric.name);
            return self.warn(WarningCategory::EmptyDataPoints, text);
        }
        let metadata = Metadata {
            metric_type: metric_type(&metric.data),
            unit: unit_name(&metric.unit, false),
            help: metric.description.clone(),
        };
        if self.families.insert(name.clone()) {
            self.out.batch.metadata.push((name.clone(), metadata.clone()));
        }
        let family = Family { name, metadata, temporality, labels };
        match &metric.data {
            Data::None => {}
            Data::Gauge(points) | Data::Sum { points, .. } => self.each(points, |t, p| t.number(p, &family)),
            Data::Summary(points) => self.each(points, |t, p| t.summary(p, &family)),
            Data::Exponential { points, .. } => self.each(points, |t, p| {
                let (histogram, warning) = histogram::of_exponential(p, family.temporality)?;
                t.native(&p.point, histogram, warning, &family)
            }),
            Data::Histogram { points, .. } if self.options.convert_histograms_to_nhcb => {
                self.each(points, |t, p| {
                    let (histogram, warning) = histogram::of_explicit(p, family.temporality)?;
                    t.native(&p.point, histogram, warning, &family)
                });
            }
            Data::Histogram { points, .. } => self.each(points, |t, p| t.classic(p, &family)),
        }
    }

    fn each<P>(&mut self, points: &[P], mut translate: impl FnMut(&mut Self, &P) -> Result<(), PointError>) {
        for point in points {
            if let Err(error) = translate(self, point) {
                self.fail(1, error);
            }
        }
    }

    /// The labels of a point, without the metric name.
    fn labels(&mut self, point: &Point, family: &Family<'_>) -> Result<Labels, PointError> {
        if ms(point.time_ns) > self.options.max_time_ms {
            return Err(TOO_FAR_AHEAD.to_owned());
        }
        let built = family.labels.build(&point.attributes, &family.metadata).map_err(|e| e.to_string())?;
        self.note_collisions("data point", built.collisions);
        Ok(built.labels)
    }

    fn note_collisions(&mut self, source: &str, collisions: Vec<labels::Collision>) {
        for collision in collisions {
            if self.collisions.insert(collision.label.clone()) {
                let keys: Vec<String> = collision.keys.iter().map(|k| GoQuoted(k).to_string()).collect();
                let (keys, label) = (keys.join(", "), GoQuoted(&collision.label));
                self.warn(
                    WarningCategory::LabelNameCollision,
                    format!("OTLP {source} attributes {keys} collide as label {label} after name sanitization, values are concatenated with ';'"),
                );
            }
        }
    }

    /// Adds a sample to the series of these labels and name; gives the series' index.
    fn push(
        &mut self,
        base: &Labels,
        name: &str,
        extra: Option<(&str, &str)>,
        point: &Point,
        value: Translation,
    ) -> Result<u32, PointError> {
        let mut builder = base.to_builder();
        builder.set(METRIC_NAME, name);
        if let Some((label, text)) = extra {
            builder.set(label, text);
        }
        let series_idx = self.series_idx(builder.build());
        let (st, t) = (ms(point.start_ns), ms(point.time_ns));
        match value {
            Translation::Float(v) => self.out.batch.floats.push(FloatSample { series_idx, st, t, v }),
            Translation::Histogram(h) => {
                if !h.is_stale_marker() {
                    h.validate().map_err(|e| e.to_string())?;
                }
                self.out.batch.histograms.push(HistogramSample { series_idx, st, t, h: Arc::new(h) });
            }
        }
        Ok(series_idx)
    }

    fn series_idx(&mut self, labels: Labels) -> u32 {
        let batch = &mut self.out.batch;
        let series = BatchSeries::new(&batch.tenant, labels);
        *self.series.entry(series.id).or_insert_with(|| batch.add_series(series))
    }

    fn push_exemplars(&mut self, series_idx: u32, exemplars: impl IntoIterator<Item = Exemplar>) {
        self.out.batch.exemplars.extend(exemplars.into_iter().map(|e| (series_idx, e)));
    }

    fn number(&mut self, point: &NumberPoint, family: &Family<'_>) -> Result<(), PointError> {
        let exemplars = exemplars(&point.point.exemplars)?;
        let labels = self.labels(&point.point, family)?;
        let value = Translation::Float(or_stale(&point.point, point.value.to_f64()));
        let series_idx = self.push(&labels, &family.name, None, &point.point, value)?;
        self.push_exemplars(series_idx, exemplars);
        Ok(())
    }

    fn native(
        &mut self,
        point: &Point,
        histogram: FloatHistogram,
        warning: Option<String>,
        family: &Family<'_>,
    ) -> Result<(), PointError> {
        let exemplars = exemplars(&point.exemplars)?;
        if let Some(text) = warning {
            self.warn(WarningCategory::HistogramZeroCountNonZeroSum, text);
        }
        let labels = self.labels(point, family)?;
        let series_idx = self.push(&labels, &family.name, None, point, Translation::Histogram(histogram))?;
        self.push_exemplars(series_idx, exemplars);
        Ok(())
    }

    fn classic(&mut self, p: &HistogramPoint, family: &Family<'_>) -> Result<(), PointError> {
        let point = &p.point;
        let mut exemplars = exemplars(&point.exemplars)?.into_iter().peekable();
        let labels = self.labels(point, family)?;
        let value = |v: f64| Translation::Float(or_stale(point, v));
        if let Some(sum) = p.sum {
            self.push(&labels, &format!("{}_sum", family.name), None, point, value(sum))?;
        }
        self.push(&labels, &format!("{}_count", family.name), None, point, value(p.count as f64))?;
        let name = format!("{}_bucket", family.name);
        let mut cumulative = 0u64;
        for (bound, count) in p.explicit_bounds.iter().zip(&p.bucket_counts) {
            cumulative = cumulative.saturating_add(*count);
            let le = base::gofloat::format_f(*bound);
            let series_idx = self.push(&labels, &name, Some(("le", &le)), point, value(cumulative as f64))?;
            let own: Vec<Exemplar> =
                std::iter::from_fn(|| exemplars.next_if(|e| e.value <= *bound)).collect();
            self.push_exemplars(series_idx, own);
        }
        let series_idx = self.push(&labels, &name, Some(("le", "+Inf")), point, value(p.count as f64))?;
        self.push_exemplars(series_idx, exemplars);
        Ok(())
    }

    fn summary(&mut self, p: &SummaryPoint, family: &Family<'_>) -> Result<(), PointError> {
        let point = &p.point;
        let labels = self.labels(point, family)?;
        let value = |v: f64| Translation::Float(or_stale(point, v));
        self.push(&labels, &format!("{}_sum", family.name), None, point, value(p.sum))?;
        self.push(&labels, &format!("{}_count", family.name), None, point, value(p.count as f64))?;
        for (quantile, v) in &p.quantiles {
            let quantile = base::gofloat::format_f(*quantile);
            self.push(&labels, &family.name, Some(("quantile", &quantile)), point, value(*v))?;
        }
        Ok(())
    }

    /// `target_info` carries the resource's attributes, from its first to its last point.
    fn target_info(
        &mut self,
        resource: &ResourceMetrics,
        context: &LabelContext<'_>,
        first_ms: i64,
        last_ms: i64,
    ) {
        let built = match context.target_info(&resource.attributes) {
            Ok(Some(built)) => built,
            Ok(None) => return,
            Err(error) => return self.fail(0, error.to_string()),
        };
        self.note_collisions("resource", built.collisions);
        let metadata = Metadata {
            metric_type: MetricType::Gauge,
            unit: String::new(),
            help: "Target metadata".to_owned(),
        };
        if self.families.insert(labels::TARGET_INFO.to_owned()) {
            self.out.batch.metadata.push((labels::TARGET_INFO.to_owned(), metadata));
        }
        let last_ms = last_ms.min(self.options.max_time_ms);
        let step_ms = (self.options.lookback_delta_ms / 2).max(1);
        let series_idx = self.series_idx(built.labels);
        let id = self.out.batch.series[series_idx as usize].id;
        // Absurd spans between points must not make absurdly many samples.
        let steps = (last_ms.saturating_sub(first_ms) / step_ms).min(TARGET_INFO_SAMPLES_MAX);
        let times = (0..=steps).map(|n| first_ms.saturating_add(n * step_ms)).filter(|t| *t < last_ms);
        for t in times.chain([last_ms]) {
            if self.target_infos.insert((id, t)) {
                self.out.batch.floats.push(FloatSample { series_idx, st: 0, t, v: 1.0 });
            }
        }
    }
}

/// Samples of one `target_info` series per request.
const TARGET_INFO_SAMPLES_MAX: i64 = 10_000;

fn each_point(data: &Data, mut each: impl FnMut(&Point)) {
    match data {
        Data::None => {}
        Data::Gauge(points) | Data::Sum { points, .. } => points.iter().for_each(|p| each(&p.point)),
        Data::Histogram { points, .. } => points.iter().for_each(|p| each(&p.point)),
        Data::Exponential { points, .. } => points.iter().for_each(|p| each(&p.point)),
        Data::Summary(points) => points.iter().for_each(|p| each(&p.point)),
    }
}

fn or_stale(point: &Point, v: f64) -> f64 {
    if point.is_stale() { model::stale_nan() } else { v }
}

fn kind_of(data: &Data) -> NamedKind {
    match data {
        Data::Sum { is_monotonic: true, .. } => NamedKind::MonotonicSum,
        Data::Gauge(_) => NamedKind::Gauge,
        _ => NamedKind::Other,
    }
}

fn metric_type(data: &Data) -> MetricType {
    match data {
        _ if data.temporality() == Some(Temporality::Delta) => MetricType::Unknown,
        Data::None => MetricType::Unknown,
        Data::Sum { is_monotonic: true, .. } => MetricType::Counter,
        Data::Gauge(_) | Data::Sum { .. } => MetricType::Gauge,
        Data::Histogram { .. } | Data::Exponential { .. } => MetricType::Histogram,
        Data::Summary(_) => MetricType::Summary,
    }
}

fn exemplars(exemplars: &[OtlpExemplar]) -> Result<Vec<Exemplar>, PointError> {
    exemplars
        .iter()
        .map(|e| {
            let value = e.value.ok_or_else(|| "unsupported exemplar value type: Empty".to_owned())?;
            let ids = [("trace_id", &e.trace_id), ("span_id", &e.span_id)];
            let ids = ids.into_iter().filter(|(_, id)| !id.is_empty());
            let mut pairs: Vec<(&str, String)> = ids.map(|(name, id)| (name, id.clone())).collect();
            let attributes: Vec<(&str, String)> =
                e.attributes.iter().map(|(key, value)| (key.as_str(), value.to_text())).collect();
            let all = pairs.iter().chain(&attributes);
            let chars: usize = all.map(|(name, value)| name.chars().count() + value.chars().count()).sum();
            if chars <= EXEMPLAR_CHARS_MAX {
                pairs.extend(attributes);
            }
            let t = ms(e.time_ns);
            Ok(Exemplar { labels: Labels::from_pairs(pairs), value, t, has_t: t != 0 })
        })
        .collect()
}
