//! Metadata of metric families as bytes.

use std::collections::BTreeMap;

use codec::bytes::{ByteReader, CorruptInput, put_bytes, put_uvarint};
use model::{Metadata, MetricType};

/// Distinct metadata kept of one family: targets may disagree.
pub(crate) const METADATA_PER_FAMILY_MAX: usize = 10;

pub(crate) type Families = BTreeMap<String, Vec<Metadata>>;

/// What one entry of a family occupies.
fn entry_bytes(metadata: &Metadata) -> u64 {
    (size_of::<Metadata>() + metadata.unit.len() + metadata.help.len()) as u64
}

/// What a family occupies besides its entries.
fn family_bytes(family: &str) -> u64 {
    family.len() as u64 + 96
}

/// What noting an entry takes at most.
pub(crate) fn bytes_to_note(family: &str, metadata: &Metadata) -> u64 {
    family_bytes(family) + entry_bytes(metadata)
}

pub(crate) fn heap_bytes(families: &Families) -> u64 {
    let of_family = |(family, entries): (&String, &Vec<Metadata>)| {
        family_bytes(family) + entries.iter().map(entry_bytes).sum::<u64>()
    };
    families.iter().map(of_family).sum()
}

/// Remembers what a family says of itself, unless a limit is in the way; returns the bytes that came
/// and those that went.
pub(crate) fn note(
    families: &mut Families,
    family: &str,
    metadata: &Metadata,
    families_max: usize,
) -> (u64, u64) {
    if let Some(known) = families.get_mut(family) {
        if known.contains(metadata) {
            return (0, 0);
        }
        // The newest first: it is what a single answer shows.
        known.insert(0, metadata.clone());
        let forgotten = known.split_off(METADATA_PER_FAMILY_MAX.min(known.len()));
        return (entry_bytes(metadata), forgotten.iter().map(entry_bytes).sum());
    }
    if families.len() >= families_max {
        return (0, 0);
    }
    families.insert(family.to_owned(), vec![metadata.clone()]);
    (bytes_to_note(family, metadata), 0)
}

pub(crate) fn put_entry(out: &mut Vec<u8>, family: &str, metadata: &Metadata) {
    put_bytes(out, family.as_bytes());
    let code = MetricType::ALL.iter().position(|t| *t == metadata.metric_type).unwrap_or(0);
    out.push(code as u8);
    put_bytes(out, metadata.unit.as_bytes());
    put_bytes(out, metadata.help.as_bytes());
}

pub(crate) fn read_entry(reader: &mut ByteReader<'_>) -> Result<(String, Metadata), CorruptInput> {
    let family = reader.text()?.to_owned();
    let code = reader.u8()?;
    let metric_type = *MetricType::ALL.get(usize::from(code)).ok_or(CorruptInput::UnknownTag(code))?;
    let unit = reader.text()?.to_owned();
    let help = reader.text()?.to_owned();
    Ok((family, Metadata { metric_type, unit, help }))
}

pub(crate) fn encode(families: &Families) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(&mut out, families.values().map(Vec::len).sum::<usize>() as u64);
    for (family, entries) in families {
        for metadata in entries {
            put_entry(&mut out, family, metadata);
        }
    }
    out
}

/// Adds the families of a block to `families`; what is known already stays first.
pub(crate) fn decode_into(bytes: &[u8], families: &mut Families) -> Result<(), CorruptInput> {
    let mut reader = ByteReader::new(bytes);
    for _ in 0..reader.count()? {
        let (family, metadata) = read_entry(&mut reader)?;
        let known = families.entry(family).or_default();
        if !known.contains(&metadata) && known.len() < METADATA_PER_FAMILY_MAX {
            known.push(metadata);
        }
    }
    Ok(())
}
