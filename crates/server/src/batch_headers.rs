//! The headers by which a sender names its batches, so that a receiver applies one that comes again
//! only once, and vouches for their bytes. docs/reference/batch-headers.md says what a sender promises
//! by them.

use http::{HeaderMap, HeaderName, HeaderValue};
use store_metrics::BatchId;

const WRITER: HeaderName = HeaderName::from_static("x-sextant-writer");
const EPOCH: HeaderName = HeaderName::from_static("x-sextant-epoch");
const SEQUENCE: HeaderName = HeaderName::from_static("x-sextant-sequence");

/// CRC32C of the body as it is sent, in eight hexadecimal digits.
const CHECKSUM: HeaderName = HeaderName::from_static("x-sextant-checksum");

/// Why the headers name no batch, or another body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBatchHeaders {
    #[error("X-Sextant-Writer, X-Sextant-Epoch and X-Sextant-Sequence go together, but {missing} is missing")]
    Missing { missing: HeaderName },
    #[error("{name} must be one number from 0 to {max}, not {value:?}", max = u64::MAX)]
    NotANumber { name: HeaderName, value: String },
    #[error("X-Sextant-Checksum must be eight hexadecimal digits, not {value:?}")]
    NoChecksum { value: String },
    #[error(
        "the body's CRC32C is {actual:08x}, X-Sextant-Checksum says {expected:08x}: it changed on the way"
    )]
    OtherBody { expected: u32, actual: u32 },
}

/// The batch that a request names, if it names one; its body has to be the one that was sent.
pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Option<BatchId>, BadBatchHeaders> {
    check_body(headers, body)?;
    if [WRITER, EPOCH, SEQUENCE].iter().all(|name| !headers.contains_key(name)) {
        return Ok(None);
    }
    let number = |name: HeaderName| {
        let values: Vec<_> = headers.get_all(&name).iter().collect();
        let texts: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let value = texts.join(", ");
        match value.parse() {
            // Rust would take a sign.
            Ok(number) if value.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
            _ if values.is_empty() => Err(BadBatchHeaders::Missing { missing: name }),
            _ => Err(BadBatchHeaders::NotANumber { name, value }),
        }
    };
    Ok(Some(BatchId { writer: number(WRITER)?, epoch: number(EPOCH)?, sequence: number(SEQUENCE)? }))
}

fn check_body(headers: &HeaderMap, body: &[u8]) -> Result<(), BadBatchHeaders> {
    let Some(value) = headers.get(CHECKSUM) else { return Ok(()) };
    let digits =
        value.to_str().ok().filter(|text| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    let expected = digits.and_then(|text| u32::from_str_radix(text, 16).ok()).ok_or_else(|| {
        BadBatchHeaders::NoChecksum { value: String::from_utf8_lossy(value.as_bytes()).into_owned() }
    })?;
    match crc32c::crc32c(body) {
        actual if actual == expected => Ok(()),
        actual => Err(BadBatchHeaders::OtherBody { expected, actual }),
    }
}

pub(crate) fn write(headers: &mut HeaderMap, batch: BatchId, body: &[u8]) {
    let checksum = format!("{:08x}", crc32c::crc32c(body));
    headers.insert(CHECKSUM, HeaderValue::from_str(&checksum).expect("digits are a header"));
    for (name, number) in [(WRITER, batch.writer), (EPOCH, batch.epoch), (SEQUENCE, batch.sequence)] {
        headers.insert(name, HeaderValue::from(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(pairs: &[(&'static str, &str)]) -> Result<Option<(u64, u64, u64)>, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let id = read(&headers, b"").map_err(|e| e.to_string())?;
        Ok(id.map(|id| (id.writer, id.epoch, id.sequence)))
    }

    #[test]
    fn three_numbers_name_a_batch() {
        let (w, e, s) = ("x-sextant-writer", "x-sextant-epoch", "x-sextant-sequence");
        assert_eq!(outcome(&[]), Ok(None));
        assert_eq!(outcome(&[(s, "3"), (w, "1"), (e, "2")]), Ok(Some((1, 2, 3))));
        let max = u64::MAX.to_string();
        assert_eq!(outcome(&[(w, &max), (e, "0"), (s, "0")]), Ok(Some((u64::MAX, 0, 0))));
        let missing = |name| {
            format!(
                "X-Sextant-Writer, X-Sextant-Epoch and X-Sextant-Sequence go together, but {name} is missing"
            )
        };
        assert_eq!(outcome(&[(w, "1"), (e, "2")]), Err(missing(s)));
        assert_eq!(outcome(&[(s, "1")]), Err(missing(w)));
        for value in ["", "-1", "+1", "1.5", "0x1", "18446744073709551616", "a"] {
            let expected = format!("{e} must be one number from 0 to {max}, not {value:?}");
            assert_eq!(outcome(&[(w, "1"), (e, value), (s, "3")]), Err(expected));
        }
        let twice = format!("{s} must be one number from 0 to {max}, not \"3, 4\"");
        assert_eq!(outcome(&[(w, "1"), (e, "2"), (s, "3"), (s, "4")]), Err(twice));
    }

    #[test]
    fn what_is_written_is_read() {
        let id = BatchId { writer: 7, epoch: u64::MAX, sequence: 9 };
        let mut headers = HeaderMap::new();
        write(&mut headers, id, b"body");
        assert_eq!(read(&headers, b"body"), Ok(Some(id)));
        let changed = read(&headers, b"bodx").unwrap_err().to_string();
        assert!(changed.ends_with("it changed on the way"), "{changed}");
        for value in ["", "12345", "+1234567", "1234567g"] {
            headers.insert(CHECKSUM, HeaderValue::from_static(value));
            let expected = BadBatchHeaders::NoChecksum { value: value.to_owned() };
            assert_eq!(read(&headers, b"body"), Err(expected));
        }
    }
}
