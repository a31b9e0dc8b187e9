//! Request and response bodies in the encodings HTTP clients use, with a limit on what comes out.

use std::io::{Read, Write as _};

use thiserror::Error;

/// The most a body may decode to unless its receiver sets another limit: 32 MiB.
pub const DECODED_BYTES_MAX: usize = 32 << 20;

/// zstd frames may ask for large windows; this is the largest granted (2^27 bytes, zstd's own limit).
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A content encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    Identity,
    /// The block format without framing, as remote write uses it.
    Snappy,
    Gzip,
    Deflate,
    Zstd,
}

/// Why a body could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecompressError {
    #[error("decompressed body is larger than the limit of {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("{encoding}: corrupt input: {detail}")]
    Corrupt { encoding: &'static str, detail: String },
    #[error("unsupported content encoding {0:?}")]
    Unsupported(String),
}

impl Compression {
    /// Reads a `Content-Encoding` header; the empty text is identity.
    pub fn from_content_encoding(text: &str) -> Result<Self, DecompressError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "snappy" => Ok(Self::Snappy),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(DecompressError::Unsupported(text.to_owned())),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }
}

/// Decodes a whole body. Never allocates more than `limit_bytes` (and one small buffer) for it.
pub fn decompress(
    encoding: Compression,
    body: &[u8],
    limit_bytes: usize,
) -> Result<Vec<u8>, DecompressError> {
    let corrupt =
        |e: std::io::Error| DecompressError::Corrupt { encoding: encoding.as_str(), detail: e.to_string() };
    match encoding {
        Compression::Identity if body.len() > limit_bytes => Err(DecompressError::TooLarge { limit_bytes }),
        Compression::Identity => Ok(body.to_vec()),
        Compression::Snappy => decompress_snappy(body, limit_bytes),
        Compression::Gzip => read_limited(flate2::read::MultiGzDecoder::new(body), encoding, limit_bytes),
        Compression::Deflate => read_limited(flate2::read::ZlibDecoder::new(body), encoding, limit_bytes)
            .or_else(|error| match error {
                // RFC 9110 means zlib, but some senders put the bare stream.
                DecompressError::Corrupt { .. } => {
                    read_limited(flate2::read::DeflateDecoder::new(body), encoding, limit_bytes)
                }
                other => Err(other),
            }),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            read_limited(decoder, encoding, limit_bytes)
        }
    }
}

fn decompress_snappy(body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, DecompressError> {
    let corrupt = |e: snap::Error| DecompressError::Corrupt { encoding: "snappy", detail: e.to_string() };
    // The length in front is the sender's claim; it is checked before anything is allocated.
    if snap::raw::decompress_len(body).map_err(corrupt)? > limit_bytes {
        return Err(DecompressError::TooLarge { limit_bytes });
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)
}

fn read_limited(
    decoder: impl Read,
    encoding: Compression,
    limit_bytes: usize,
) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|e| DecompressError::Corrupt { encoding: encoding.as_str(), detail: e.to_string() })?;
    if out.len() > limit_bytes {
        return Err(DecompressError::TooLarge { limit_bytes });
    }
    Ok(out)
}

/// Encodes a whole body.
pub fn compress(encoding: Compression, body: &[u8]) -> Vec<u8> {
    const IN_MEMORY: &str = "writing to a vector cannot fail";
    match encoding {
        Compression::Identity => body.to_vec(),
        Compression::Snappy => {
            snap::raw::Encoder::new().compress_vec(body).expect("bodies are far below snappy's 4 GiB limit")
        }
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
        Compression::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
        Compression::Zstd => zstd::bulk::compress(body, 1).expect(IN_MEMORY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 5] = [
        Compression::Identity,
        Compression::Snappy,
        Compression::Gzip,
        Compression::Deflate,
        Compression::Zstd,
    ];

    #[test]
    fn bodies_survive_and_bombs_are_refused_at_the_limit() {
        let body = vec![b'x'; 100_000];
        for encoding in ALL {
            let packed = compress(encoding, &body);
            assert_eq!(decompress(encoding, &packed, 100_000).as_deref(), Ok(&body[..]), "{encoding:?}");
            assert_eq!(
                decompress(encoding, &packed, 99_999),
                Err(DecompressError::TooLarge { limit_bytes: 99_999 }),
                "{encoding:?}"
            );
            assert_eq!(Compression::from_content_encoding(encoding.as_str()), Ok(encoding));
        }
    }

    #[test]
    fn a_snappy_length_that_lies_allocates_nothing() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert_eq!(
            decompress(Compression::Snappy, &claim, DECODED_BYTES_MAX),
            Err(DecompressError::TooLarge { limit_bytes: DECODED_BYTES_MAX })
        );
    }

    #[test]
    fn truncated_and_random_bodies_are_errors() {
        let mut rng = base::Rng::new(3);
        let body: Vec<u8> = (0..5_000).map(|_| rng.next_u64() as u8).collect();
        for encoding in ALL.into_iter().skip(1) {
            let packed = compress(encoding, &body);
            let cut = decompress(encoding, &packed[..packed.len() / 2], DECODED_BYTES_MAX);
            assert!(matches!(cut, Err(DecompressError::Corrupt { .. })), "{encoding:?}: {cut:?}");
            for _ in 0..200 {
                let mut flipped = packed.clone();
                flipped[rng.below(packed.len() as u64) as usize] ^= 1 << rng.below(8);
                let _ = decompress(encoding, &flipped, 1 << 20);
            }
        }
    }
}
