//! Warnings and infos that an evaluation collects, with upstream's texts.
//!
//! Annotations of equal text are one annotation, wherever in the query they arose; the last one
//! gives the position, as upstream does. Rendered, they carry ` (line:col)`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base::gofloat;
use model::labels::GoQuoted;
use ql_core::Span;

/// How many warnings, and how many infos, the HTTP API shows before it counts the rest.
pub const ANNOTATIONS_SHOWN_MAX: usize = 10;

/// Which histogram arithmetic an annotation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl fmt::Display for HistogramOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        })
    }
}

/// What `histogram_quantile` had to mend, over all samples it mended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedMonotonicity {
    pub ts_min_ms: i64,
    pub ts_max_ms: i64,
    pub bucket_min: f64,
    pub bucket_max: f64,
    pub diff_max: f64,
    /// Samples beyond the first.
    pub n_more: usize,
}

/// Everything an evaluation may remark. `metric` is the metric name, possibly empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Annotation {
    InvalidRatio { ratio: f64, capped_to: f64 },
    InvalidQuantile { quantile: f64 },
    BadBucketLabel { metric: String, label: String },
    MixedFloatsHistograms { metric: String },
    MixedFloatsHistogramsAggregation,
    MixedClassicNativeHistograms { metric: String },
    NativeHistogramNotCounter { metric: String },
    NativeHistogramNotGauge { metric: String },
    MixedExponentialCustomHistograms { metric: String },
    IncompatibleBucketLayoutInBinOp { operator: &'static str },
    SortInRangeQuery,
    HistogramCounterResetCollision { operation: HistogramOperation },
    StartTimeOverlap { metric: String, occurrences: usize },
    PossibleNonCounter { metric: String },
    PossibleNonCounterLabel { metric: String, type_label: String },
    ForcedMonotonicity { metric: String, extent: ForcedMonotonicity },
    IncompatibleTypesInBinOp { left: &'static str, operator: &'static str, right: &'static str },
    HistogramIgnoredInAggregation { aggregation: &'static str },
    HistogramIgnoredInMixedRange { metric: String },
    NativeHistogramQuantileNanResult { metric: String },
    NativeHistogramQuantileNanSkew { metric: String },
    NativeHistogramFractionNans { metric: String },
    MismatchedCustomBuckets { operation: HistogramOperation },
}

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Info,
}

impl Annotation {
    pub fn severity(&self) -> Severity {
        match self {
            Self::InvalidRatio { .. }
            | Self::InvalidQuantile { .. }
            | Self::BadBucketLabel { .. }
            | Self::MixedFloatsHistograms { .. }
            | Self::MixedFloatsHistogramsAggregation
            | Self::MixedClassicNativeHistograms { .. }
            | Self::NativeHistogramNotCounter { .. }
            | Self::NativeHistogramNotGauge { .. }
            | Self::MixedExponentialCustomHistograms { .. }
            | Self::IncompatibleBucketLayoutInBinOp { .. }
            | Self::SortInRangeQuery
            | Self::HistogramCounterResetCollision { .. }
            | Self::StartTimeOverlap { .. } => Severity::Warning,
            Self::PossibleNonCounter { .. }
            | Self::PossibleNonCounterLabel { .. }
            | Self::ForcedMonotonicity { .. }
            | Self::IncompatibleTypesInBinOp { .. }
            | Self::HistogramIgnoredInAggregation { .. }
            | Self::HistogramIgnoredInMixedRange { .. }
            | Self::NativeHistogramQuantileNanResult { .. }
            | Self::NativeHistogramQuantileNanSkew { .. }
            | Self::NativeHistogramFractionNans { .. }
            | Self::MismatchedCustomBuckets { .. } => Severity::Info,
        }
    }

    /// What the rendered text adds about extent, before the position.
    fn extent(&self) -> String {
        match self {
            Self::StartTimeOverlap { occurrences, .. } if *occurrences > 1 => {
                format!(" ({occurrences} occurrences)")
            }
            Self::ForcedMonotonicity { extent, .. } => format!(
                ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                gofloat::format_g(extent.bucket_min),
                gofloat::format_g(extent.bucket_max),
                gofloat::format_g_precision(extent.diff_max, 2),
                extent.n_more + 1,
                rfc3339_seconds(extent.ts_min_ms),
                rfc3339_seconds(extent.ts_max_ms),
            ),
            _ => String::new(),
        }
    }

    /// Takes in an earlier annotation of the same text.
    fn absorb(&mut self, earlier: &Self) {
        match (self, earlier) {
            (
                Self::StartTimeOverlap { occurrences, .. },
                Self::StartTimeOverlap { occurrences: before, .. },
            ) => {
                *occurrences += before;
            }
            (Self::ForcedMonotonicity { extent, .. }, Self::ForcedMonotonicity { extent: before, .. }) => {
                extent.ts_min_ms = extent.ts_min_ms.min(before.ts_min_ms);
                extent.ts_max_ms = extent.ts_max_ms.max(before.ts_max_ms);
                extent.bucket_min = extent.bucket_min.min(before.bucket_min);
                extent.bucket_max = extent.bucket_max.max(before.bucket_max);
                extent.diff_max = extent.diff_max.max(before.diff_max);
                extent.n_more += before.n_more + 1;
            }
            _ => {}
        }
    }
}

fn rfc3339_seconds(ts_ms: i64) -> String {
    let ts_s = ts_ms / 1000;
    let date = crate::functions::date::CivilDate::from_unix_days(ts_s.div_euclid(86_400));
    let of_day_s = ts_s.rem_euclid(86_400);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        of_day_s / 3600,
        of_day_s / 60 % 60,
        of_day_s % 60
    )
}

/// ` for metric name "x"`, or nothing where the name is not known.
struct ForMetric<'a>(&'a str);

impl fmt::Display for ForMetric<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " for metric name {}", GoQuoted(self.0)) }
    }
}

impl fmt::Display for Annotation {
    /// The text without extent and position, by which equal annotations are found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity() {
            Severity::Warning => "PromQL warning: ",
            Severity::Info => "PromQL info: ",
        })?;
        match self {
            Self::InvalidRatio { ratio, capped_to } => write!(
                f,
                "ratio value should be between -1 and 1, got {}, capping to {}",
                gofloat::format_g(*ratio),
                gofloat::format_g(*capped_to)
            ),
            Self::InvalidQuantile { quantile } => {
                write!(f, "quantile value should be between 0 and 1, got {}", gofloat::format_g(*quantile))
            }
            Self::BadBucketLabel { metric, label } => write!(
                f,
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                GoQuoted(label),
                ForMetric(metric)
            ),
            Self::MixedFloatsHistograms { metric } => {
                write!(f, "encountered a mix of histograms and floats for metric name {}", GoQuoted(metric))
            }
            Self::MixedFloatsHistogramsAggregation => {
                f.write_str("encountered a mix of histograms and floats for aggregation")
            }
            Self::MixedClassicNativeHistograms { metric } => {
                write!(f, "vector contains a mix of classic and native histograms{}", ForMetric(metric))
            }
            Self::NativeHistogramNotCounter { metric } => {
                write!(f, "this native histogram metric is not a counter: {}", GoQuoted(metric))
            }
            Self::NativeHistogramNotGauge { metric } => {
                write!(f, "this native histogram metric is not a gauge: {}", GoQuoted(metric))
            }
            Self::MixedExponentialCustomHistograms { metric } => write!(
                f,
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                GoQuoted(metric)
            ),
            Self::IncompatibleBucketLayoutInBinOp { operator } => {
                write!(f, "incompatible bucket layout encountered for binary operator {operator}")
            }
            Self::SortInRangeQuery => f.write_str(
                "sort is ineffective for range queries since results are always ordered by labels",
            ),
            Self::HistogramCounterResetCollision { operation } => {
                write!(f, "conflicting counter resets during histogram {operation}")
            }
            Self::StartTimeOverlap { metric, .. } => write!(
                f,
                "sample has start time that overlaps with previous sample timestamp for metric {}",
                GoQuoted(metric)
            ),
            Self::PossibleNonCounter { metric } => write!(
                f,
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                GoQuoted(metric)
            ),
            Self::PossibleNonCounterLabel { metric, type_label } => write!(
                f,
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                GoQuoted(type_label),
                GoQuoted(metric)
            ),
            Self::ForcedMonotonicity { metric, .. } => write!(
                f,
                "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
                ForMetric(metric)
            ),
            Self::IncompatibleTypesInBinOp { left, operator, right } => write!(
                f,
                "incompatible sample types encountered for binary operator \"{operator}\": {left} {operator} {right}"
            ),
            Self::HistogramIgnoredInAggregation { aggregation } => {
                write!(f, "ignored histogram in {aggregation} aggregation")
            }
            Self::HistogramIgnoredInMixedRange { metric } => write!(
                f,
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                GoQuoted(metric)
            ),
            Self::NativeHistogramQuantileNanResult { metric } => write!(
                f,
                "input to histogram_quantile has NaN observations, result is NaN{}",
                ForMetric(metric)
            ),
            Self::NativeHistogramQuantileNanSkew { metric } => write!(
                f,
                "input to histogram_quantile has NaN observations, result is skewed higher{}",
                ForMetric(metric)
            ),
            Self::NativeHistogramFractionNans { metric } => write!(
                f,
                "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                ForMetric(metric)
            ),
            Self::MismatchedCustomBuckets { operation } => {
                write!(f, "mismatched custom buckets were reconciled during {operation}")
            }
        }
    }
}

/// The annotations of one evaluation, by text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotations {
    by_text: BTreeMap<String, (Annotation, Span)>,
}

impl Annotations {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the expression at `position` of the query gave rise to.
    pub fn add(&mut self, mut annotation: Annotation, position: Span) {
        match self.by_text.entry(annotation.to_string()) {
            Entry::Vacant(vacant) => {
                vacant.insert((annotation, position));
            }
            Entry::Occupied(mut known) => {
                annotation.absorb(&known.get().0);
                known.insert((annotation, position));
            }
        }
    }

    /// Adds all of `later`, as if they had been added one by one.
    pub fn merge(&mut self, later: Self) {
        for (text, (mut annotation, position)) in later.by_text {
            match self.by_text.entry(text) {
                Entry::Vacant(vacant) => {
                    vacant.insert((annotation, position));
                }
                Entry::Occupied(mut known) => {
                    annotation.absorb(&known.get().0);
                    known.insert((annotation, position));
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.by_text.values().map(|(annotation, _)| annotation)
    }

    /// The rendered texts of one severity in text order, at most `shown_max` (0 for no limit)
    /// followed by how many were left out.
    pub fn rendered(&self, severity: Severity, query: &str, shown_max: usize) -> Vec<String> {
        let of_severity =
            || self.by_text.values().filter(|(annotation, _)| annotation.severity() == severity);
        let shown = if shown_max == 0 { usize::MAX } else { shown_max };
        let mut texts: Vec<String> = of_severity()
            .take(shown)
            .map(|(annotation, position)| {
                format!("{annotation}{} ({})", annotation.extent(), line_and_column(query, *position))
            })
            .collect();
        let omitted = of_severity().count() - texts.len();
        if omitted > 0 {
            let kind = match severity {
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            texts.push(format!("{omitted} more {kind} annotations omitted"));
        }
        texts
    }
}

/// `line:col` of where a span starts.
fn line_and_column(query: &str, position: Span) -> String {
    if query.is_empty() {
        return "unknown position".to_owned();
    }
    position.line_column(query).map_or_else(|| "invalid position".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_annotation_at_the_last_position() {
        let mut annotations = Annotations::new();
        annotations.add(Annotation::PossibleNonCounter { metric: "m".to_owned() }, Span::new(0, 1));
        annotations.add(Annotation::PossibleNonCounter { metric: "m".to_owned() }, Span::new(5, 6));
        assert_eq!(
            annotations.rendered(Severity::Info, "a\nbcd\nef", 0),
            [
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m\" (2:4)"
            ]
        );
        assert!(annotations.rendered(Severity::Warning, "x", 0).is_empty());
    }

    #[test]
    fn annotations_beyond_the_limit_are_counted() {
        let mut annotations = Annotations::new();
        for idx in 0..12 {
            annotations
                .add(Annotation::NativeHistogramNotGauge { metric: format!("m{idx}") }, Span::default());
        }
        let texts = annotations.rendered(Severity::Warning, "x", ANNOTATIONS_SHOWN_MAX);
        assert_eq!(texts.len(), 11);
        assert_eq!(texts[10], "2 more warning annotations omitted");
    }

    #[test]
    fn mended_buckets_are_summed_up() {
        let extent = |ts_ms, diff_max| ForcedMonotonicity {
            ts_min_ms: ts_ms,
            ts_max_ms: ts_ms,
            bucket_min: 5.0,
            bucket_max: 1000.0,
            diff_max,
            n_more: 0,
        };
        let mut annotations = Annotations::new();
        for (ts_ms, diff_max) in [(0, 8.0), (60_000, 0.125)] {
            let metric = String::new();
            annotations.add(
                Annotation::ForcedMonotonicity { metric, extent: extent(ts_ms, diff_max) },
                Span::default(),
            );
        }
        let texts = annotations.rendered(Severity::Info, "x", 0);
        assert!(
            texts[0].ends_with(", from buckets 5 to 1000, with a max diff of 8, over 2 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:1)"),
            "{texts:?}"
        );
    }
}
