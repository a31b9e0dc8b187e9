//! Metadata of metric families as bytes.

use std::collections::BTreeMap;

use codec::bytes::{ByteReader, CorruptInput, put_bytes, put_uvarint};
use model::{Metadata, MetricType};

/// Distinct metadata kept of one family: targets may disagree.
pub(crate) const METADATA_PER_FAMILY_MAX: usize = 10;

pub(crate) type Families = BTreeMap<String, Vec<Metadata>>;

/// Remembers what a family says of itself; `false` if a limit was in the way.
pub(crate) fn note(families: &mut Families, family: &str, metadata: &Metadata, families_max: usize) -> bool {
    if let Some(known) = families.get_mut(family) {
        if known.contains(metadata) {
            return true;
        }
        // The newest first: it is what a single answer shows.
        known.insert(0, metadata.clone());
        known.truncate(METADATA_PER_FAMILY_MAX);
        return true;
    }
    if families.len() >= families_max {
        return false;
    }
    families.insert(family.to_owned(), vec![metadata.clone()]);
    true
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
