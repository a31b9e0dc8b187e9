//! Remote write 1.0 as a generator declares it, for comparison with our decoder.

use prost::Message;
use wire_prom::remote_write::{DecodedWrite, WriteError};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// One sample with the labels of its series.
type Row = (Vec<(Vec<u8>, Vec<u8>)>, i64, u64);

/// Where our decoder takes a request whole, the generated one takes it too and finds the same samples.
pub(super) fn check_agreement(body: &[u8], ours: Result<&DecodedWrite, &WriteError>) {
    let Some(ours) = ours.ok().filter(|ours| ours.rejected.is_empty() && ours.fatal.is_none()) else {
        return;
    };
    // Fields that we skip unread may be malformed inside; there is nothing to compare then.
    let Ok(theirs) = WriteRequest::decode(body) else { return };
    assert_eq!(our_rows(ours), their_rows(&theirs), "our decoder and the generated one");
}

fn our_rows(ours: &DecodedWrite) -> Vec<Row> {
    let pairs = |idx: u32| {
        let labels = &ours.batch.series[idx as usize].labels;
        labels.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    };
    sorted(ours.batch.floats.iter().map(|s| (pairs(s.series_idx), s.t, s.v.to_bits())).collect())
}

fn their_rows(theirs: &WriteRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in &theirs.timeseries {
        let mut pairs: Vec<_> = series.labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
        pairs.retain(|(_, value)| !value.is_empty());
        pairs.sort();
        rows.extend(series.samples.iter().map(|s| (pairs.clone(), s.timestamp, s.value.to_bits())));
    }
    sorted(rows)
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}
