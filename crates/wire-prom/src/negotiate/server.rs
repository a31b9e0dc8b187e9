//! What a client of our own expositions gets.

use super::EscapingScheme;

/// A format we expose metrics in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExposeFormat {
    Text,
    OpenMetrics0_0_1,
    OpenMetrics1_0_0,
    ProtoDelimited,
}

impl ExposeFormat {
    fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::OpenMetrics0_0_1 | Self::OpenMetrics1_0_0 => ("application", "openmetrics-text"),
            Self::ProtoDelimited => ("application", "vnd.google.protobuf"),
        }
    }

    /// The `Content-Type` of an answer.
    pub fn content_type(self, scheme: EscapingScheme) -> String {
        let base = match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics0_0_1 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::OpenMetrics1_0_0 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::ProtoDelimited => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        format!("{base}; escaping={scheme}")
    }

    fn accepted_by(self, clause: &Clause<'_>) -> bool {
        let (kind, subtype) = self.media_type();
        if clause.kind == "*" && clause.subtype == "*" {
            return true;
        }
        if clause.kind != kind && clause.kind != "*" || clause.subtype != subtype && clause.subtype != "*" {
            return false;
        }
        let version = clause.param("version");
        match self {
            Self::Text => matches!(version, None | Some("0.0.4")),
            Self::OpenMetrics0_0_1 => matches!(version, None | Some("0.0.1")),
            Self::OpenMetrics1_0_0 => version == Some("1.0.0"),
            Self::ProtoDelimited => {
                clause.param("proto") == Some("io.prometheus.client.MetricFamily")
                    && clause.param("encoding") == Some("delimited")
            }
        }
    }
}

/// One clause of an `Accept` header.
#[derive(Debug)]
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f64,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = match parts.next()?.split_once('/') {
            Some((kind, subtype)) => (kind.trim(), subtype.trim()),
            None if text.trim().starts_with('*') => ("*", "*"),
            None => return None,
        };
        let mut clause = Self { kind, subtype, quality: 1.0, params: Vec::new() };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name == "q" {
                clause.quality = value.parse().unwrap_or(1.0);
            } else {
                clause.params.push((name, value));
            }
        }
        Some(clause)
    }

    fn param(&self, name: &str) -> Option<&'a str> {
        self.params.iter().find(|(n, _)| *n == name).map(|(_, v)| *v).filter(|v| !v.is_empty())
    }

    fn wildcards(&self) -> usize {
        usize::from(self.kind == "*") + usize::from(self.subtype == "*")
    }
}

/// The format and escaping for an `Accept` header, out of `offered` in order of preference. Without
/// a match it is text.
pub fn negotiate(accept: &str, offered: &[ExposeFormat]) -> (ExposeFormat, EscapingScheme) {
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality).then_with(|| a.wildcards().cmp(&b.wildcards())));
    let mut scheme = EscapingScheme::Underscores;
    for clause in &clauses {
        if let Some(asked) = clause.param("escaping").and_then(EscapingScheme::parse) {
            scheme = asked;
        }
        if let Some(format) = offered.iter().find(|format| format.accepted_by(clause)) {
            return (*format, scheme);
        }
    }
    (ExposeFormat::Text, scheme)
}
