//! Whole blocks through zstd, with the decompressed length bounded by the caller.

use crate::bytes::{ByteReader, CorruptInput, put_uvarint};

/// Fast and close to what higher levels reach on blocks that are mostly varints.
const LEVEL: i32 = 3;

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// The bytes compressed, or stored when that is smaller.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 2 + 16);
    if let Ok(compressed) = zstd::bulk::compress(bytes, LEVEL)
        && compressed.len() < bytes.len()
    {
        out.push(ZSTD);
        put_uvarint(&mut out, bytes.len() as u64);
        out.extend_from_slice(&compressed);
    } else {
        out.push(STORED);
        out.extend_from_slice(bytes);
    }
    out
}

/// What [`compress`] was given, if that is at most `limit_bytes` long.
pub fn decompress(block: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CorruptInput> {
    let mut reader = ByteReader::new(block);
    match reader.u8()? {
        STORED => {
            let rest = reader.rest();
            if rest.len() > limit_bytes {
                return Err(CorruptInput::TooLong { len: rest.len() as u64, limit: limit_bytes as u64 });
            }
            Ok(rest.to_vec())
        }
        ZSTD => {
            let len = reader.len(limit_bytes)?;
            let out = zstd::bulk::decompress(reader.rest(), len).map_err(|_| CorruptInput::Compressed)?;
            if out.len() == len { Ok(out) } else { Err(CorruptInput::Compressed) }
        }
        tag => Err(CorruptInput::UnknownTag(tag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_round_trip_within_the_limit(bytes in proptest::collection::vec(0u8..4, 0..500)) {
            let block = compress(&bytes);
            prop_assert_eq!(decompress(&block, bytes.len()).unwrap(), bytes.clone());
            if !bytes.is_empty() {
                prop_assert!(decompress(&block, bytes.len() - 1).is_err());
            }
        }

        #[test]
        fn any_bytes_decompress_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decompress(&bytes, 1 << 16);
        }
    }
}
