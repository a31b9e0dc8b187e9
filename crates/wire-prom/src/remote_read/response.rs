//! `prometheus.ReadResponse`: whole samples.

use model::Labels;
use wire_core::ProtoWriter;

use crate::api_json::SampleValue;
use crate::remote_write::labels_v1;
use crate::wire_histogram;

/// Writes an answer of the samples type, one result per query in the order of the request.
#[derive(Debug, Default)]
pub struct SamplesResponse {
    w: ProtoWriter,
}

/// The series of one query.
#[derive(Debug)]
pub struct QueryResultWriter<'w> {
    w: &'w mut ProtoWriter,
}

impl SamplesResponse {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn result(&mut self, series: impl FnOnce(&mut QueryResultWriter<'_>)) {
        self.w.message_field(1, |w| series(&mut QueryResultWriter { w }));
    }

    /// Bytes written so far, for limits.
    pub fn len(&self) -> usize {
        self.w.as_bytes().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message, to be compressed with snappy.
    pub fn finish(self) -> Vec<u8> {
        self.w.finish()
    }
}

impl QueryResultWriter<'_> {
    /// One series with its samples in time order.
    pub fn series<'h>(&mut self, labels: &Labels, samples: impl IntoIterator<Item = (i64, SampleValue<'h>)>) {
        self.w.message_field(1, |w| {
            labels_v1(w, 1, labels);
            for (t, value) in samples {
                match value {
                    SampleValue::Float(v) => w.message_field(2, |w| {
                        w.f64_field(1, v);
                        w.i64_field(2, t);
                    }),
                    SampleValue::Histogram(h) => {
                        w.message_field(4, |w| wire_histogram::encode(w, h, t, 0));
                    }
                }
            }
        });
    }
}
