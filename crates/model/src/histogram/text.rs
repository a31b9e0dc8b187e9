//! Histograms as text: as query results print them, and as test scripts write them.

use std::fmt;

use base::gofloat::format_g;

use super::{CounterResetHint, FloatHistogram, Span};

impl fmt::Display for FloatHistogram {
    /// `{count:3, sum:2.5, [-1,-0.5):1, [-0.1,0.1]:1, (0.5,1]:1}`, without empty buckets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_g(self.count), format_g(self.sum))?;
        for bucket in self.iter_negative().rev().filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for bucket in self.iter_positive().filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

impl FloatHistogram {
    /// The notation of test scripts: `{{schema:1 count:3 sum:2.5 buckets:[1 2]}}`. Gaps are written
    /// as empty buckets.
    pub fn test_expression(&self) -> String {
        let mut h = self.clone();
        h.compact(usize::MAX);
        let mut parts = Vec::new();
        if h.schema != 0 {
            parts.push(format!("schema:{}", h.schema));
        }
        let numbers = [
            ("count", h.count),
            ("sum", h.sum),
            ("z_bucket", h.zero_count),
            ("z_bucket_w", h.zero_threshold),
        ];
        for (key, value) in numbers.into_iter().filter(|(_, value)| *value != 0.0) {
            parts.push(format!("{key}:{}", format_g(value)));
        }
        if h.uses_custom_buckets() {
            parts.push(format!("custom_values:[{}]", list(&h.custom_values)));
        }
        match h.counter_reset_hint {
            CounterResetHint::Unknown => {}
            CounterResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
            CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
            CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        push_side(&mut parts, "offset", "buckets", &h.positive_spans, &h.positive_buckets);
        push_side(&mut parts, "n_offset", "n_buckets", &h.negative_spans, &h.negative_buckets);
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

fn push_side(parts: &mut Vec<String>, offset_key: &str, key: &str, spans: &[Span], buckets: &[f64]) {
    for span in spans.iter().filter(|span| span.offset != 0) {
        parts.push(format!("{offset_key}:{}", span.offset));
    }
    if !buckets.is_empty() {
        parts.push(format!("{key}:[{}]", list(buckets)));
    }
}

fn list(values: &[f64]) -> String {
    let texts: Vec<String> = values.iter().map(|v| format_g(*v)).collect();
    texts.join(" ")
}
