//! `prometheus.ReadRequest`.

use model::{MatchOp, Matcher};
use wire_core::{ProtoError, ProtoReader, ProtoWriter};

use super::{ReadError, ReadHints, ReadQuery, ReadRequest, ReadResponseType};

/// Queries and matchers that one request may hold together.
const REQUEST_PARTS_MAX: usize = 10_000;

/// Decodes a request body that has been decompressed.
pub fn decode_request(body: &[u8]) -> Result<ReadRequest, ReadError> {
    let (mut queries, mut accepted, mut parts) = (Vec::new(), Vec::new(), 0);
    let mut reader = ProtoReader::new(body);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => queries.push(decode_query(field.message()?, &mut parts)?),
            2 => field.repeated_u64(|v| accepted.push(v as i32))?,
            _ => {}
        }
    }
    let known = accepted.iter().find_map(|v| match v {
        0 => Some(ReadResponseType::Samples),
        1 => Some(ReadResponseType::StreamedXorChunks),
        _ => None,
    });
    let response_type = match known {
        Some(known) => known,
        None if accepted.is_empty() => ReadResponseType::Samples,
        None => return Err(ReadError::NoSupportedResponseType(accepted)),
    };
    Ok(ReadRequest { queries, response_type })
}

fn count(parts: &mut usize) -> Result<(), ReadError> {
    *parts += 1;
    if *parts > REQUEST_PARTS_MAX { Err(ReadError::TooMany { limit: REQUEST_PARTS_MAX }) } else { Ok(()) }
}

fn decode_query(mut reader: ProtoReader<'_>, parts: &mut usize) -> Result<ReadQuery, ReadError> {
    count(parts)?;
    let mut query = ReadQuery { start_ms: 0, end_ms: 0, matchers: Vec::new(), hints: None };
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => query.start_ms = field.i64()?,
            2 => query.end_ms = field.i64()?,
            3 => {
                count(parts)?;
                query.matchers.push(decode_matcher(field.message()?)?);
            }
            4 => query.hints = Some(decode_hints(field.message()?)?),
            _ => {}
        }
    }
    Ok(query)
}

fn decode_matcher(mut reader: ProtoReader<'_>) -> Result<Matcher, ReadError> {
    let (mut op, mut name, mut value) = (0, "", "");
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => op = field.u64()?,
            2 => name = field.str()?,
            3 => value = field.str()?,
            _ => {}
        }
    }
    let op = match op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return Err(ReadError::InvalidMatcherType),
    };
    Matcher::new(op, name, value).map_err(|e| ReadError::InvalidRegex(e.to_string()))
}

fn decode_hints(mut reader: ProtoReader<'_>) -> Result<ReadHints, ProtoError> {
    let mut hints = ReadHints::default();
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => hints.step_ms = field.i64()?,
            2 => hints.func = field.str()?.to_owned(),
            3 => hints.start_ms = field.i64()?,
            4 => hints.end_ms = field.i64()?,
            5 => hints.grouping.push(field.str()?.to_owned()),
            6 => hints.by = field.bool()?,
            7 => hints.range_ms = field.i64()?,
            _ => {}
        }
    }
    Ok(hints)
}

/// A request that asks all queries and takes the answers in this order of preference.
pub fn encode_request(queries: &[ReadQuery], accepted: &[ReadResponseType]) -> Vec<u8> {
    let mut w = ProtoWriter::new();
    for query in queries {
        w.message_field(1, |w| {
            w.i64_field(1, query.start_ms);
            w.i64_field(2, query.end_ms);
            for matcher in &query.matchers {
                w.message_field(3, |w| {
                    let op = match matcher.op {
                        MatchOp::Equal => 0,
                        MatchOp::NotEqual => 1,
                        MatchOp::Regex => 2,
                        MatchOp::NotRegex => 3,
                    };
                    w.u64_field(1, op);
                    w.str_field(2, &matcher.name);
                    w.str_field(3, &matcher.value);
                });
            }
            if let Some(hints) = &query.hints {
                w.message_field(4, |w| encode_hints(w, hints));
            }
        });
    }
    let number = |response_type: &ReadResponseType| match response_type {
        ReadResponseType::Samples => 0,
        ReadResponseType::StreamedXorChunks => 1,
    };
    w.packed_u64(2, accepted.iter().map(number));
    w.finish()
}

fn encode_hints(w: &mut ProtoWriter, hints: &ReadHints) {
    w.i64_field(1, hints.step_ms);
    w.str_field(2, &hints.func);
    w.i64_field(3, hints.start_ms);
    w.i64_field(4, hints.end_ms);
    hints.grouping.iter().for_each(|label| w.bytes_element(5, label.as_bytes()));
    w.u64_field(6, u64::from(hints.by));
    w.i64_field(7, hints.range_ms);
}
