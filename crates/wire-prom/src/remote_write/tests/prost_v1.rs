//! The messages of remote write 1.0 as a generator declares them.

use model::SeriesBatch;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<MetricMetadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Histogram {
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(double, optional, tag = "7")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<BucketSpan>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<BucketSpan>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetricMetadata {
    #[prost(int32, tag = "1")]
    r#type: i32,
    #[prost(string, tag = "2")]
    metric_family_name: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(n, v)| Label { name: (*n).to_owned(), value: (*v).to_owned() }).collect()
}

/// A request with everything in it.
pub(super) fn sample() -> WriteRequest {
    let histogram = Histogram {
        count_float: Some(4.5),
        sum: 3.25,
        schema: -53,
        zero_count_float: Some(0.0),
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_counts: vec![1.5, 3.0],
        reset_hint: 3,
        timestamp: 77,
        custom_values: vec![0.5, 1.0],
        ..Histogram::default()
    };
    let exemplar = Exemplar { labels: labels(&[("trace_id", "é")]), value: 0.5, timestamp: -3 };
    WriteRequest {
        timeseries: vec![
            TimeSeries {
                labels: labels(&[("__name__", "a"), ("l", "é\"")]),
                samples: vec![
                    Sample { value: -1.5, timestamp: -5 },
                    Sample { value: f64::INFINITY, timestamp: 1_600_000_000_000 },
                ],
                exemplars: vec![exemplar],
                histograms: vec![],
            },
            TimeSeries {
                labels: labels(&[("__name__", "h")]),
                histograms: vec![histogram],
                ..TimeSeries::default()
            },
        ],
        metadata: vec![MetricMetadata {
            r#type: 1,
            metric_family_name: "a".to_owned(),
            help: "help".to_owned(),
            unit: "seconds".to_owned(),
        }],
    }
}

/// The request that says what a batch holds.
pub(super) fn of_batch(batch: &SeriesBatch) -> WriteRequest {
    let pairs = |l: &model::Labels| labels(&l.iter().collect::<Vec<_>>());
    let spans = |spans: &[model::histogram::Span]| {
        spans.iter().map(|s| BucketSpan { offset: s.offset, length: s.length }).collect()
    };
    let mut timeseries: Vec<TimeSeries> = batch
        .series
        .iter()
        .map(|s| TimeSeries { labels: pairs(&s.labels), ..TimeSeries::default() })
        .collect();
    for s in &batch.floats {
        timeseries[s.series_idx as usize].samples.push(Sample { value: s.v, timestamp: s.t });
    }
    for (idx, e) in &batch.exemplars {
        let exemplar = Exemplar { labels: pairs(&e.labels), value: e.value, timestamp: e.t };
        timeseries[*idx as usize].exemplars.push(exemplar);
    }
    for s in &batch.histograms {
        timeseries[s.series_idx as usize].histograms.push(Histogram {
            count_float: Some(s.h.count),
            sum: s.h.sum,
            schema: s.h.schema,
            zero_threshold: s.h.zero_threshold,
            zero_count_float: Some(s.h.zero_count),
            negative_spans: spans(&s.h.negative_spans),
            negative_counts: s.h.negative_buckets.clone(),
            positive_spans: spans(&s.h.positive_spans),
            positive_counts: s.h.positive_buckets.clone(),
            reset_hint: s.h.counter_reset_hint as i32,
            timestamp: s.t,
            custom_values: s.h.custom_values.clone(),
        });
    }
    let metadata = batch.metadata.iter().map(|(family, m)| MetricMetadata {
        r#type: m.metric_type as i32,
        metric_family_name: family.clone(),
        help: m.help.clone(),
        unit: m.unit.clone(),
    });
    WriteRequest { timeseries, metadata: metadata.collect() }
}
