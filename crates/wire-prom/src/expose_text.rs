//! Writing the text exposition formats, 0.0.4 and OpenMetrics, for `/metrics` and federation.

use base::gofloat;
use model::histogram::ClassicSeries;
use model::validation::{is_legacy_label_name, is_legacy_metric_name};
use model::{Exemplar, MetricType};

use crate::negotiate::{EscapingScheme, ExposeFormat};

/// What stands above the samples of a family.
#[derive(Debug, Clone, Copy)]
pub struct FamilyHeader<'a> {
    pub name: &'a str,
    /// No HELP line without one.
    pub help: Option<&'a str>,
    pub metric_type: MetricType,
    /// OpenMetrics only.
    pub unit: Option<&'a str>,
}

/// A sample within a family.
#[derive(Debug, Clone, Copy)]
pub struct TextSample<'a> {
    /// `""`, `"_bucket"`, `"_sum"` or `"_count"`.
    pub suffix: &'static str,
    pub labels: &'a [(&'a str, &'a str)],
    /// `le` or `quantile`.
    pub float_label: Option<(&'static str, f64)>,
    pub value: f64,
    pub timestamp_ms: Option<i64>,
    /// OpenMetrics only.
    pub exemplar: Option<&'a Exemplar>,
}

impl<'a> TextSample<'a> {
    /// A sample of nothing but labels and value.
    pub fn new(labels: &'a [(&'a str, &'a str)], value: f64) -> Self {
        Self { suffix: "", labels, float_label: None, value, timestamp_ms: None, exemplar: None }
    }
}

/// Writes families one after the other.
#[derive(Debug)]
pub struct TextEncoder {
    out: String,
    openmetrics: bool,
    scheme: EscapingScheme,
    /// The name samples are written under.
    name: String,
}

impl TextEncoder {
    /// `format` is one of the text formats; protobuf is written as text.
    pub fn new(format: ExposeFormat, scheme: EscapingScheme) -> Self {
        let openmetrics = matches!(format, ExposeFormat::OpenMetrics0_0_1 | ExposeFormat::OpenMetrics1_0_0);
        Self { out: String::new(), openmetrics, scheme, name: String::new() }
    }

    /// The exposition; OpenMetrics gets its `# EOF`.
    pub fn finish(mut self) -> Vec<u8> {
        if self.openmetrics {
            self.out.push_str("# EOF\n");
        }
        self.out.into_bytes()
    }

    /// Starts a family: HELP, TYPE, UNIT.
    pub fn family(&mut self, header: &FamilyHeader<'_>) {
        let escaped = self.scheme.escape(header.name);
        self.name.clear();
        self.name.push_str(&escaped);
        // OpenMetrics names a counter's family without the suffix that its samples have.
        let untotalled = escaped.strip_suffix("_total");
        let is_counter = header.metric_type == MetricType::Counter;
        let family = untotalled.filter(|_| self.openmetrics && is_counter).unwrap_or(&escaped);
        if let Some(help) = header.help {
            self.out.push_str("# HELP ");
            push_name(&mut self.out, family);
            self.out.push(' ');
            push_escaped(&mut self.out, help, self.openmetrics);
            self.out.push('\n');
        }
        let type_text = match header.metric_type {
            MetricType::Unknown | MetricType::Info | MetricType::StateSet if !self.openmetrics => "untyped",
            MetricType::GaugeHistogram if !self.openmetrics => "histogram",
            MetricType::Counter if self.openmetrics && untotalled.is_none() => "unknown",
            other => other.as_str(),
        };
        self.out.push_str("# TYPE ");
        push_name(&mut self.out, family);
        self.out.push(' ');
        self.out.push_str(type_text);
        self.out.push('\n');
        if let Some(unit) = header.unit.filter(|unit| self.openmetrics && !unit.is_empty()) {
            self.out.push_str("# UNIT ");
            push_name(&mut self.out, family);
            self.out.push(' ');
            push_escaped(&mut self.out, unit, true);
            self.out.push('\n');
        }
    }

    /// A sample of the family started last.
    pub fn sample(&mut self, sample: &TextSample<'_>) {
        self.series(sample);
        self.out.push(' ');
        self.push_value(sample.value);
        if let Some(t) = sample.timestamp_ms {
            self.out.push(' ');
            self.push_timestamp(t);
        }
        if let Some(exemplar) = sample.exemplar.filter(|_| self.openmetrics) {
            self.exemplar(exemplar);
        }
        self.out.push('\n');
    }

    /// Buckets by ascending bound with cumulative counts, sum and count of a classic histogram. The
    /// +Inf bucket is added where it is missing.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        buckets: &[(f64, f64)],
        count: f64,
        sum: f64,
        timestamp_ms: Option<i64>,
    ) {
        let plain = TextSample { timestamp_ms, ..TextSample::new(labels, 0.0) };
        let missing = buckets.last().is_none_or(|(le, _)| *le != f64::INFINITY);
        let last = missing.then_some((f64::INFINITY, count));
        for (le, value) in buckets.iter().copied().chain(last) {
            self.sample(&TextSample { suffix: "_bucket", float_label: Some(("le", le)), value, ..plain });
        }
        self.sample(&TextSample { suffix: "_sum", value: sum, ..plain });
        self.sample(&TextSample { suffix: "_count", value: count, ..plain });
    }

    /// Quantiles, sum and count of a summary.
    pub fn summary(&mut self, labels: &[(&str, &str)], quantiles: &[(f64, f64)], count: f64, sum: f64) {
        let plain = TextSample::new(labels, 0.0);
        for (quantile, value) in quantiles {
            self.sample(&TextSample { float_label: Some(("quantile", *quantile)), value: *value, ..plain });
        }
        self.sample(&TextSample { suffix: "_sum", value: sum, ..plain });
        self.sample(&TextSample { suffix: "_count", value: count, ..plain });
    }

    fn series(&mut self, sample: &TextSample<'_>) {
        let (out, name) = (&mut self.out, &self.name);
        let quoted = !is_legacy_metric_name(name);
        let mut separator = '{';
        if quoted {
            out.push_str("{\"");
            push_escaped(out, name, true);
            out.push_str(sample.suffix);
            out.push('"');
            separator = ',';
        } else {
            out.push_str(name);
            out.push_str(sample.suffix);
        }
        for (name, value) in sample.labels {
            out.push(separator);
            separator = ',';
            push_label_name(out, &self.scheme.escape(name));
            out.push_str("=\"");
            push_escaped(out, value, true);
            out.push('"');
        }
        if let Some((name, value)) = sample.float_label {
            out.push(separator);
            separator = ',';
            out.push_str(name);
            out.push_str("=\"");
            out.push_str(&if self.openmetrics {
                ClassicSeries::le_text(value)
            } else {
                gofloat::format_g(value)
            });
            out.push('"');
        }
        if separator == ',' {
            out.push('}');
        }
    }

    fn push_value(&mut self, v: f64) {
        self.out.push_str(&if self.openmetrics { ClassicSeries::le_text(v) } else { gofloat::format_g(v) });
    }

    /// Milliseconds in the Prometheus format, seconds in OpenMetrics.
    fn push_timestamp(&mut self, t_ms: i64) {
        if self.openmetrics {
            self.out.push_str(&ClassicSeries::le_text(t_ms as f64 / 1000.0));
        } else {
            self.out.push_str(&t_ms.to_string());
        }
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.out.push_str(" # {");
        for (idx, (name, value)) in exemplar.labels.iter().enumerate() {
            if idx > 0 {
                self.out.push(',');
            }
            push_label_name(&mut self.out, &self.scheme.escape(name));
            self.out.push_str("=\"");
            push_escaped(&mut self.out, value, true);
            self.out.push('"');
        }
        self.out.push_str("} ");
        self.push_value(exemplar.value);
        if exemplar.has_t {
            self.out.push(' ');
            self.push_timestamp(exemplar.t);
        }
    }
}

/// A metric name, quoted where it must be.
fn push_name(out: &mut String, name: &str) {
    if is_legacy_metric_name(name) {
        out.push_str(name);
    } else {
        push_quoted(out, name);
    }
}

fn push_label_name(out: &mut String, name: &str) {
    if is_legacy_label_name(name) {
        out.push_str(name);
    } else {
        push_quoted(out, name);
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text, true);
    out.push('"');
}

/// Backslashes and line breaks escaped; quotes too, except in the Prometheus format's help texts.
fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
