//! An export request as both encodings say it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use wire_core::ProtoError;

/// How deep attribute values may nest.
pub(crate) const VALUE_DEPTH_MAX: usize = 32;

/// Data points and buckets that one request may hold together.
pub(crate) const REQUEST_PARTS_MAX: usize = 1 << 24;

/// Why bytes are no export request (status 400).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OtlpError {
    #[error(transparent)]
    Proto(#[from] ProtoError),
    #[error("invalid JSON: {0}")]
    Json(String),
    #[error("{field}: expected {expected}")]
    WrongType { field: &'static str, expected: &'static str },
    #[error("attribute values nest more than {limit} deep")]
    TooDeep { limit: usize },
    #[error("request holds more than {limit} data points and buckets")]
    TooLarge { limit: usize },
}

/// A decoded `ExportMetricsServiceRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExportRequest {
    pub(crate) resources: Vec<ResourceMetrics>,
}

impl ExportRequest {
    /// Data points in the request, of any kind.
    pub fn n_data_points(&self) -> usize {
        let scopes = self.resources.iter().flat_map(|r| &r.scopes);
        scopes.flat_map(|s| &s.metrics).map(|m| m.data.n_points()).sum()
    }

    /// Whether any metric has delta temporality.
    pub fn has_delta(&self) -> bool {
        let scopes = self.resources.iter().flat_map(|r| &r.scopes);
        scopes.flat_map(|s| &s.metrics).any(|m| m.data.temporality() == Some(Temporality::Delta))
    }
}

pub(crate) type Attributes = Vec<(String, Value)>;

/// The last value of an attribute.
pub(crate) fn attribute<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a Value> {
    attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v)
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ResourceMetrics {
    pub(crate) attributes: Attributes,
    pub(crate) scopes: Vec<ScopeMetrics>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ScopeMetrics {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) schema_url: String,
    pub(crate) attributes: Attributes,
    pub(crate) metrics: Vec<Metric>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) unit: String,
    pub(crate) data: Data,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Temporality {
    #[default]
    Unspecified,
    Delta,
    Cumulative,
}

impl Temporality {
    pub(crate) fn from_number(v: u64) -> Self {
        match v {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Data {
    #[default]
    None,
    Gauge(Vec<NumberPoint>),
    Sum {
        points: Vec<NumberPoint>,
        temporality: Temporality,
        is_monotonic: bool,
    },
    Histogram {
        points: Vec<HistogramPoint>,
        temporality: Temporality,
    },
    Exponential {
        points: Vec<ExponentialPoint>,
        temporality: Temporality,
    },
    Summary(Vec<SummaryPoint>),
}

impl Data {
    pub(crate) fn n_points(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Gauge(points) | Self::Sum { points, .. } => points.len(),
            Self::Histogram { points, .. } => points.len(),
            Self::Exponential { points, .. } => points.len(),
            Self::Summary(points) => points.len(),
        }
    }

    pub(crate) fn temporality(&self) -> Option<Temporality> {
        match self {
            Self::None | Self::Gauge(_) | Self::Summary(_) => None,
            Self::Sum { temporality, .. }
            | Self::Histogram { temporality, .. }
            | Self::Exponential { temporality, .. } => Some(*temporality),
        }
    }
}

/// What all points have.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Point {
    pub(crate) attributes: Attributes,
    pub(crate) start_ns: u64,
    pub(crate) time_ns: u64,
    pub(crate) flags: u32,
    pub(crate) exemplars: Vec<OtlpExemplar>,
}

impl Point {
    /// Whether the point says that the series has gone.
    pub(crate) fn is_stale(&self) -> bool {
        self.flags & 1 != 0
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct NumberPoint {
    pub(crate) point: Point,
    pub(crate) value: Number,
}

/// A number as it was sent: whole ones are exact beyond 2^53, which sums reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

impl Default for Number {
    /// A point without a value changes nothing that it is added to.
    fn default() -> Self {
        Self::Int(0)
    }
}

impl Number {
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Self::Int(v) => v as f64,
            Self::Double(v) => v,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.wrapping_add(b)),
            (a, b) => Self::Double(a.to_f64() + b.to_f64()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct HistogramPoint {
    pub(crate) point: Point,
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) bucket_counts: Vec<u64>,
    pub(crate) explicit_bounds: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ExponentialPoint {
    pub(crate) point: Point,
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) scale: i32,
    pub(crate) zero_count: u64,
    /// What lies as near to zero as this is counted in `zero_count`.
    pub(crate) zero_threshold: f64,
    pub(crate) positive: Buckets,
    pub(crate) negative: Buckets,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Buckets {
    pub(crate) offset: i32,
    pub(crate) counts: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct SummaryPoint {
    pub(crate) point: Point,
    pub(crate) count: u64,
    pub(crate) sum: f64,
    /// `(quantile, value)`
    pub(crate) quantiles: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct OtlpExemplar {
    pub(crate) time_ns: u64,
    /// `None` if the sender gave neither kind of number.
    pub(crate) value: Option<f64>,
    /// Hexadecimal; empty if unset or all zero.
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) attributes: Attributes,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Value {
    #[default]
    Empty,
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<Value>),
    Map(Attributes),
    Bytes(Vec<u8>),
}

impl Value {
    /// As a label value: lists and maps as JSON, bytes as base64.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Bool(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Double(v) => double_text(*v),
            Self::Bytes(bytes) => STANDARD.encode(bytes),
            Self::Array(_) | Self::Map(_) => self.to_json().to_string(),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Empty => serde_json::Value::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Bool(v) => (*v).into(),
            Self::Int(v) => (*v).into(),
            Self::Double(v) if v.fract() == 0.0 && v.abs() < 1e15 => (*v as i64).into(),
            Self::Double(v) => (*v).into(),
            Self::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Self::Array(values) => values.iter().map(Self::to_json).collect(),
            Self::Map(pairs) => pairs.iter().map(|(k, v)| (k.clone(), v.to_json())).collect(),
        }
    }
}

/// A double as Go's JSON has it, which is how the collector shows attributes.
fn double_text(v: f64) -> String {
    let abs = v.abs();
    if !v.is_finite() {
        return format!("json: unsupported value: {}", base::gofloat::format_g(v));
    }
    if abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        return base::gofloat::format_e(v).replace("e-0", "e-");
    }
    base::gofloat::format_f(v)
}

/// Lower-case hexadecimal; empty for ids that are all zero.
pub(crate) fn hex_id(bytes: &[u8]) -> String {
    if bytes.iter().all(|b| *b == 0) {
        return String::new();
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
