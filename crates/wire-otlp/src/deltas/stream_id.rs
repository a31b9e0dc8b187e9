//! What makes a stream of a sender: its resource, scope, metric and attributes.

use crate::request::{Attributes, Value};

/// Names one stream among those of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u128);

/// Collects what names a stream, from the resource inwards. Two streams that differ write
/// differently: texts and lists begin with their lengths, values with their kinds.
#[derive(Debug, Default)]
pub(super) struct IdWriter {
    bytes: Vec<u8>,
}

impl IdWriter {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what was written after this length.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(super) fn finish(&self) -> StreamId {
        StreamId(xxhash_rust::xxh3::xxh3_128(&self.bytes))
    }

    pub(super) fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    /// The order in which a sender lists attributes has no meaning.
    pub(super) fn attributes(&mut self, attributes: &Attributes) {
        let mut sorted: Vec<&(String, Value)> = attributes.iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.count(sorted.len());
        for (key, value) in sorted {
            self.text(key);
            self.value(value);
        }
    }

    fn count(&mut self, n: usize) {
        self.bytes.extend_from_slice(&(n as u64).to_le_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Values nest no deeper than the decoders allow.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Empty => self.tag(0),
            Value::Text(text) => {
                self.tag(1);
                self.text(text);
            }
            Value::Bool(v) => self.bytes.extend_from_slice(&[2, u8::from(*v)]),
            Value::Int(v) => {
                self.tag(3);
                self.bytes.extend_from_slice(&v.to_le_bytes());
            }
            Value::Double(v) => {
                self.tag(4);
                self.bytes.extend_from_slice(&v.to_bits().to_le_bytes());
            }
            Value::Array(values) => {
                self.tag(5);
                self.count(values.len());
                values.iter().for_each(|value| self.value(value));
            }
            Value::Map(pairs) => {
                self.tag(6);
                self.attributes(pairs);
            }
            Value::Bytes(bytes) => {
                self.tag(7);
                self.raw(bytes);
            }
        }
    }
}
