//! What a query gives back.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

/// One sample's value.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// One element of an instant vector; its time is the evaluation time.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    pub labels: Labels,
    pub value: SampleValue,
}

/// One series of a matrix: two columns pairs, both ascending in time, no time in both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MatrixSeries {
    pub labels: Labels,
    pub float_ts: Vec<i64>,
    pub floats: Vec<f64>,
    pub histogram_ts: Vec<i64>,
    pub histograms: Vec<Arc<FloatHistogram>>,
}

impl MatrixSeries {
    pub fn is_empty(&self) -> bool {
        self.float_ts.is_empty() && self.histogram_ts.is_empty()
    }

    pub fn n_samples(&self) -> usize {
        self.float_ts.len() + self.histogram_ts.len()
    }
}

/// The value of a query. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Scalar {
        t_ms: i64,
        value: f64,
    },
    String {
        t_ms: i64,
        value: String,
    },
    /// In the order the expression gave: `sort` and `topk` order, most others do not.
    Vector {
        t_ms: i64,
        samples: Vec<VectorSample>,
    },
    /// Sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

impl Value {
    /// `scalar`, `string`, `vector` or `matrix`, as the HTTP API names them.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "scalar",
            Self::String { .. } => "string",
            Self::Vector { .. } => "vector",
            Self::Matrix(_) => "matrix",
        }
    }

    /// Keeps the first `limit` series of a vector or matrix; true if any was cut.
    pub fn truncate(&mut self, limit: usize) -> bool {
        match self {
            Self::Vector { samples, .. } if samples.len() > limit => {
                samples.truncate(limit);
                true
            }
            Self::Matrix(series) if series.len() > limit => {
                series.truncate(limit);
                true
            }
            _ => false,
        }
    }
}
