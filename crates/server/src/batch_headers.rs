//! The headers by which a sender names its batches, so that a receiver applies one that comes again
//! only once. docs/reference/batch-headers.md says what a sender promises by them.

use http::{HeaderMap, HeaderName, HeaderValue};
use store_metrics::BatchId;

const WRITER: HeaderName = HeaderName::from_static("x-sextant-writer");
const EPOCH: HeaderName = HeaderName::from_static("x-sextant-epoch");
const SEQUENCE: HeaderName = HeaderName::from_static("x-sextant-sequence");

/// Why the headers name no batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBatchHeaders {
    #[error("X-Sextant-Writer, X-Sextant-Epoch and X-Sextant-Sequence go together, but {missing} is missing")]
    Missing { missing: HeaderName },
    #[error("{name} must be one number from 0 to {max}, not {value:?}", max = u64::MAX)]
    NotANumber { name: HeaderName, value: String },
}

/// The batch that a request names, if it names one.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<BatchId>, BadBatchHeaders> {
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

pub(crate) fn write(headers: &mut HeaderMap, batch: BatchId) {
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
        let id = read(&headers).map_err(|e| e.to_string())?;
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
        write(&mut headers, id);
        assert_eq!(read(&headers), Ok(Some(id)));
    }
}
