//! Columns and blocks of parts.

use codec::{ByteReader, Effort, bitpack, block, floats, ints};

use crate::Target;
use crate::input::Input;

pub(super) const TARGETS: &[Target] = &[
    Target::new("int_column", check_ints, int_seeds).with_test_runs(7_500),
    Target::new("float_column", check_floats, float_seeds).with_test_runs(7_500),
    Target::new("block", check_block, block_seeds).with_heap(BLOCK_BYTES_MAX * 4 + (1 << 20), 64),
    Target::new("varints", check_varints, || vec![vec![1, 0x80, 1, 3, b'a', b'b', b'c', 0xff, 0xff, 0x7f]]),
];

/// Values of a column, somewhat more than a page has.
const VALUES_MAX: usize = 4096;
const BLOCK_BYTES_MAX: usize = 64 << 10;
const EFFORTS: [Effort; 2] = [Effort::Hot, Effort::Merge];

/// The first two bytes are the length of the column, the rest is the column.
fn check_ints(input: &[u8]) {
    let mut input = Input(input);
    let mut values = vec![0; usize::from(input.u16()) % (VALUES_MAX + 1)];
    let mut appended = vec![-1];
    let decoded = ints::decode(input.0, &mut values);
    assert_eq!(ints::decode_append(input.0, values.len(), &mut appended), decoded);
    if decoded.is_err() {
        assert_eq!(appended, [-1], "a column that is refused leaves nothing");
        return;
    }
    assert_eq!(appended[1..], values);
    for effort in EFFORTS {
        let (mut bytes, mut again) = (Vec::new(), vec![0; values.len()]);
        ints::encode(&mut bytes, &values, effort);
        assert_eq!(ints::decode(&bytes, &mut again), Ok(()), "{effort:?}");
        assert_eq!(again, values, "{effort:?}");
    }
}

fn check_floats(input: &[u8]) {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let mut input = Input(input);
    let mut values = vec![0.0; usize::from(input.u16()) % (VALUES_MAX + 1)];
    let mut appended = vec![-1.0];
    let decoded = floats::decode(input.0, &mut values);
    assert_eq!(floats::decode_append(input.0, values.len(), &mut appended), decoded);
    if decoded.is_err() {
        assert_eq!(appended, [-1.0], "a column that is refused leaves nothing");
        return;
    }
    assert_eq!(bits(&appended[1..]), bits(&values));
    for effort in EFFORTS {
        let (mut bytes, mut again) = (Vec::new(), vec![0.0; values.len()]);
        floats::encode(&mut bytes, &values, effort);
        assert_eq!(floats::decode(&bytes, &mut again), Ok(()), "{effort:?}");
        assert_eq!(bits(&again), bits(&values), "{effort:?}");
    }
}

fn check_block(input: &[u8]) {
    let Ok(bytes) = block::decompress(input, BLOCK_BYTES_MAX) else { return };
    assert!(bytes.len() <= BLOCK_BYTES_MAX);
    assert_eq!(block::decompress(&block::compress(&bytes), bytes.len()).as_ref(), Ok(&bytes));
}

/// Bytes are instructions: each says what to read next.
fn check_varints(input: &[u8]) {
    let mut reader = ByteReader::new(input);
    while let Ok(instruction) = reader.u8() {
        let before = reader.remaining();
        let read = match instruction % 8 {
            0 => reader.uvarint().map(drop),
            1 => reader.ivarint().map(drop),
            2 => reader.bytes().map(drop),
            3 => reader.text().map(drop),
            4 => reader.count().map(|n| assert!(n <= before, "a count of {n} in {before} bytes")),
            5 => reader.len(100).map(|n| assert!(n <= 100)),
            6 => reader.u128().map(drop),
            _ => unpack(&mut reader),
        };
        assert!(reader.remaining() <= before);
        if read.is_err() {
            return;
        }
    }
}

fn unpack(reader: &mut ByteReader<'_>) -> Result<(), codec::CorruptInput> {
    let (width, n) = (u32::from(reader.u8()? % 65), usize::from(reader.u8()?));
    let packed = reader.take(bitpack::packed_len(n, width))?;
    let mut values = Vec::new();
    bitpack::unpack(packed, n, width, |v| values.push(v))?;
    let mut again = Vec::new();
    bitpack::pack(&mut again, values.iter().copied(), width);
    let mut unpacked = Vec::new();
    bitpack::unpack(&again, n, width, |v| unpacked.push(v))?;
    assert_eq!(unpacked, values);
    Ok(())
}

/// A column with its length in front, for each effort.
fn columns(n: usize, encode: impl Fn(&mut Vec<u8>, Effort)) -> impl Iterator<Item = Vec<u8>> {
    let n = u16::try_from(n).unwrap_or(0);
    EFFORTS.into_iter().map(move |effort| {
        let mut bytes = n.to_le_bytes().to_vec();
        encode(&mut bytes, effort);
        bytes
    })
}

fn int_seeds() -> Vec<Vec<u8>> {
    let series: [Vec<i64>; 5] = [
        vec![7; 50],
        (0..50).map(|i| 1_700_000_000_000 + i * 15_000).collect(),
        (0..50).map(|i| (i * 7919) % 101).collect(),
        (0..50).map(|i| if i % 17 == 0 { i64::MIN + i } else { i * i }).collect(),
        (0..200).map(|i| (i * i * 2_654_435_761) % 1_000_003).collect(),
    ];
    series
        .iter()
        .flat_map(|values| columns(values.len(), |out, effort| ints::encode(out, values, effort)))
        .collect()
}

fn float_seeds() -> Vec<Vec<u8>> {
    let series: [Vec<f64>; 5] = [
        vec![42.0; 50],
        (0..50).map(|i| f64::from((i * 37) % 101) / 100.0).collect(),
        (0..50).map(|i| 1.0 / f64::from(i + 3)).collect(),
        (0..50).map(|i| [f64::NAN, f64::INFINITY, -0.0, model::stale_nan()][i % 4]).collect(),
        (0..200).map(|i| f64::from(i).sqrt()).collect(),
    ];
    series
        .iter()
        .flat_map(|values| columns(values.len(), |out, effort| floats::encode(out, values, effort)))
        .collect()
}

fn block_seeds() -> Vec<Vec<u8>> {
    [&b""[..], b"short", &[1; 4000]].iter().map(|bytes| block::compress(bytes)).collect()
}
