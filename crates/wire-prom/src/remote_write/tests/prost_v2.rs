//! The messages of remote write 2.0 as a generator declares them, floats and exemplars.

use model::SeriesBatch;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<Metadata>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Exemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    r#type: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

/// A request whose table is not in the order of use.
pub(super) fn sample() -> Request {
    let symbols = ["", "v2", "job", "help text", "up", "__name__", "seconds", "trace_id", "abc"];
    let exemplar = Exemplar { labels_refs: vec![7, 8], value: 0.25, timestamp: 99 };
    Request {
        symbols: symbols.map(str::to_owned).to_vec(),
        timeseries: vec![TimeSeries {
            labels_refs: vec![5, 4, 2, 1],
            samples: vec![
                Sample { value: 1.0, timestamp: 10, start_timestamp: 5 },
                Sample { value: -2.5, timestamp: 20, start_timestamp: 5 },
            ],
            exemplars: vec![exemplar],
            metadata: Some(Metadata { r#type: 2, help_ref: 3, unit_ref: 6 }),
        }],
    }
}

/// A request with its references resolved, a line per series.
pub(super) fn resolved(request: &Request) -> Vec<String> {
    let text = |r: &u32| request.symbols[*r as usize].clone();
    let texts = |refs: &[u32]| refs.iter().map(text).collect::<Vec<_>>();
    let series = |s: &TimeSeries| {
        let samples: Vec<_> = s.samples.iter().map(|s| (s.start_timestamp, s.timestamp, s.value)).collect();
        let exemplars: Vec<_> =
            s.exemplars.iter().map(|e| (texts(&e.labels_refs), e.value, e.timestamp)).collect();
        let metadata = s.metadata.map(|m| (m.r#type, text(&m.help_ref), text(&m.unit_ref)));
        format!("{:?} {samples:?} {exemplars:?} {metadata:?}", texts(&s.labels_refs))
    };
    request.timeseries.iter().map(series).collect()
}

/// The same of a batch with one family.
pub(super) fn of_batch(batch: &SeriesBatch) -> Vec<String> {
    let texts = |labels: &model::Labels| {
        labels.iter().flat_map(|(n, v)| [n.to_owned(), v.to_owned()]).collect::<Vec<_>>()
    };
    let metadata =
        batch.metadata.first().map(|(_, m)| (m.metric_type as i32, m.help.clone(), m.unit.clone()));
    let series = |(idx, s): (u32, &model::BatchSeries)| {
        let own = batch.floats.iter().filter(|f| f.series_idx == idx);
        let samples: Vec<_> = own.map(|f| (f.st, f.t, f.v)).collect();
        let own = batch.exemplars.iter().filter(|(i, _)| *i == idx);
        let exemplars: Vec<_> = own.map(|(_, e)| (texts(&e.labels), e.value, e.t)).collect();
        format!("{:?} {samples:?} {exemplars:?} {metadata:?}", texts(&s.labels))
    };
    (0u32..).zip(&batch.series).map(series).collect()
}
