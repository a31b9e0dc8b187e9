//! The JSON encoding of export requests: lowerCamelCase names, 64-bit numbers as text or numbers,
//! ids as hexadecimal.

use base64::Engine as _;
use serde_json::Value as Json;

use crate::request::{
    Attributes, Buckets, Data, ExponentialPoint, ExportRequest, HistogramPoint, Metric, Number, NumberPoint,
    OtlpError, OtlpExemplar, Point, ResourceMetrics, ScopeMetrics, SummaryPoint, Temporality, Value,
};

/// Decodes an `ExportMetricsServiceRequest` in JSON. Unknown names are skipped, as receivers must.
pub fn decode_json(body: &[u8]) -> Result<ExportRequest, OtlpError> {
    // serde_json refuses to nest deeper than 128, which bounds the recursion below.
    let json: Json = serde_json::from_slice(body).map_err(|e| OtlpError::Json(e.to_string()))?;
    if !json.is_object() {
        return Err(OtlpError::WrongType { field: "request", expected: "an object" });
    }
    Ok(ExportRequest { resources: list(&json, "resourceMetrics", resource)? })
}

fn wrong(field: &'static str, expected: &'static str) -> OtlpError {
    OtlpError::WrongType { field, expected }
}

fn list<T>(
    json: &Json,
    field: &'static str,
    each: impl Fn(&Json) -> Result<T, OtlpError>,
) -> Result<Vec<T>, OtlpError> {
    match &json[field] {
        Json::Null => Ok(Vec::new()),
        Json::Array(elements) => elements.iter().map(each).collect(),
        _ => Err(wrong(field, "an array")),
    }
}

fn text(json: &Json, field: &'static str) -> Result<String, OtlpError> {
    match &json[field] {
        Json::Null => Ok(String::new()),
        Json::String(text) => Ok(text.clone()),
        _ => Err(wrong(field, "a string")),
    }
}

fn as_u64(json: &Json, field: &'static str) -> Result<u64, OtlpError> {
    let parsed = match json {
        Json::Null => Some(0),
        Json::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    parsed.ok_or_else(|| wrong(field, "an unsigned integer"))
}

fn u64_of(json: &Json, field: &'static str) -> Result<u64, OtlpError> {
    as_u64(&json[field], field)
}

fn i64_of(json: &Json, field: &'static str) -> Result<i64, OtlpError> {
    let parsed = match &json[field] {
        Json::Null => Some(0),
        Json::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    parsed.ok_or_else(|| wrong(field, "an integer"))
}

fn i32_of(json: &Json, field: &'static str) -> Result<i32, OtlpError> {
    i32::try_from(i64_of(json, field)?).map_err(|_| wrong(field, "a 32-bit integer"))
}

fn as_f64(json: &Json, field: &'static str) -> Result<f64, OtlpError> {
    let parsed = match json {
        Json::Null => Some(0.0),
        Json::String(text) => base::gofloat::parse(text),
        other => other.as_f64(),
    };
    parsed.ok_or_else(|| wrong(field, "a number"))
}

fn f64_of(json: &Json, field: &'static str) -> Result<f64, OtlpError> {
    as_f64(&json[field], field)
}

fn optional_f64(json: &Json, field: &'static str) -> Result<Option<f64>, OtlpError> {
    if json[field].is_null() { Ok(None) } else { f64_of(json, field).map(Some) }
}

fn resource(json: &Json) -> Result<ResourceMetrics, OtlpError> {
    Ok(ResourceMetrics {
        attributes: attributes(&json["resource"], "attributes")?,
        scopes: list(json, "scopeMetrics", scope)?,
    })
}

fn scope(json: &Json) -> Result<ScopeMetrics, OtlpError> {
    let scope = &json["scope"];
    Ok(ScopeMetrics {
        name: text(scope, "name")?,
        version: text(scope, "version")?,
        schema_url: text(json, "schemaUrl")?,
        attributes: attributes(scope, "attributes")?,
        metrics: list(json, "metrics", metric)?,
    })
}

fn metric(json: &Json) -> Result<Metric, OtlpError> {
    let data = if let Some(gauge) = json.get("gauge") {
        Data::Gauge(list(gauge, "dataPoints", number_point)?)
    } else if let Some(sum) = json.get("sum") {
        Data::Sum {
            points: list(sum, "dataPoints", number_point)?,
            temporality: temporality(sum)?,
            is_monotonic: sum["isMonotonic"].as_bool().unwrap_or(false),
        }
    } else if let Some(histogram) = json.get("histogram") {
        Data::Histogram {
            points: list(histogram, "dataPoints", histogram_point)?,
            temporality: temporality(histogram)?,
        }
    } else if let Some(histogram) = json.get("exponentialHistogram") {
        Data::Exponential {
            points: list(histogram, "dataPoints", exponential_point)?,
            temporality: temporality(histogram)?,
        }
    } else if let Some(summary) = json.get("summary") {
        Data::Summary(list(summary, "dataPoints", summary_point)?)
    } else {
        Data::None
    };
    Ok(Metric {
        name: text(json, "name")?,
        description: text(json, "description")?,
        unit: text(json, "unit")?,
        data,
    })
}

fn temporality(json: &Json) -> Result<Temporality, OtlpError> {
    Ok(match &json["aggregationTemporality"] {
        Json::String(name) if name == "AGGREGATION_TEMPORALITY_DELTA" => Temporality::Delta,
        Json::String(name) if name == "AGGREGATION_TEMPORALITY_CUMULATIVE" => Temporality::Cumulative,
        other => Temporality::from_number(as_u64(other, "aggregationTemporality")?),
    })
}

fn point(json: &Json) -> Result<Point, OtlpError> {
    Ok(Point {
        attributes: attributes(json, "attributes")?,
        start_ns: u64_of(json, "startTimeUnixNano")?,
        time_ns: u64_of(json, "timeUnixNano")?,
        flags: u64_of(json, "flags")? as u32,
        exemplars: list(json, "exemplars", exemplar)?,
    })
}

/// `asInt` or `asDouble`.
fn number(json: &Json) -> Result<Option<Number>, OtlpError> {
    if !json["asInt"].is_null() {
        return i64_of(json, "asInt").map(|v| Some(Number::Int(v)));
    }
    Ok(optional_f64(json, "asDouble")?.map(Number::Double))
}

fn number_point(json: &Json) -> Result<NumberPoint, OtlpError> {
    Ok(NumberPoint { point: point(json)?, value: number(json)?.unwrap_or_default() })
}

fn histogram_point(json: &Json) -> Result<HistogramPoint, OtlpError> {
    Ok(HistogramPoint {
        point: point(json)?,
        count: u64_of(json, "count")?,
        sum: optional_f64(json, "sum")?,
        bucket_counts: list(json, "bucketCounts", |v| as_u64(v, "bucketCounts"))?,
        explicit_bounds: list(json, "explicitBounds", |v| as_f64(v, "explicitBounds"))?,
    })
}

fn exponential_point(json: &Json) -> Result<ExponentialPoint, OtlpError> {
    Ok(ExponentialPoint {
        point: point(json)?,
        count: u64_of(json, "count")?,
        sum: optional_f64(json, "sum")?,
        scale: i32_of(json, "scale")?,
        zero_count: u64_of(json, "zeroCount")?,
        zero_threshold: f64_of(json, "zeroThreshold")?,
        positive: buckets(&json["positive"])?,
        negative: buckets(&json["negative"])?,
    })
}

fn buckets(json: &Json) -> Result<Buckets, OtlpError> {
    Ok(Buckets {
        offset: i32_of(json, "offset")?,
        counts: list(json, "bucketCounts", |v| as_u64(v, "bucketCounts"))?,
    })
}

fn summary_point(json: &Json) -> Result<SummaryPoint, OtlpError> {
    Ok(SummaryPoint {
        point: point(json)?,
        count: u64_of(json, "count")?,
        sum: f64_of(json, "sum")?,
        quantiles: list(json, "quantileValues", |q| Ok((f64_of(q, "quantile")?, f64_of(q, "value")?)))?,
    })
}

fn exemplar(json: &Json) -> Result<OtlpExemplar, OtlpError> {
    let id = |field| {
        let hex = text(json, field)?.to_ascii_lowercase();
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong(field, "hexadecimal digits"));
        }
        Ok(if hex.bytes().all(|b| b == b'0') { String::new() } else { hex })
    };
    Ok(OtlpExemplar {
        time_ns: u64_of(json, "timeUnixNano")?,
        value: number(json)?.map(Number::to_f64),
        trace_id: id("traceId")?,
        span_id: id("spanId")?,
        attributes: attributes(json, "filteredAttributes")?,
    })
}

fn attributes(json: &Json, field: &'static str) -> Result<Attributes, OtlpError> {
    list(json, field, |pair| Ok((text(pair, "key")?, any_value(&pair["value"])?)))
}

fn any_value(json: &Json) -> Result<Value, OtlpError> {
    if json.is_null() {
        return Ok(Value::Empty);
    }
    let object = json.as_object().ok_or_else(|| wrong("value", "an object"))?;
    let Some((kind, inner)) = object.iter().find(|(_, inner)| !inner.is_null()) else {
        return Ok(Value::Empty);
    };
    Ok(match kind.as_str() {
        "stringValue" => Value::Text(text(json, "stringValue")?),
        "boolValue" => Value::Bool(inner.as_bool().ok_or_else(|| wrong("boolValue", "a boolean"))?),
        "intValue" => Value::Int(i64_of(json, "intValue")?),
        "doubleValue" => Value::Double(as_f64(inner, "doubleValue")?),
        "arrayValue" => Value::Array(list(inner, "values", any_value)?),
        "kvlistValue" => Value::Map(attributes(inner, "values")?),
        "bytesValue" => {
            let encoded = text(json, "bytesValue")?;
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
            Value::Bytes(decoded.map_err(|_| wrong("bytesValue", "base64"))?)
        }
        _ => Value::Empty,
    })
}
