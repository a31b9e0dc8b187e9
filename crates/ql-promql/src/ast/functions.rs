//! The signatures of all functions of Prometheus 3.14.

use super::ValueType::{self, Matrix, Scalar, String, Vector};

/// How many arguments a function takes, given its `arg_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arity {
    /// As many as there are types.
    Exact,
    /// The last type may be left out or be given up to so many times.
    UpTo(usize),
    /// The last type may be left out or be given any number of times.
    AtLeast,
}

/// Name, types and status of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionSignature {
    pub name: &'static str,
    pub arg_types: &'static [ValueType],
    pub arity: Arity,
    pub return_type: ValueType,
    /// Needs the feature flag `promql-experimental-functions`.
    pub experimental: bool,
}

/// The signature of `name`. Names are case-sensitive.
pub fn function(name: &str) -> Option<&'static FunctionSignature> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|idx| &FUNCTIONS[idx])
}

const fn stable(
    name: &'static str,
    arg_types: &'static [ValueType],
    arity: Arity,
    return_type: ValueType,
) -> FunctionSignature {
    FunctionSignature { name, arg_types, arity, return_type, experimental: false }
}

const fn experimental(
    name: &'static str,
    arg_types: &'static [ValueType],
    arity: Arity,
    return_type: ValueType,
) -> FunctionSignature {
    FunctionSignature { name, arg_types, arity, return_type, experimental: true }
}

/// All functions, sorted by name.
pub static FUNCTIONS: &[FunctionSignature] = &[
    stable("abs", &[Vector], Arity::Exact, Vector),
    stable("absent", &[Vector], Arity::Exact, Vector),
    stable("absent_over_time", &[Matrix], Arity::Exact, Vector),
    stable("acos", &[Vector], Arity::Exact, Vector),
    stable("acosh", &[Vector], Arity::Exact, Vector),
    stable("asin", &[Vector], Arity::Exact, Vector),
    stable("asinh", &[Vector], Arity::Exact, Vector),
    stable("atan", &[Vector], Arity::Exact, Vector),
    stable("atanh", &[Vector], Arity::Exact, Vector),
    stable("avg_over_time", &[Matrix], Arity::Exact, Vector),
    stable("ceil", &[Vector], Arity::Exact, Vector),
    stable("changes", &[Matrix], Arity::Exact, Vector),
    stable("clamp", &[Vector, Scalar, Scalar], Arity::Exact, Vector),
    stable("clamp_max", &[Vector, Scalar], Arity::Exact, Vector),
    stable("clamp_min", &[Vector, Scalar], Arity::Exact, Vector),
    stable("cos", &[Vector], Arity::Exact, Vector),
    stable("cosh", &[Vector], Arity::Exact, Vector),
    stable("count_over_time", &[Matrix], Arity::Exact, Vector),
    stable("day_of_month", &[Vector], Arity::UpTo(1), Vector),
    stable("day_of_week", &[Vector], Arity::UpTo(1), Vector),
    stable("day_of_year", &[Vector], Arity::UpTo(1), Vector),
    stable("days_in_month", &[Vector], Arity::UpTo(1), Vector),
    stable("deg", &[Vector], Arity::Exact, Vector),
    stable("delta", &[Matrix], Arity::Exact, Vector),
    stable("deriv", &[Matrix], Arity::Exact, Vector),
    experimental("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Arity::Exact, Vector),
    experimental("end", &[], Arity::Exact, Scalar),
    stable("exp", &[Vector], Arity::Exact, Vector),
    stable("first_over_time", &[Matrix], Arity::Exact, Vector),
    stable("floor", &[Vector], Arity::Exact, Vector),
    stable("histogram_avg", &[Vector], Arity::Exact, Vector),
    stable("histogram_count", &[Vector], Arity::Exact, Vector),
    stable("histogram_fraction", &[Scalar, Scalar, Vector], Arity::Exact, Vector),
    stable("histogram_quantile", &[Scalar, Vector], Arity::Exact, Vector),
    experimental("histogram_quantiles", &[Vector, String, Scalar, Scalar], Arity::UpTo(9), Vector),
    stable("histogram_stddev", &[Vector], Arity::Exact, Vector),
    stable("histogram_stdvar", &[Vector], Arity::Exact, Vector),
    stable("histogram_sum", &[Vector], Arity::Exact, Vector),
    stable("hour", &[Vector], Arity::UpTo(1), Vector),
    stable("idelta", &[Matrix], Arity::Exact, Vector),
    stable("increase", &[Matrix], Arity::Exact, Vector),
    experimental("info", &[Vector, Vector], Arity::UpTo(1), Vector),
    stable("irate", &[Matrix], Arity::Exact, Vector),
    stable("label_join", &[Vector, String, String, String], Arity::AtLeast, Vector),
    stable("label_replace", &[Vector, String, String, String, String], Arity::Exact, Vector),
    stable("last_over_time", &[Matrix], Arity::Exact, Vector),
    stable("ln", &[Vector], Arity::Exact, Vector),
    stable("log10", &[Vector], Arity::Exact, Vector),
    stable("log2", &[Vector], Arity::Exact, Vector),
    experimental("mad_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("max_of", &[Scalar, Scalar], Arity::Exact, Scalar),
    stable("max_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("min_of", &[Scalar, Scalar], Arity::Exact, Scalar),
    stable("min_over_time", &[Matrix], Arity::Exact, Vector),
    stable("minute", &[Vector], Arity::UpTo(1), Vector),
    stable("month", &[Vector], Arity::UpTo(1), Vector),
    stable("pi", &[], Arity::Exact, Scalar),
    stable("predict_linear", &[Matrix, Scalar], Arity::Exact, Vector),
    stable("present_over_time", &[Matrix], Arity::Exact, Vector),
    stable("quantile_over_time", &[Scalar, Matrix], Arity::Exact, Vector),
    stable("rad", &[Vector], Arity::Exact, Vector),
    experimental("range", &[], Arity::Exact, Scalar),
    stable("rate", &[Matrix], Arity::Exact, Vector),
    stable("resets", &[Matrix], Arity::Exact, Vector),
    stable("round", &[Vector, Scalar], Arity::UpTo(1), Vector),
    stable("scalar", &[Vector], Arity::Exact, Scalar),
    stable("sgn", &[Vector], Arity::Exact, Vector),
    stable("sin", &[Vector], Arity::Exact, Vector),
    stable("sinh", &[Vector], Arity::Exact, Vector),
    stable("sort", &[Vector], Arity::Exact, Vector),
    experimental("sort_by_label", &[Vector, String], Arity::AtLeast, Vector),
    experimental("sort_by_label_desc", &[Vector, String], Arity::AtLeast, Vector),
    stable("sort_desc", &[Vector], Arity::Exact, Vector),
    stable("sqrt", &[Vector], Arity::Exact, Vector),
    experimental("start", &[], Arity::Exact, Scalar),
    experimental("start_timestamp", &[Vector], Arity::Exact, Vector),
    stable("stddev_over_time", &[Matrix], Arity::Exact, Vector),
    stable("stdvar_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("step", &[], Arity::Exact, Scalar),
    stable("sum_over_time", &[Matrix], Arity::Exact, Vector),
    stable("tan", &[Vector], Arity::Exact, Vector),
    stable("tanh", &[Vector], Arity::Exact, Vector),
    stable("time", &[], Arity::Exact, Scalar),
    stable("timestamp", &[Vector], Arity::Exact, Vector),
    experimental("ts_of_first_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("ts_of_last_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("ts_of_max_over_time", &[Matrix], Arity::Exact, Vector),
    experimental("ts_of_min_over_time", &[Matrix], Arity::Exact, Vector),
    stable("vector", &[Scalar], Arity::Exact, Vector),
    stable("year", &[Vector], Arity::UpTo(1), Vector),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_sorted_and_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for f in FUNCTIONS {
            assert_eq!(function(f.name), Some(f));
        }
        assert_eq!(function("Rate"), None);
    }
}
