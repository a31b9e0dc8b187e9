//! Sets of series within a part. Series are sorted by labels, so the sets of metric names and of
//! leading labels are ranges; the rest are short lists or roaring bitmaps.

use codec::bytes::{ByteReader, CorruptInput, put_uvarint, uvarint_len};
use roaring::RoaringBitmap;

const RANGE: u8 = 0;
const LIST: u8 = 1;
const ROARING: u8 = 2;

/// Longer sets are compared as roaring bitmaps.
const LIST_LENGTH_MAX: u64 = 64;

/// Appends a set that is not empty, in the shortest form.
pub(crate) fn encode(out: &mut Vec<u8>, set: &RoaringBitmap) {
    let (Some(min), Some(max)) = (set.min(), set.max()) else { return };
    if u64::from(max - min) + 1 == set.len() {
        out.push(RANGE);
        put_uvarint(out, u64::from(min));
        put_uvarint(out, set.len());
        return;
    }
    let mut compact = set.clone();
    compact.optimize();
    let list_len = || -> usize {
        let mut previous = 0;
        set.iter().map(|v| uvarint_len(u64::from(v - std::mem::replace(&mut previous, v)))).sum()
    };
    if set.len() <= LIST_LENGTH_MAX || list_len() < compact.serialized_size() {
        out.push(LIST);
        put_uvarint(out, set.len());
        let mut previous = 0;
        for v in set {
            put_uvarint(out, u64::from(v - previous));
            previous = v;
        }
        return;
    }
    out.push(ROARING);
    compact.serialize_into(&mut *out).expect("writing to a vector cannot fail");
}

/// Adds the set to `all`; every ordinal must be below `n_series`.
pub(crate) fn decode_into(bytes: &[u8], n_series: u32, all: &mut RoaringBitmap) -> Result<(), CorruptInput> {
    let outside = CorruptInput::OutOfRange("series ordinal");
    let mut reader = ByteReader::new(bytes);
    match reader.u8()? {
        RANGE => {
            let start = reader.len(n_series as usize)? as u32;
            let len = reader.len((n_series - start) as usize)? as u32;
            all.insert_range(start..start + len);
        }
        LIST => {
            let n = reader.count()?;
            let mut previous = 0u64;
            for _ in 0..n {
                previous = previous.saturating_add(reader.uvarint()?);
                if previous >= u64::from(n_series) {
                    return Err(outside);
                }
                all.insert(previous as u32);
            }
        }
        ROARING => {
            let set = RoaringBitmap::deserialize_from(reader.rest()).map_err(|_| CorruptInput::Compressed)?;
            if set.max().is_some_and(|max| max >= n_series) {
                return Err(outside);
            }
            *all |= set;
        }
        tag => return Err(CorruptInput::UnknownTag(tag)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_round_trip(values in proptest::collection::btree_set(0u32..200_000, 1..300), start in 0u32..1_000, len in 1u32..5_000) {
            let mut range = RoaringBitmap::new();
            range.insert_range(start..start + len);
            let mut mixed = range.clone();
            mixed.extend(values.iter().copied());
            for set in [values.iter().copied().collect::<RoaringBitmap>(), range, mixed] {
                let mut out = Vec::new();
                encode(&mut out, &set);
                let mut back = RoaringBitmap::new();
                decode_into(&out, 200_000, &mut back).unwrap();
                prop_assert_eq!(&back, &set);
                let max = set.max().unwrap();
                prop_assert!(decode_into(&out, max, &mut RoaringBitmap::new()).is_err());
            }
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), n in 0u32..100) {
            let _ = decode_into(&bytes, n, &mut RoaringBitmap::new());
        }
    }
}
