//! Matchers as bytes, for tombstones.

use codec::bytes::{ByteReader, CorruptInput, put_bytes, put_uvarint};
use model::{MatchOp, Matcher};

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

pub(crate) fn encode(matchers: &[Matcher]) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(&mut out, matchers.len() as u64);
    for matcher in matchers {
        out.push(OPS.iter().position(|op| *op == matcher.op).unwrap_or(0) as u8);
        put_bytes(&mut out, matcher.name.as_bytes());
        put_bytes(&mut out, matcher.value.as_bytes());
    }
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Matcher>, CorruptInput> {
    let mut reader = ByteReader::new(bytes);
    let n = reader.count()?;
    let mut matchers = Vec::with_capacity(n);
    for _ in 0..n {
        let code = reader.u8()?;
        let op = *OPS.get(usize::from(code)).ok_or(CorruptInput::UnknownTag(code))?;
        let (name, value) = (reader.text()?, reader.text()?);
        matchers.push(Matcher::new(op, name, value).map_err(|_| CorruptInput::OutOfRange("regex"))?);
    }
    Ok(matchers)
}
