//! `pco` for whole columns: one chunk, one page, without the standalone framing.

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DEFAULT_COMPRESSION_LEVEL};

use crate::bytes::CorruptInput;

/// Columns shorter than this gain nothing over bit-packing.
pub(crate) const PCO_LENGTH_MIN: usize = 24;

/// Appends the column; `None` if the library refuses, with `out` as it was.
pub(crate) fn encode<T: Number>(out: &mut Vec<u8>, values: &[T]) -> Option<()> {
    let before = out.len();
    let written = try_encode(out, values);
    if written.is_none() {
        out.truncate(before);
    }
    written
}

fn try_encode<T: Number>(out: &mut Vec<u8>, values: &[T]) -> Option<()> {
    let config = ChunkConfig::default().with_compression_level(DEFAULT_COMPRESSION_LEVEL);
    let file = FileCompressor::default();
    file.write_header(&mut *out).ok()?;
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    chunk.write_meta(&mut *out).ok()?;
    if chunk.n_per_page() != [values.len()] {
        return None;
    }
    chunk.write_page(0, &mut *out).ok()?;
    Some(())
}

/// The first bits of a chunk: how its numbers became what is packed.
const MODE_MASK: u8 = 0x0f;
const MODE_DICTIONARY: u8 = 4;

/// Fills `dst` from all of `bytes`.
///
/// A chunk with a dictionary is refused: [`encode`] writes none, and the library makes room for the
/// length that it claims, up to 256 MiB, before it looks for the values.
pub(crate) fn decode<T: Number>(bytes: &[u8], dst: &mut [T]) -> Result<(), CorruptInput> {
    let refused = |_| CorruptInput::Compressed;
    if dst.is_empty() {
        return Err(CorruptInput::Compressed);
    }
    let (file, rest) = FileDecompressor::new(bytes).map_err(refused)?;
    if rest.first().is_some_and(|first| first & MODE_MASK == MODE_DICTIONARY) {
        return Err(CorruptInput::OutOfRange("pco mode"));
    }
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(refused)?;
    let mut page = chunk.page_decompressor(rest, dst.len()).map_err(refused)?;
    let progress = page.read(dst).map_err(refused)?;
    if progress.finished && progress.n_processed == dst.len() {
        Ok(())
    } else {
        Err(CorruptInput::Compressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_is_refused_before_it_is_made_room_for() {
        // Version 4.1, the mode, and a dictionary of 7.6 million values that are not there.
        let claim = b"\x04\x01\x94\x10W\x07\x00\xe0\xf1X\xd4\xf9";
        let refused = Err(CorruptInput::OutOfRange("pco mode"));
        assert_eq!(decode::<i64>(claim, &mut [0; 200]), refused);
        assert_eq!(decode::<f64>(claim, &mut [0.0; 200]), refused);
    }

    #[test]
    fn what_the_encoder_writes_has_no_dictionary() {
        let few: Vec<i64> = (0..2_000).map(|i| [7, 1 << 40, -3, 1 << 60][i % 4]).collect();
        let (mut bytes, mut back) = (Vec::new(), vec![0; few.len()]);
        assert_eq!(encode(&mut bytes, &few), Some(()));
        assert_eq!(decode(&bytes, &mut back), Ok(()));
        assert_eq!(back, few);
    }
}
