//! Federation: the latest sample of each selected series, as text.

use std::collections::BTreeMap;

use model::histogram::{ClassicSeries, CounterResetHint};
use model::labels::METRIC_NAME;
use model::{Labels, MetricType};

use crate::api_json::SampleValue;
use crate::expose_text::{FamilyHeader, TextEncoder, TextSample};
use crate::negotiate::{EscapingScheme, ExposeFormat};

mod proto;

pub use proto::write_federation_proto;

const INSTANCE_LABEL: &str = "instance";

/// One series' latest sample.
#[derive(Debug, Clone, Copy)]
pub struct FederateSample<'a> {
    pub labels: &'a Labels,
    pub t_ms: i64,
    pub value: SampleValue<'a>,
}

/// Writes samples sorted by metric name, in the order given within a name. External labels are
/// added where a series has none of that name, `instance` always, if only empty, so that the
/// scraping server does not put its own. Stale and nameless samples are left out, and so are
/// exponential histograms, which text cannot carry; those with custom buckets become classic ones.
pub fn write_federation(
    samples: &mut [FederateSample<'_>],
    external_labels: &BTreeMap<String, String>,
    scheme: EscapingScheme,
) -> Vec<u8> {
    sort_by_name(samples);
    let added = added_labels(external_labels);
    let mut encoder = TextEncoder::new(ExposeFormat::Text, scheme);
    let mut family: Option<(&str, MetricType, bool)> = None;
    for sample in samples.iter() {
        let name = sample.labels.metric_name();
        let (metric_type, is_gauge, series) = match sample.value {
            SampleValue::Float(v) if model::is_stale_nan(v) => continue,
            SampleValue::Float(_) => (MetricType::Unknown, false, Vec::new()),
            SampleValue::Histogram(h) => match h.to_classic() {
                Ok(series) if !h.is_stale_marker() => {
                    (MetricType::Histogram, h.counter_reset_hint == CounterResetHint::Gauge, series)
                }
                Ok(_) | Err(_) => continue,
            },
        };
        if name.is_empty() {
            continue;
        }
        if family != Some((name, metric_type, is_gauge)) {
            family = Some((name, metric_type, is_gauge));
            encoder.family(&FamilyHeader { name, help: None, metric_type, unit: None });
        }
        let labels = full_labels(sample.labels, &added);
        let timestamp_ms = Some(sample.t_ms);
        match sample.value {
            SampleValue::Float(v) => {
                encoder.sample(&TextSample { timestamp_ms, ..TextSample::new(&labels, v) });
            }
            SampleValue::Histogram(h) => {
                let bucket = |s: &ClassicSeries| match s {
                    ClassicSeries::Bucket { le, cumulative_count } => Some((*le, *cumulative_count)),
                    ClassicSeries::Count(_) | ClassicSeries::Sum(_) => None,
                };
                let buckets: Vec<(f64, f64)> = series.iter().filter_map(bucket).collect();
                encoder.histogram(&labels, &buckets, h.count, h.sum, timestamp_ms);
            }
        }
    }
    encoder.finish()
}

fn sort_by_name(samples: &mut [FederateSample<'_>]) {
    samples.sort_by(|a, b| a.labels.metric_name().cmp(b.labels.metric_name()));
}

/// The labels that series get unless they have them.
fn added_labels(external_labels: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let mut added: BTreeMap<&str, &str> =
        external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    added.entry(INSTANCE_LABEL).or_insert("");
    added
}

/// A series' own labels without its name, then those added.
fn full_labels<'a>(labels: &'a Labels, added: &BTreeMap<&'a str, &'a str>) -> Vec<(&'a str, &'a str)> {
    let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let missing = added.iter().map(|(name, value)| (*name, *value)).filter(|(n, _)| labels.get(n).is_none());
    own.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use model::FloatHistogram;
    use model::histogram::Span;

    use super::*;

    #[test]
    fn federation_is_written_as_upstream_writes_it() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let series = [
            labels(&[("__name__", "b"), ("instance", "i"), ("zone", "own")]),
            labels(&[("__name__", "a"), ("x", "1")]),
            labels(&[("x", "nameless")]),
            labels(&[("__name__", "a"), ("x", "0")]),
            labels(&[("__name__", "h")]),
        ];
        let nhcb = FloatHistogram {
            schema: -53,
            count: 3.0,
            sum: 2.5,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_values: vec![5.0],
            ..FloatHistogram::default()
        };
        let exponential = FloatHistogram { schema: 1, ..FloatHistogram::default() };
        let value = SampleValue::Float;
        let sample = |idx: usize, t_ms, value| FederateSample { labels: &series[idx], t_ms, value };
        let mut samples = [
            sample(0, 1000, value(1.5)),
            sample(1, 2000, value(2.0)),
            sample(2, 2000, value(2.0)),
            sample(3, 2000, value(model::stale_nan())),
            sample(4, 3000, SampleValue::Histogram(&nhcb)),
            sample(4, 3000, SampleValue::Histogram(&exponential)),
        ];
        let external = BTreeMap::from([("zone".to_owned(), "ext".to_owned())]);
        let got = write_federation(&mut samples, &external, EscapingScheme::Underscores);
        let expected = r#"# TYPE a untyped
a{x="1",instance="",zone="ext"} 2 2000
# TYPE b untyped
b{instance="i",zone="own"} 1.5 1000
# TYPE h histogram
h_bucket{instance="",zone="ext",le="5"} 1 3000
h_bucket{instance="",zone="ext",le="+Inf"} 3 3000
h_sum{instance="",zone="ext"} 2.5 3000
h_count{instance="",zone="ext"} 3 3000
"#;
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }

    #[test]
    fn protobuf_federation_is_read_back_by_the_scraper() {
        use crate::expose::{Entry, Format, Parser, ParserOptions};
        let name = |name: &str| Labels::from_pairs([("__name__", name), ("instance", "i")]);
        let (a, h) = (name("a.b"), name("h"));
        let native = FloatHistogram {
            schema: 2,
            zero_threshold: 0.5,
            zero_count: 1.5,
            count: 4.5,
            sum: 2.5,
            positive_spans: vec![Span { offset: 3, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        let gauge = FloatHistogram { counter_reset_hint: CounterResetHint::Gauge, ..native.clone() };
        let nhcb = FloatHistogram {
            schema: -53,
            count: 3.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_values: vec![5.0],
            ..FloatHistogram::default()
        };
        let sample = |labels, value| FederateSample { labels, t_ms: 7, value };
        let mut samples = [
            sample(&h, SampleValue::Histogram(&native)),
            sample(&h, SampleValue::Histogram(&gauge)),
            sample(&h, SampleValue::Histogram(&nhcb)),
            sample(&a, SampleValue::Float(1.5)),
            sample(&a, SampleValue::Float(model::stale_nan())),
        ];
        let body = write_federation_proto(&mut samples, &BTreeMap::new(), EscapingScheme::AllowUtf8);
        let mut parser = Parser::new(&body, Format::Protobuf, ParserOptions::default());
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        while let Some(entry) = parser.next_entry().unwrap() {
            match entry {
                Entry::Series(s) => floats.push((String::from_utf8_lossy(s.raw).into_owned(), s.value)),
                Entry::Histogram(s) => histograms.push((s.timestamp_ms, s.histogram.clone())),
                _ => {}
            }
        }
        assert_eq!(histograms, [(Some(7), native), (Some(7), gauge)]);
        let values: Vec<f64> = floats.iter().map(|(_, v)| *v).collect();
        assert_eq!(values, [1.5, 3.0, 0.0, 1.0, 3.0], "{floats:?}");
        assert!(floats[0].0.starts_with("a.b"));
    }
}
