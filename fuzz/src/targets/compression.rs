//! Compressed bodies.

use wire_core::compression::compress;
use wire_core::{Compression, decompress};

use crate::Target;
use crate::input::Input;

pub(super) const TARGETS: &[Target] = &[
    // The decoders keep windows and tables of their own besides what comes out.
    Target::new("decompression", check, seeds)
        .with_heap(LIMIT_BYTES * 4 + (1 << 20), 64)
        .with_test_runs(15_000),
    Target::new("content_encoding", check_header, || vec![b"gzip".to_vec(), b"x-snappy-framed".to_vec()])
        .with_words(&["snappy", "gzip", "deflate", "zstd", "identity", ",", " ", ";q=0"]),
];

const LIMIT_BYTES: usize = 64 << 10;

const ENCODINGS: [Compression; 5] =
    [Compression::Identity, Compression::Snappy, Compression::Gzip, Compression::Deflate, Compression::Zstd];

/// The first byte chooses the encoding.
fn check(input: &[u8]) {
    let mut input = Input(input);
    let encoding = ENCODINGS[usize::from(input.u8()) % ENCODINGS.len()];
    let Ok(body) = decompress(encoding, input.0, LIMIT_BYTES) else { return };
    assert!(body.len() <= LIMIT_BYTES, "{} bytes came out, {LIMIT_BYTES} were allowed", body.len());
    let again = decompress(encoding, &compress(encoding, &body), LIMIT_BYTES);
    assert_eq!(again.as_deref(), Ok(&body[..]), "{encoding:?}: what was unpacked, packed and unpacked");
    if !body.is_empty() {
        let refused = decompress(encoding, input.0, body.len() - 1);
        assert!(refused.is_err(), "{encoding:?}: a limit one byte too small holds");
    }
}

fn check_header(input: &[u8]) {
    let Some(text) = crate::input::text(input) else { return };
    if let Ok(encoding) = Compression::from_content_encoding(text) {
        assert_eq!(Compression::from_content_encoding(encoding.as_str()), Ok(encoding));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let bodies: [&[u8]; 3] = [b"", b"abcabcabcabc short", &[7; 5000]];
    let mut seeds = Vec::new();
    for (idx, encoding) in (0u8..).zip(ENCODINGS) {
        for body in bodies {
            seeds.push([&[idx], &compress(encoding, body)[..]].concat());
        }
    }
    let bomb = compress(Compression::Gzip, &vec![0; LIMIT_BYTES * 4]);
    seeds.push([&[2], &bomb[..]].concat());
    seeds
}
