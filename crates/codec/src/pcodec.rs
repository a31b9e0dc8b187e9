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

/// Fills `dst` from all of `bytes`.
pub(crate) fn decode<T: Number>(bytes: &[u8], dst: &mut [T]) -> Result<(), CorruptInput> {
    let refused = |_| CorruptInput::Compressed;
    if dst.is_empty() {
        return Err(CorruptInput::Compressed);
    }
    let (file, rest) = FileDecompressor::new(bytes).map_err(refused)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(refused)?;
    let mut page = chunk.page_decompressor(rest, dst.len()).map_err(refused)?;
    let progress = page.read(dst).map_err(refused)?;
    if progress.finished && progress.n_processed == dst.len() {
        Ok(())
    } else {
        Err(CorruptInput::Compressed)
    }
}
