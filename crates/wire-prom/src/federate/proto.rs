//! Federation as delimited protobuf, which carries every histogram.

use std::collections::BTreeMap;

use model::FloatHistogram;
use model::histogram::{ClassicSeries, CounterResetHint, Span};
use wire_core::ProtoWriter;

use super::{FederateSample, added_labels, full_labels, sort_by_name};
use crate::api_json::SampleValue;
use crate::negotiate::EscapingScheme;

/// A family's type, under the numbers of `io.prometheus.client.MetricType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FamilyType {
    Untyped = 3,
    Histogram = 4,
    GaugeHistogram = 5,
}

impl FamilyType {
    fn of(value: SampleValue<'_>) -> Self {
        match value {
            SampleValue::Float(_) => Self::Untyped,
            SampleValue::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => {
                Self::GaugeHistogram
            }
            SampleValue::Histogram(_) => Self::Histogram,
        }
    }
}

/// As [`super::write_federation`], for clients that asked for protobuf: exponential histograms are
/// native, those with custom buckets classic with float counts.
pub fn write_federation_proto(
    samples: &mut [FederateSample<'_>],
    external_labels: &BTreeMap<String, String>,
    scheme: EscapingScheme,
) -> Vec<u8> {
    sort_by_name(samples);
    let added = added_labels(external_labels);
    let is_stale = |s: &FederateSample<'_>| match s.value {
        SampleValue::Float(v) => model::is_stale_nan(v),
        SampleValue::Histogram(h) => h.is_stale_marker(),
    };
    let kept: Vec<&FederateSample<'_>> =
        samples.iter().filter(|s| !is_stale(s) && !s.labels.metric_name().is_empty()).collect();
    let same_family = |a: &&FederateSample<'_>, b: &&FederateSample<'_>| {
        a.labels.metric_name() == b.labels.metric_name() && FamilyType::of(a.value) == FamilyType::of(b.value)
    };
    let mut w = ProtoWriter::new();
    for family in kept.chunk_by(same_family) {
        w.delimited(|w| {
            w.str_field(1, &scheme.escape(family[0].labels.metric_name()));
            w.u64_field(3, FamilyType::of(family[0].value) as u64);
            for sample in family {
                w.message_field(4, |w| write_metric(w, sample, &added, scheme));
            }
        });
    }
    w.finish()
}

fn write_metric(
    w: &mut ProtoWriter,
    sample: &FederateSample<'_>,
    added: &BTreeMap<&str, &str>,
    scheme: EscapingScheme,
) {
    for (name, value) in full_labels(sample.labels, added) {
        w.message_field(1, |w| {
            w.str_field(1, &scheme.escape(name));
            w.str_field(2, value);
        });
    }
    match sample.value {
        SampleValue::Float(v) => w.message_field(5, |w| w.f64_field(1, v)),
        SampleValue::Histogram(h) => w.message_field(7, |w| write_histogram(w, h)),
    }
    w.i64_field(6, sample.t_ms);
}

fn write_histogram(w: &mut ProtoWriter, h: &FloatHistogram) {
    w.f64_field(2, h.sum);
    w.f64_field(4, h.count);
    if h.uses_custom_buckets() {
        // A histogram whose layout is broken is given without buckets rather than not at all.
        for series in h.to_classic().unwrap_or_default() {
            if let ClassicSeries::Bucket { le, cumulative_count } = series
                && le.is_finite()
            {
                w.message_field(3, |w| {
                    w.f64_field(2, le);
                    w.f64_field(4, cumulative_count);
                });
            }
        }
        return;
    }
    let spans = |w: &mut ProtoWriter, field: u32, spans: &[Span]| {
        for span in spans {
            w.message_field(field, |w| {
                w.sint64_field(1, i64::from(span.offset));
                w.u64_field(2, u64::from(span.length));
            });
        }
    };
    w.sint64_field(5, i64::from(h.schema));
    w.f64_field(6, h.zero_threshold);
    w.f64_field(8, h.zero_count);
    spans(w, 9, &h.negative_spans);
    w.packed_f64(11, h.negative_buckets.iter().copied());
    spans(w, 12, &h.positive_spans);
    w.packed_f64(14, h.positive_buckets.iter().copied());
}
