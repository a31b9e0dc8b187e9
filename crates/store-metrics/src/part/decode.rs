//! Decoding the blocks of a part: pure functions from bytes to directories, lists and columns.

use std::ops::Range;

use codec::bytes::{ByteReader, CorruptInput};
use codec::{floats, ints};

use crate::columns::SampleColumns;
use crate::part::builder::{PAGE_HAS_ST, PAGE_HISTOGRAMS, PAGE_NEW_BLOCK, Pair};
use crate::part::cache::{Lists, NameEntry, PageEntry, PartIndex, TimeEntry, ValueChunk};
use crate::part::{PAGE_SAMPLES_MAX, VALUES_PER_CHUNK, histograms};

/// Gets a value and the bytes of its postings; `false` stops.
pub(crate) type ValueVisitor<'v> = dyn FnMut(&str, &[u8]) -> Result<bool, CorruptInput> + 'v;

pub(super) fn slice(bytes: &[u8], offset: u32, len: u32) -> Result<&[u8], CorruptInput> {
    let start = offset as usize;
    bytes.get(start..start + len as usize).ok_or(CorruptInput::Truncated)
}

/// Decodes the page and keeps the rows of `range`.
pub(super) fn append_page(
    flags: u8,
    bytes: &[u8],
    ts: &[i64],
    range: Range<usize>,
    columns: &mut SampleColumns,
) -> Result<(), CorruptInput> {
    let mut reader = ByteReader::new(bytes);
    let histograms = flags & PAGE_HISTOGRAMS != 0;
    let (out_ts, out_st) = if histograms {
        (&mut columns.histogram_ts, &mut columns.histogram_st)
    } else {
        (&mut columns.float_ts, &mut columns.float_st)
    };
    if flags & PAGE_HAS_ST != 0 {
        let encoded = reader.bytes()?;
        out_st.resize(out_ts.len(), 0);
        let before = out_st.len();
        ints::decode_append(encoded, ts.len(), out_st)?;
        keep_range(out_st, before, &range);
    } else if !out_st.is_empty() {
        out_st.resize(out_ts.len() + range.len(), 0);
    }
    out_ts.extend_from_slice(&ts[range.clone()]);
    if histograms {
        let before = columns.histograms.len();
        histograms::decode_page(reader.rest(), ts.len(), &mut columns.histograms)?;
        keep_range(&mut columns.histograms, before, &range);
    } else {
        let before = columns.float_values.len();
        floats::decode_append(reader.rest(), ts.len(), &mut columns.float_values)?;
        keep_range(&mut columns.float_values, before, &range);
    }
    Ok(())
}

/// Of what was appended after `before`, keeps only `range`.
fn keep_range<T>(items: &mut Vec<T>, before: usize, range: &Range<usize>) {
    items.truncate(before + range.end);
    if range.start > 0 {
        items.drain(before..before + range.start);
    }
}

pub(super) fn visit_chunk(
    block: &[u8],
    chunk: &ValueChunk,
    index: &PartIndex,
    prefix: &str,
    each: &mut ValueVisitor<'_>,
) -> Result<bool, CorruptInput> {
    let mut reader = ByteReader::new(block.get(chunk.offset as usize..).ok_or(CorruptInput::Truncated)?);
    let mut symbol = u64::from(chunk.first);
    for _ in 0..chunk.n {
        symbol = symbol.saturating_add(reader.uvarint()?);
        let bytes = reader.bytes()?;
        let value = u32::try_from(symbol).ok().and_then(|symbol| index.symbols.get(symbol));
        let value = value.ok_or(CorruptInput::OutOfRange("symbol"))?;
        if value.starts_with(prefix) {
            if !each(value, bytes)? {
                return Ok(false);
            }
        } else if value > prefix {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn read_names(raw: &[u8], n_symbols: usize) -> Result<Vec<NameEntry>, CorruptInput> {
    let mut reader = ByteReader::new(raw);
    let n_names = reader.count()?;
    let mut names: Vec<NameEntry> = Vec::with_capacity(n_names);
    for _ in 0..n_names {
        let name = reader.len(n_symbols.saturating_sub(1))? as u32;
        if names.last().is_some_and(|last| last.name >= name) {
            return Err(CorruptInput::OutOfRange("order of label names"));
        }
        let n_values = reader.len(n_symbols)?;
        let mut chunks: Vec<ValueChunk> = Vec::new();
        for start in (0..n_values).step_by(VALUES_PER_CHUNK) {
            let first = reader.len(n_symbols.saturating_sub(1))? as u32;
            let n = (n_values - start).min(VALUES_PER_CHUNK) as u32;
            let block = reader.len(u32::MAX as usize)? as u32;
            let offset = reader.len(u32::MAX as usize)? as u32;
            chunks.push(ValueChunk { first, n, block, offset });
        }
        names.push(NameEntry { name, chunks });
    }
    Ok(names)
}

pub(super) fn read_time_directory(raw: &[u8]) -> Result<Vec<TimeEntry>, CorruptInput> {
    let mut reader = ByteReader::new(raw);
    let mut times = Vec::new();
    let (mut block, mut offset, mut min_t) = (0u32, 0u32, 0i64);
    while !reader.is_empty() {
        let head = reader.uvarint()?;
        let n = u32::try_from(head >> 1).ok().filter(|n| *n > 0 && *n as usize <= PAGE_SAMPLES_MAX);
        let n = n.ok_or(CorruptInput::OutOfRange("samples of a page"))?;
        if head & 1 == 1 {
            (block, offset) = (block.wrapping_add(1), 0);
        }
        min_t = min_t.wrapping_add(reader.ivarint()?);
        let max_t = min_t.wrapping_add(reader.uvarint()? as i64);
        let len = reader.len(u32::MAX as usize)? as u32;
        times.push(TimeEntry { n, min_t, max_t, block, offset, len });
        offset = offset.checked_add(len).ok_or(CorruptInput::OutOfRange("offset"))?;
    }
    Ok(times)
}

pub(super) fn read_labels(
    raw: &[u8],
    n_series: usize,
    n_symbols: usize,
) -> Result<Lists<Pair>, CorruptInput> {
    let mut reader = ByteReader::new(raw);
    let mut lists = Lists::new();
    let mut previous: Vec<Pair> = Vec::new();
    let limit = n_symbols.saturating_sub(1);
    for series in 0..n_series {
        let shared = reader.len(previous.len())?;
        previous.truncate(shared);
        for _ in 0..reader.count()? {
            let pair = (reader.len(limit)? as u32, reader.len(limit)? as u32);
            if previous.last().is_some_and(|last| last.0 >= pair.0) {
                return Err(CorruptInput::OutOfRange("order of labels"));
            }
            previous.push(pair);
        }
        // Lookups and merges rely on it, and a checksum does not know it.
        let before = series.checked_sub(1).and_then(|before| lists.get(before));
        if before.is_some_and(|before| before[shared..] >= previous[shared..]) {
            return Err(CorruptInput::OutOfRange("order of series"));
        }
        lists.items.extend_from_slice(&previous);
        lists.close_list();
    }
    Ok(lists)
}

pub(super) fn read_pages(
    raw: &[u8],
    n_series: usize,
    n_times: usize,
) -> Result<Lists<PageEntry>, CorruptInput> {
    let mut reader = ByteReader::new(raw);
    let mut lists = Lists::new();
    let mut block = reader.len(u32::MAX as usize)? as u32;
    let mut offset = reader.len(u32::MAX as usize)? as u32;
    let mut time_ref = 0i64;
    for _ in 0..n_series {
        for _ in 0..reader.count()? {
            let flags = reader.u8()?;
            if flags & PAGE_NEW_BLOCK != 0 {
                (block, offset) = (block.wrapping_add(1), 0);
            }
            time_ref = time_ref.wrapping_add(reader.ivarint()?);
            let valid = u32::try_from(time_ref).ok().filter(|r| (*r as usize) < n_times);
            let valid = valid.ok_or(CorruptInput::OutOfRange("timestamp column"))?;
            let len = reader.len(u32::MAX as usize)? as u32;
            lists.items.push(PageEntry { flags, time_ref: valid, block, offset, len });
            offset = offset.checked_add(len).ok_or(CorruptInput::OutOfRange("offset"))?;
        }
        lists.close_list();
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use codec::bytes::put_uvarint;

    use super::*;

    #[test]
    fn series_out_of_label_order_are_refused() {
        // Per series: how many pairs it shares with the one before, how many follow, and those.
        let check = |series: &[(u64, &[(u64, u64)])], expected: Result<usize, CorruptInput>| {
            let mut raw = Vec::new();
            for (shared, pairs) in series {
                put_uvarint(&mut raw, *shared);
                put_uvarint(&mut raw, pairs.len() as u64);
                for (name, value) in *pairs {
                    put_uvarint(&mut raw, *name);
                    put_uvarint(&mut raw, *value);
                }
            }
            let read = read_labels(&raw, series.len(), 10);
            assert_eq!(read.map(|lists| lists.items.len()), expected, "{series:?}");
        };
        let refused = Err(CorruptInput::OutOfRange("order of series"));
        check(&[(0, &[(0, 5), (2, 1)]), (1, &[(2, 3)]), (0, &[(1, 0)])], Ok(5));
        check(&[(0, &[(0, 5)]), (1, &[(2, 3)])], Ok(3));
        check(&[(0, &[(0, 5), (2, 1)]), (1, &[(2, 0)])], refused);
        check(&[(0, &[(0, 5), (2, 1)]), (1, &[])], refused);
        check(&[(0, &[(0, 5), (2, 1)]), (2, &[])], refused);
        check(&[(0, &[(1, 5)]), (0, &[(0, 7)])], refused);
    }
}
