//! Exemplars as bytes.

use codec::bytes::{ByteReader, CorruptInput, put_bytes, put_ivarint, put_uvarint};
use model::{Exemplar, Labels};

/// Exemplars that one part keeps; the newest stay.
pub(crate) const EXEMPLARS_PER_PART_MAX: usize = 100_000;

/// An exemplar and the ordinal of its series in the part.
pub(crate) type PartExemplar = (u32, Exemplar);

pub(crate) fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    put_bytes(out, exemplar.labels.as_bytes());
    out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
    put_ivarint(out, exemplar.t);
    out.push(u8::from(exemplar.has_t));
}

pub(crate) fn read_exemplar(reader: &mut ByteReader<'_>) -> Result<Exemplar, CorruptInput> {
    let labels = Labels::from_bytes(reader.bytes()?).ok_or(CorruptInput::OutOfRange("exemplar labels"))?;
    Ok(Exemplar { labels, value: reader.f64()?, t: reader.ivarint()?, has_t: reader.u8()? != 0 })
}

/// Sorts by series and time, drops repetitions, keeps the newest within the limit.
pub(crate) fn tidy(exemplars: &mut Vec<PartExemplar>) {
    let key = |e: &PartExemplar| (e.0, e.1.t, e.1.value.to_bits());
    exemplars.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.1.labels.cmp(&b.1.labels)));
    exemplars.dedup_by(|a, b| key(a) == key(b) && a.1.labels == b.1.labels);
    if exemplars.len() > EXEMPLARS_PER_PART_MAX {
        let mut times: Vec<i64> = exemplars.iter().map(|e| e.1.t).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let oldest_kept = times[EXEMPLARS_PER_PART_MAX - 1];
        exemplars.retain(|e| e.1.t >= oldest_kept);
        exemplars.truncate(EXEMPLARS_PER_PART_MAX);
    }
}

pub(crate) fn encode(exemplars: &[PartExemplar]) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(&mut out, exemplars.len() as u64);
    for (ordinal, exemplar) in exemplars {
        put_uvarint(&mut out, u64::from(*ordinal));
        put_exemplar(&mut out, exemplar);
    }
    out
}

pub(crate) fn decode(bytes: &[u8], n_series: u32) -> Result<Vec<PartExemplar>, CorruptInput> {
    let mut reader = ByteReader::new(bytes);
    let n = reader.count()?;
    let mut exemplars = Vec::with_capacity(n);
    for _ in 0..n {
        let ordinal = reader.len((n_series as usize).saturating_sub(1))? as u32;
        exemplars.push((ordinal, read_exemplar(&mut reader)?));
    }
    Ok(exemplars)
}
