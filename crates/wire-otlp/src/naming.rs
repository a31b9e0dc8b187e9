//! Metric, label and unit names as Prometheus makes them of OTLP's, by translation strategy.

use model::labels::GoQuoted;
use thiserror::Error;

/// How names are translated, under its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TranslationStrategy {
    #[default]
    UnderscoreEscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    NoUtf8EscapingWithSuffixes,
    NoTranslation,
}

impl TranslationStrategy {
    pub const ALL: [Self; 4] = [
        Self::UnderscoreEscapingWithSuffixes,
        Self::UnderscoreEscapingWithoutSuffixes,
        Self::NoUtf8EscapingWithSuffixes,
        Self::NoTranslation,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::NoTranslation => "NoTranslation",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Whether names are reduced to letters, digits and underscores.
    pub fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    /// Whether unit and type become suffixes of metric names.
    pub fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// Why a name cannot be translated. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("normalization for metric {} resulted in empty name", GoQuoted(.0))]
    EmptyMetric(String),
    #[error("normalization for metric {} resulted in invalid name {}", GoQuoted(.name), GoQuoted(.result))]
    InvalidMetric { name: String, result: String },
    #[error("label name is empty")]
    EmptyLabel,
    #[error("label name {} contains only underscores", GoQuoted(.0))]
    OnlyUnderscores(String),
    #[error("normalization for label name {} resulted in invalid name {}", GoQuoted(.name), GoQuoted(.result))]
    InvalidLabel { name: String, result: String },
}

/// What a metric is, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedKind {
    MonotonicSum,
    Gauge,
    Other,
}

/// Makes metric names.
#[derive(Debug, Clone)]
pub struct MetricNamer {
    pub namespace: String,
    pub strategy: TranslationStrategy,
}

impl MetricNamer {
    pub(crate) fn build(&self, name: &str, unit: &str, kind: NamedKind) -> Result<String, NameError> {
        if !self.strategy.escapes() {
            return Ok(self.unescaped(name, unit, kind));
        }
        let built = if self.strategy.adds_suffixes() {
            self.escaped_with_suffixes(name, unit, kind)
        } else {
            self.escaped(name)
        };
        if built.is_empty() {
            return Err(NameError::EmptyMetric(name.to_owned()));
        }
        if built != name && built.bytes().all(|b| b == b'_') {
            return Err(NameError::InvalidMetric { name: name.to_owned(), result: built });
        }
        Ok(built)
    }

    fn escaped(&self, name: &str) -> String {
        let fields = |text: &str| -> String {
            let parts = text.split(|c: char| !is_metric_char(c) && c != '_').filter(|p| !p.is_empty());
            parts.collect::<Vec<_>>().join("_")
        };
        let built = fields(name);
        if !self.namespace.is_empty() {
            return format!("{}_{built}", fields(&self.namespace));
        }
        before_digit(built)
    }

    fn escaped_with_suffixes(&self, name: &str, unit: &str, kind: NamedKind) -> String {
        let mut tokens: Vec<&str> =
            name.split(|c: char| !is_metric_char(c)).filter(|token| !token.is_empty()).collect();
        let (main, per) = unit_suffixes(unit);
        let (main, per) = (clean_unit(&main), clean_unit(&per));
        let mut main = if tokens.contains(&main.as_str()) { "" } else { main.as_str() };
        let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
        if tokens.contains(&per) {
            per = "";
        }
        if !per.is_empty() {
            main = main.strip_suffix('_').unwrap_or(main);
        }
        tokens.extend([main, per].into_iter().filter(|suffix| !suffix.is_empty()));
        let last = match kind {
            NamedKind::MonotonicSum => Some("total"),
            NamedKind::Gauge if unit == "1" => Some("ratio"),
            NamedKind::Gauge | NamedKind::Other => None,
        };
        if let Some(last) = last {
            tokens.retain(|token| *token != last);
            tokens.push(last);
        }
        if !self.namespace.is_empty() {
            tokens.insert(0, &self.namespace);
        }
        before_digit(tokens.join("_"))
    }

    fn unescaped(&self, name: &str, unit: &str, kind: NamedKind) -> String {
        let mut built =
            if self.namespace.is_empty() { name.to_owned() } else { format!("{}_{name}", self.namespace) };
        if !self.strategy.adds_suffixes() {
            return built;
        }
        let (main, per) = unit_suffixes(unit);
        // Suffixes that stand there already are taken off and put back in the right order.
        let is_ratio = unit == "1" && kind == NamedKind::Gauge;
        let is_total = kind == NamedKind::MonotonicSum;
        let suffixes = [("ratio", is_ratio), ("total", is_total), (per.as_str(), !per.is_empty())];
        for (suffix, _) in suffixes.iter().filter(|(_, wanted)| *wanted) {
            if built.ends_with(suffix) && built.len() > suffix.len() + 1 {
                let keep = built.len() - suffix.len() - 1;
                let keep = (0..=keep).rev().find(|at| built.is_char_boundary(*at)).unwrap_or(0);
                built.truncate(keep);
            }
        }
        if !main.is_empty() && !built.ends_with(&main) {
            built.push('_');
            built.push_str(&main);
        }
        for (suffix, _) in suffixes.iter().rev().filter(|(_, wanted)| *wanted) {
            built.push('_');
            built.push_str(suffix);
        }
        built
    }
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn before_digit(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Makes label names.
#[derive(Debug, Clone, Copy, Default)]
pub struct LabelNamer {
    pub utf8_allowed: bool,
    /// Puts `key` before names that begin with one underscore.
    pub underscore_sanitization: bool,
    pub preserve_multiple_underscores: bool,
}

impl LabelNamer {
    pub fn build(&self, label: &str) -> Result<String, NameError> {
        let only_underscores = |text: &str| text.bytes().all(|b| b == b'_');
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if self.utf8_allowed {
            if only_underscores(label) {
                return Err(NameError::OnlyUnderscores(label.to_owned()));
            }
            return Ok(label.to_owned());
        }
        let mut built = self.sanitized(label);
        if built.starts_with(|c: char| c.is_ascii_digit()) {
            built.insert_str(0, "key_");
        } else if self.underscore_sanitization && built.starts_with('_') && !built.starts_with("__") {
            built.insert_str(0, "key");
        }
        if only_underscores(&built) {
            return Err(NameError::InvalidLabel { name: label.to_owned(), result: built });
        }
        Ok(built)
    }

    fn sanitized(&self, label: &str) -> String {
        if self.preserve_multiple_underscores {
            return label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        }
        let reserved = Some(label).filter(|l| l.len() >= 4);
        let reserved = reserved.and_then(|l| l.strip_prefix("__")).and_then(|l| l.strip_suffix("__"));
        let mut out = String::with_capacity(label.len());
        let mut behind_underscore = false;
        for c in reserved.unwrap_or(label).chars() {
            if c.is_ascii_alphanumeric() {
                out.push(c);
            } else if !behind_underscore {
                out.push('_');
            }
            behind_underscore = !c.is_ascii_alphanumeric();
        }
        if reserved.is_some() { format!("__{out}__") } else { out }
    }
}

/// UCUM units that have a name of their own in Prometheus.
const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// Units behind a slash.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The suffixes of a unit such as `By/s`: `bytes` and `per_second`.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let known = |table: &[(&str, &'static str)], unit: &str| -> String {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        table
            .iter()
            .find(|(ucum, _)| *ucum == unit)
            .map_or_else(|| unit.to_owned(), |(_, name)| (*name).to_owned())
    };
    let main = if main.trim() == "1" { String::new() } else { known(&UNITS, main) };
    let per = known(&PER_UNITS, per);
    (main, if per.is_empty() { per } else { format!("per_{per}") })
}

fn clean_unit(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_metric_char(c) { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map(str::to_owned).unwrap_or(out)
}

/// A unit as metadata and the `__unit__` label have it.
pub fn unit_name(unit: &str, utf8_allowed: bool) -> String {
    let (mut main, mut per) = unit_suffixes(unit);
    if !utf8_allowed {
        (main, per) = (clean_unit(&main), clean_unit(&per));
    }
    let joined = if main.is_empty() || per.is_empty() { main + &per } else { format!("{main}_{per}") };
    let inner = joined.strip_prefix('_').unwrap_or(&joined);
    inner.strip_suffix('_').unwrap_or(inner).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_upstreams() {
        use NamedKind::{Gauge, MonotonicSum, Other};
        use TranslationStrategy::{
            NoTranslation, NoUtf8EscapingWithSuffixes as Utf8, UnderscoreEscapingWithSuffixes as Full,
            UnderscoreEscapingWithoutSuffixes as Plain,
        };
        for (strategy, namespace, name, unit, kind, expected) in [
            (Plain, "", "metric@with#special$chars", "", Gauge, "metric_with_special_chars"),
            (Plain, "", "123metric", "", Gauge, "_123metric"),
            (Plain, "test@namespace!!??", "metric", "", Gauge, "test_namespace_metric"),
            (Plain, "", "metric@@##$$name", "s", Gauge, "metric_name"),
            (Full, "", "requests", "", MonotonicSum, "requests_total"),
            (Full, "", "cpu_usage", "1", Gauge, "cpu_usage_ratio"),
            (Full, "", "items", "1", MonotonicSum, "items_total"),
            (Full, "", "response_time", "ms", Gauge, "response_time_milliseconds"),
            (Full, "", "hw.network.io.total", "By/s", MonotonicSum, "hw_network_io_bytes_per_second_total"),
            (Full, "", "system.memory.bytes.used", "By", Gauge, "system_memory_bytes_used"),
            (Full, "", "things", "{thing}", Gauge, "things"),
            (Full, "ns", "a.b", "", Other, "ns_a_b"),
            (Utf8, "", "http.requests", "s", MonotonicSum, "http.requests_seconds_total"),
            (Utf8, "", "disk.used_ratio", "1", Gauge, "disk.used_ratio"),
            (Utf8, "", "net.io", "By/s", Gauge, "net.io_bytes_per_second"),
            (NoTranslation, "", "http.requests", "s", MonotonicSum, "http.requests"),
        ] {
            let namer = MetricNamer { namespace: namespace.to_owned(), strategy };
            assert_eq!(namer.build(name, unit, kind).as_deref(), Ok(expected), "{strategy:?} {name}");
        }
        let namer = MetricNamer { namespace: String::new(), strategy: Plain };
        for (name, expected) in [
            ("@#$%", r##"normalization for metric "@#$%" resulted in empty name"##),
            ("@_#_$_%", r##"normalization for metric "@_#_$_%" resulted in invalid name "_____""##),
        ] {
            assert_eq!(namer.build(name, "", Other).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn label_names_are_upstreams() {
        let namer = |underscore_sanitization, preserve_multiple_underscores| LabelNamer {
            utf8_allowed: false,
            underscore_sanitization,
            preserve_multiple_underscores,
        };
        for (label, plain, preserved, sanitized) in [
            ("label:with:colons", "label_with_colons", "label_with_colons", "label_with_colons"),
            ("a字符", "a_", "a__", "a_"),
            (".foo", "_foo", "_foo", "key_foo"),
            ("123label", "key_123label", "key_123label", "key_123label"),
            ("__two", "_two", "__two", "key_two"),
            ("a__b", "a_b", "a__b", "a_b"),
            ("__reserved__name__", "__reserved_name__", "__reserved__name__", "__reserved_name__"),
        ] {
            assert_eq!(namer(false, false).build(label).as_deref(), Ok(plain));
            assert_eq!(namer(false, true).build(label).as_deref(), Ok(preserved));
            assert_eq!(namer(true, false).build(label).as_deref(), Ok(sanitized));
        }
        let error = |label| namer(false, false).build(label).unwrap_err().to_string();
        assert_eq!(error(""), "label name is empty");
        assert_eq!(error("__"), r#"normalization for label name "__" resulted in invalid name "_""#);
        let utf8 = LabelNamer { utf8_allowed: true, ..LabelNamer::default() };
        assert_eq!(utf8.build("a.b").as_deref(), Ok("a.b"));
        assert_eq!(utf8.build("__").unwrap_err().to_string(), r#"label name "__" contains only underscores"#);
    }

    #[test]
    fn units_are_upstreams() {
        for (unit, expected) in [
            ("By", "bytes"),
            ("By/s", "bytes_per_second"),
            ("1", ""),
            ("{x}", ""),
            ("foo bar", "foo_bar"),
            ("1/s", "per_second"),
        ] {
            assert_eq!(unit_name(unit, false), expected);
        }
    }
}
