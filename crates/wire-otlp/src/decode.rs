//! The protobuf encoding of export requests.

use wire_core::{ProtoField, ProtoReader};

use crate::request::{
    Attributes, Buckets, Data, ExponentialPoint, ExportRequest, HistogramPoint, Metric, Number, NumberPoint,
    OtlpError, OtlpExemplar, Point, REQUEST_PARTS_MAX, ResourceMetrics, ScopeMetrics, SummaryPoint,
    Temporality, VALUE_DEPTH_MAX, Value, hex_id,
};

/// Decodes an `ExportMetricsServiceRequest` that has been decompressed.
pub fn decode_protobuf(body: &[u8]) -> Result<ExportRequest, OtlpError> {
    let mut decoder = Decoder { parts: 0 };
    let mut request = ExportRequest::default();
    each_field(ProtoReader::new(body), |field| {
        if field.number == 1 {
            request.resources.push(decoder.resource(field.message()?)?);
        }
        Ok(())
    })?;
    Ok(request)
}

fn each_field<'a>(
    mut reader: ProtoReader<'a>,
    mut each: impl FnMut(ProtoField<'a>) -> Result<(), OtlpError>,
) -> Result<(), OtlpError> {
    while let Some(field) = reader.next_field()? {
        each(field)?;
    }
    Ok(())
}

fn text(field: &ProtoField<'_>) -> Result<String, OtlpError> {
    Ok(field.str()?.to_owned())
}

/// `sfixed64`
fn signed_fixed(field: &ProtoField<'_>) -> Result<i64, OtlpError> {
    Ok(field.fixed64()?.cast_signed())
}

struct Decoder {
    parts: usize,
}

impl Decoder {
    fn count(&mut self, n: usize) -> Result<(), OtlpError> {
        self.parts += n;
        if self.parts > REQUEST_PARTS_MAX {
            Err(OtlpError::TooLarge { limit: REQUEST_PARTS_MAX })
        } else {
            Ok(())
        }
    }

    fn resource(&mut self, reader: ProtoReader<'_>) -> Result<ResourceMetrics, OtlpError> {
        let mut out = ResourceMetrics::default();
        each_field(reader, |field| {
            match field.number {
                1 => each_field(field.message()?, |field| {
                    if field.number == 1 {
                        out.attributes.push(key_value(field.message()?, 0)?);
                    }
                    Ok(())
                })?,
                2 => out.scopes.push(self.scope(field.message()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn scope(&mut self, reader: ProtoReader<'_>) -> Result<ScopeMetrics, OtlpError> {
        let mut out = ScopeMetrics::default();
        each_field(reader, |field| {
            match field.number {
                1 => each_field(field.message()?, |field| {
                    match field.number {
                        1 => out.name = text(&field)?,
                        2 => out.version = text(&field)?,
                        3 => out.attributes.push(key_value(field.message()?, 0)?),
                        _ => {}
                    }
                    Ok(())
                })?,
                2 => out.metrics.push(self.metric(field.message()?)?),
                3 => out.schema_url = text(&field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn metric(&mut self, reader: ProtoReader<'_>) -> Result<Metric, OtlpError> {
        let mut out = Metric::default();
        each_field(reader, |field| {
            match field.number {
                1 => out.name = text(&field)?,
                2 => out.description = text(&field)?,
                3 => out.unit = text(&field)?,
                5 => out.data = Data::Gauge(self.points(field.message()?, number_point)?.0),
                7 => {
                    let (points, temporality, is_monotonic) = self.points(field.message()?, number_point)?;
                    out.data = Data::Sum { points, temporality, is_monotonic };
                }
                9 => {
                    let (points, temporality, _) = self.points(field.message()?, histogram_point)?;
                    self.count(points.iter().map(|p| p.bucket_counts.len()).sum())?;
                    out.data = Data::Histogram { points, temporality };
                }
                10 => {
                    let (points, temporality, _) = self.points(field.message()?, exponential_point)?;
                    self.count(
                        points.iter().map(|p| p.positive.counts.len() + p.negative.counts.len()).sum(),
                    )?;
                    out.data = Data::Exponential { points, temporality };
                }
                11 => out.data = Data::Summary(self.points(field.message()?, summary_point)?.0),
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Points, temporality and whether the sum is monotonic: all kinds number these alike.
    fn points<T>(
        &mut self,
        reader: ProtoReader<'_>,
        decode: fn(ProtoReader<'_>) -> Result<T, OtlpError>,
    ) -> Result<(Vec<T>, Temporality, bool), OtlpError> {
        let (mut points, mut temporality, mut is_monotonic) = (Vec::new(), Temporality::Unspecified, false);
        each_field(reader, |field| {
            match field.number {
                1 => points.push(decode(field.message()?)?),
                2 => temporality = Temporality::from_number(field.u64()?),
                3 => is_monotonic = field.bool()?,
                _ => {}
            }
            Ok(())
        })?;
        self.count(points.len())?;
        Ok((points, temporality, is_monotonic))
    }
}

fn number_point(reader: ProtoReader<'_>) -> Result<NumberPoint, OtlpError> {
    let (mut point, mut value) = (Point::default(), Number::default());
    each_field(reader, |field| {
        match field.number {
            2 => point.start_ns = field.fixed64()?,
            3 => point.time_ns = field.fixed64()?,
            4 => value = Number::Double(field.f64()?),
            5 => point.exemplars.push(exemplar(field.message()?)?),
            6 => value = Number::Int(signed_fixed(&field)?),
            7 => point.attributes.push(key_value(field.message()?, 0)?),
            8 => point.flags = field.u32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(NumberPoint { point, value })
}

fn histogram_point(reader: ProtoReader<'_>) -> Result<HistogramPoint, OtlpError> {
    let mut out = HistogramPoint::default();
    each_field(reader, |field| {
        match field.number {
            2 => out.point.start_ns = field.fixed64()?,
            3 => out.point.time_ns = field.fixed64()?,
            4 => out.count = field.fixed64()?,
            5 => out.sum = Some(field.f64()?),
            6 => field.repeated_fixed64(|v| out.bucket_counts.push(v))?,
            7 => field.repeated_f64(|v| out.explicit_bounds.push(v))?,
            8 => out.point.exemplars.push(exemplar(field.message()?)?),
            9 => out.point.attributes.push(key_value(field.message()?, 0)?),
            10 => out.point.flags = field.u32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn exponential_point(reader: ProtoReader<'_>) -> Result<ExponentialPoint, OtlpError> {
    let mut out = ExponentialPoint::default();
    each_field(reader, |field| {
        match field.number {
            1 => out.point.attributes.push(key_value(field.message()?, 0)?),
            2 => out.point.start_ns = field.fixed64()?,
            3 => out.point.time_ns = field.fixed64()?,
            4 => out.count = field.fixed64()?,
            5 => out.sum = Some(field.f64()?),
            6 => out.scale = field.sint32()?,
            7 => out.zero_count = field.fixed64()?,
            8 => out.positive = buckets(field.message()?)?,
            9 => out.negative = buckets(field.message()?)?,
            10 => out.point.flags = field.u32()?,
            11 => out.point.exemplars.push(exemplar(field.message()?)?),
            14 => out.zero_threshold = field.f64()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn buckets(reader: ProtoReader<'_>) -> Result<Buckets, OtlpError> {
    let mut out = Buckets::default();
    each_field(reader, |field| {
        match field.number {
            1 => out.offset = field.sint32()?,
            2 => field.repeated_u64(|v| out.counts.push(v))?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn summary_point(reader: ProtoReader<'_>) -> Result<SummaryPoint, OtlpError> {
    let mut out = SummaryPoint::default();
    each_field(reader, |field| {
        match field.number {
            2 => out.point.start_ns = field.fixed64()?,
            3 => out.point.time_ns = field.fixed64()?,
            4 => out.count = field.fixed64()?,
            5 => out.sum = field.f64()?,
            6 => {
                let mut pair = (0.0, 0.0);
                each_field(field.message()?, |field| {
                    match field.number {
                        1 => pair.0 = field.f64()?,
                        2 => pair.1 = field.f64()?,
                        _ => {}
                    }
                    Ok(())
                })?;
                out.quantiles.push(pair);
            }
            7 => out.point.attributes.push(key_value(field.message()?, 0)?),
            8 => out.point.flags = field.u32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn exemplar(reader: ProtoReader<'_>) -> Result<OtlpExemplar, OtlpError> {
    let mut out = OtlpExemplar::default();
    each_field(reader, |field| {
        match field.number {
            2 => out.time_ns = field.fixed64()?,
            3 => out.value = Some(field.f64()?),
            4 => out.span_id = hex_id(field.bytes()?),
            5 => out.trace_id = hex_id(field.bytes()?),
            6 => out.value = Some(signed_fixed(&field)? as f64),
            7 => out.attributes.push(key_value(field.message()?, 0)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn key_value(reader: ProtoReader<'_>, depth: usize) -> Result<(String, Value), OtlpError> {
    let (mut key, mut value) = (String::new(), Value::Empty);
    each_field(reader, |field| {
        match field.number {
            1 => key = text(&field)?,
            2 => value = any_value(field.message()?, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}

fn any_value(reader: ProtoReader<'_>, depth: usize) -> Result<Value, OtlpError> {
    if depth > VALUE_DEPTH_MAX {
        return Err(OtlpError::TooDeep { limit: VALUE_DEPTH_MAX });
    }
    let mut out = Value::Empty;
    each_field(reader, |field| {
        match field.number {
            1 => out = Value::Text(text(&field)?),
            2 => out = Value::Bool(field.bool()?),
            3 => out = Value::Int(field.i64()?),
            4 => out = Value::Double(field.f64()?),
            5 => {
                let mut values = Vec::new();
                each_field(field.message()?, |field| {
                    if field.number == 1 {
                        values.push(any_value(field.message()?, depth + 1)?);
                    }
                    Ok(())
                })?;
                out = Value::Array(values);
            }
            6 => {
                let mut pairs = Attributes::new();
                each_field(field.message()?, |field| {
                    if field.number == 1 {
                        pairs.push(key_value(field.message()?, depth + 1)?);
                    }
                    Ok(())
                })?;
                out = Value::Map(pairs);
            }
            7 => out = Value::Bytes(field.bytes()?.to_vec()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}
