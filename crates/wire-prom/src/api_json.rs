//! The JSON of the HTTP API, written straight into bytes: envelopes, vectors, matrices, histograms.
//! Values are strings as Go prints them; times are seconds with up to three decimals.

use base::gofloat;
use model::{Exemplar, FloatHistogram, Labels};

/// What a sample holds.
#[derive(Debug, Clone, Copy)]
pub enum SampleValue<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// Appends JSON to a byte vector.
///
/// Objects and arrays are opened and closed by the caller; commas are put where they belong.
#[derive(Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    scratch: String,
}

impl JsonWriter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues behind what `out` holds already.
    pub fn into_buffer(out: Vec<u8>) -> Self {
        Self { out, scratch: String::new() }
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// A comma, unless a container has just been opened or a key written.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':' | b',')) {
            self.out.push(b',');
        }
    }

    /// JSON that the caller has encoded already, as the next value.
    pub fn raw(&mut self, json: &[u8]) {
        self.separate();
        self.out.extend_from_slice(json);
    }

    pub fn object(&mut self, body: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'{');
        body(self);
        self.out.push(b'}');
    }

    pub fn array(&mut self, body: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'[');
        body(self);
        self.out.push(b']');
    }

    pub fn key(&mut self, name: &str) {
        self.string(name);
        self.out.push(b':');
    }

    pub fn string(&mut self, text: &str) {
        self.separate();
        push_escaped(&mut self.out, text, Escape::Html);
    }

    pub fn int(&mut self, v: i64) {
        self.separate();
        push_int(&mut self.out, v);
    }

    pub fn bool(&mut self, v: bool) {
        self.raw(if v { b"true" } else { b"false" });
    }

    pub fn null(&mut self) {
        self.raw(b"null");
    }

    pub fn strings<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        self.array(|w| texts.into_iter().for_each(|t| w.string(t.as_ref())));
    }

    /// A time in milliseconds as seconds: `1435781451.781`.
    pub fn timestamp(&mut self, t_ms: i64) {
        self.separate();
        if t_ms < 0 {
            self.out.push(b'-');
        }
        push_u64(&mut self.out, t_ms.unsigned_abs() / 1000);
        let fraction = t_ms.unsigned_abs() % 1000;
        if fraction != 0 {
            let digit = |scale: u64| b'0' + (fraction / scale % 10) as u8;
            self.out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
        }
    }

    /// A time in milliseconds as the shortest number of seconds, as scalars and strings have it.
    pub fn seconds(&mut self, t_ms: i64) {
        self.separate();
        self.scratch.clear();
        gofloat::push_f(&mut self.scratch, t_ms as f64 / 1000.0);
        self.out.extend_from_slice(self.scratch.as_bytes());
    }

    /// A sample value as a string, in exponent form below 1e-6 and from 1e21 on.
    pub fn value(&mut self, v: f64) {
        self.separate();
        let abs = v.abs();
        // Most samples are counts, which need no search for the shortest digits.
        if v.fract() == 0.0 && abs < WHOLE_MAX && v.to_bits() != (-0.0f64).to_bits() {
            self.out.push(b'"');
            push_int(&mut self.out, v as i64);
            self.out.push(b'"');
            return;
        }
        self.scratch.clear();
        if abs != 0.0 && abs.is_finite() && !(1e-6..1e21).contains(&abs) {
            self.scratch.push_str(&gofloat::format_e(v));
        } else {
            gofloat::push_f(&mut self.scratch, v);
        }
        self.out.push(b'"');
        self.out.extend_from_slice(self.scratch.as_bytes());
        self.out.push(b'"');
    }

    /// `{"count":"42","sum":"1.5","buckets":[[rule,"lower","upper","count"]]}`; buckets without
    /// observations are left out. Rule 0 is open below, 1 open above, 2 open, 3 closed.
    pub fn histogram(&mut self, h: &FloatHistogram) {
        self.object(|w| {
            w.key("count");
            w.value(h.count);
            w.key("sum");
            w.value(h.sum);
            let mut buckets = h.iter_all().filter(|b| b.count != 0.0).peekable();
            if buckets.peek().is_none() {
                return;
            }
            w.key("buckets");
            w.array(|w| {
                for bucket in buckets {
                    let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                        (false, true) => 0,
                        (true, false) => 1,
                        (false, false) => 2,
                        (true, true) => 3,
                    };
                    w.array(|w| {
                        w.int(rule);
                        w.value(bucket.lower);
                        w.value(bucket.upper);
                        w.value(bucket.count);
                    });
                }
            });
        });
    }

    /// A label set. Upstream escapes HTML characters everywhere but here.
    pub fn labels(&mut self, labels: &Labels) {
        self.object(|w| {
            for (name, value) in labels {
                w.separate();
                push_escaped(&mut w.out, name, Escape::Plain);
                w.out.push(b':');
                push_escaped(&mut w.out, value, Escape::Plain);
            }
        });
    }

    /// `[seconds, "value"]`
    pub fn point(&mut self, t_ms: i64, value: SampleValue<'_>) {
        self.array(|w| {
            w.timestamp(t_ms);
            match value {
                SampleValue::Float(v) => w.value(v),
                SampleValue::Histogram(h) => w.histogram(h),
            }
        });
    }

    /// One element of a vector: `{"metric":{…},"value":[…]}` or with `"histogram"`.
    pub fn vector_sample(&mut self, labels: &Labels, t_ms: i64, value: SampleValue<'_>) {
        self.object(|w| {
            w.key("metric");
            w.labels(labels);
            w.key(match value {
                SampleValue::Float(_) => "value",
                SampleValue::Histogram(_) => "histogram",
            });
            w.point(t_ms, value);
        });
    }

    /// One element of a matrix: `{"metric":{…},"values":[…],"histograms":[…]}`; either list is left
    /// out when it is empty.
    pub fn matrix_series<'h>(
        &mut self,
        labels: &Labels,
        floats: impl IntoIterator<Item = (i64, f64)>,
        histograms: impl IntoIterator<Item = (i64, &'h FloatHistogram)>,
    ) {
        let mut floats = floats.into_iter().peekable();
        let mut histograms = histograms.into_iter().peekable();
        self.object(|w| {
            w.key("metric");
            w.labels(labels);
            if floats.peek().is_some() {
                w.key("values");
                w.array(|w| floats.for_each(|(t, v)| w.point(t, SampleValue::Float(v))));
            }
            if histograms.peek().is_some() {
                w.key("histograms");
                w.array(|w| histograms.for_each(|(t, h)| w.point(t, SampleValue::Histogram(h))));
            }
        });
    }

    /// `{"labels":{…},"value":"…","timestamp":…}`
    pub fn exemplar(&mut self, exemplar: &Exemplar) {
        self.object(|w| {
            w.key("labels");
            w.labels(&exemplar.labels);
            w.key("value");
            w.value(exemplar.value);
            w.key("timestamp");
            w.timestamp(exemplar.t);
        });
    }
}

/// The error types of the API and their status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    Timeout,
    Canceled,
    Execution,
    BadData,
    Internal,
    Unavailable,
    NotFound,
    NotAcceptable,
}

impl ErrorType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Execution => "execution",
            Self::BadData => "bad_data",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
            Self::NotAcceptable => "not_acceptable",
        }
    }

    /// The HTTP status upstream answers with.
    pub fn status(self) -> u16 {
        match self {
            Self::BadData => 400,
            Self::Execution => 422,
            Self::Canceled => 499,
            Self::Timeout | Self::Unavailable => 503,
            Self::Internal => 500,
            Self::NotFound => 404,
            Self::NotAcceptable => 406,
        }
    }
}

/// `{"status":"success","data":…,"warnings":[…],"infos":[…]}`; empty lists are left out.
pub fn success<T: AsRef<str>>(data: impl FnOnce(&mut JsonWriter), warnings: &[T], infos: &[T]) -> Vec<u8> {
    let mut writer = JsonWriter::new();
    writer.object(|w| {
        w.key("status");
        w.string("success");
        w.key("data");
        data(w);
        notes(w, warnings, infos);
    });
    writer.finish()
}

/// `{"status":"error","errorType":"…","error":"…"}`, with data where upstream sends some.
pub fn error(error_type: ErrorType, message: &str) -> Vec<u8> {
    let mut writer = JsonWriter::new();
    writer.object(|w| {
        w.key("status");
        w.string("error");
        w.key("errorType");
        w.string(error_type.as_str());
        w.key("error");
        w.string(message);
    });
    writer.finish()
}

fn notes<T: AsRef<str>>(w: &mut JsonWriter, warnings: &[T], infos: &[T]) {
    for (key, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            w.key(key);
            w.strings(texts);
        }
    }
}

/// `{"resultType":"scalar","result":[seconds,"value"]}`
pub fn write_scalar(w: &mut JsonWriter, t_ms: i64, v: f64) {
    query_result(w, "scalar", |w| {
        w.array(|w| {
            w.seconds(t_ms);
            // Scalars never take the exponent form that samples have at the ends of the range.
            w.string(&gofloat::format_f(v));
        });
    });
}

/// `{"resultType":"string","result":[seconds,"text"]}`
pub fn write_string(w: &mut JsonWriter, t_ms: i64, text: &str) {
    query_result(w, "string", |w| {
        w.array(|w| {
            w.seconds(t_ms);
            w.string(text);
        });
    });
}

/// `{"resultType":"…","result":…}` around what `result` writes, as query answers have it. The
/// caller may add `stats` behind by calling [`JsonWriter::object`] itself instead.
pub fn query_result(w: &mut JsonWriter, result_type: &str, result: impl FnOnce(&mut JsonWriter)) {
    w.object(|w| {
        w.key("resultType");
        w.string(result_type);
        w.key("result");
        result(w);
    });
}

/// Whole numbers below this are exact in an `i64`.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn push_int(out: &mut Vec<u8>, v: i64) {
    if v < 0 {
        out.push(b'-');
    }
    push_u64(out, v.unsigned_abs());
}

fn push_u64(out: &mut Vec<u8>, mut v: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    Plain,
    Html,
}

/// A JSON string as Go's `encoding/json` escapes it, HTML characters included.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, Escape::Html);
}

fn push_escaped(out: &mut Vec<u8>, text: &str, escape: Escape) {
    use std::io::Write as _;
    out.push(b'"');
    let mut plain_from = 0;
    for (idx, c) in text.char_indices() {
        let html = matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') && escape == Escape::Html;
        if !html && !matches!(c, '"' | '\\') && (c as u32) >= 0x20 {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain_from..idx]);
        plain_from = idx + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c => write!(out, "\\u{:04x}", c as u32).expect("writing to a vector cannot fail"),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests;
