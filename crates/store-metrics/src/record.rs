//! Journal records: what a batch adds, with series named by numbers that earlier records (or the
//! same one) define. docs/formats/metrics-part.md has the bytes.

use std::sync::Arc;

use base::TenantId;
use codec::bytes::{ByteReader, CorruptInput, put_bytes, put_ivarint, put_uvarint};
use model::{Exemplar, FloatHistogram, Labels, Metadata, STALE_NAN_BITS};

use crate::options::BatchId;
use crate::part::exemplars::{put_exemplar, read_exemplar};
use crate::part::histograms::{histogram_bytes, histogram_from_bytes};
use crate::part::metadata;

const VERSION: u8 = 1;

// Sections; a record is a header and then sections until its end.
const SECTION_SERIES: u8 = 1;
const SECTION_FLOATS: u8 = 2;
const SECTION_HISTOGRAMS: u8 = 3;
const SECTION_EXEMPLARS: u8 = 4;
const SECTION_METADATA: u8 = 5;

// The control byte of a float.
const NEXT_SERIES: u8 = 1;
const SAME_TIME: u8 = 2;
const SAME_ST: u8 = 4;
const VALUE_INTEGER: u8 = 0;
const VALUE_HIGH: u8 = 1;
const VALUE_RAW: u8 = 2;
const VALUE_STALE: u8 = 3;
/// In the place of a control byte: no sample has it.
const FLOATS_END: u8 = 0xff;

/// A record that is being written; several make a batch when one would be too large.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    bytes: Vec<u8>,
    section: u8,
    number: u32,
    t: i64,
    st: i64,
}

impl RecordWriter {
    pub(crate) fn new(tenant: &TenantId, generation: u32, batch: Option<BatchId>) -> Self {
        let mut bytes = Vec::with_capacity(4 << 10);
        bytes.push(VERSION);
        put_bytes(&mut bytes, tenant.as_str().as_bytes());
        put_uvarint(&mut bytes, u64::from(generation));
        bytes.push(u8::from(batch.is_some()));
        if let Some(batch) = batch {
            for word in [batch.writer, batch.epoch, batch.sequence] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        Self { bytes, section: 0, number: 0, t: 0, st: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.end_section();
        self.bytes
    }

    fn end_section(&mut self) {
        match self.section {
            0 => {}
            SECTION_FLOATS => self.bytes.push(FLOATS_END),
            _ => self.bytes.push(0),
        }
        self.section = 0;
    }

    fn begin(&mut self, section: u8) {
        if self.section != section {
            self.end_section();
            self.bytes.push(section);
            self.section = section;
        } else if section == SECTION_FLOATS {
            return;
        }
        if section != SECTION_FLOATS {
            self.bytes.push(1);
        }
    }

    pub(crate) fn series(&mut self, number: u32, labels: &Labels) {
        self.begin(SECTION_SERIES);
        put_uvarint(&mut self.bytes, u64::from(number));
        put_bytes(&mut self.bytes, labels.as_bytes());
    }

    pub(crate) fn float(&mut self, number: u32, st: i64, t: i64, v: f64) {
        self.begin(SECTION_FLOATS);
        let control_at = self.bytes.len();
        let mut control = 0;
        self.bytes.push(0);
        if number == self.number.wrapping_add(1) {
            control |= NEXT_SERIES;
        } else {
            put_ivarint(&mut self.bytes, i64::from(number) - i64::from(self.number));
        }
        if t == self.t {
            control |= SAME_TIME;
        } else {
            put_ivarint(&mut self.bytes, t.wrapping_sub(self.t));
        }
        if st == self.st {
            control |= SAME_ST;
        } else {
            put_ivarint(&mut self.bytes, st.wrapping_sub(self.st));
        }
        let bits = v.to_bits();
        let integer = v as i64;
        let kind = if bits == STALE_NAN_BITS {
            VALUE_STALE
        } else if (integer as f64).to_bits() == bits && integer.unsigned_abs() < 1 << 34 {
            put_ivarint(&mut self.bytes, integer);
            VALUE_INTEGER
        } else if bits as u32 == 0 {
            self.bytes.extend_from_slice(&((bits >> 32) as u32).to_le_bytes());
            VALUE_HIGH
        } else {
            self.bytes.extend_from_slice(&bits.to_le_bytes());
            VALUE_RAW
        };
        self.bytes[control_at] = control | kind << 3;
        (self.number, self.t, self.st) = (number, t, st);
    }

    pub(crate) fn histogram(&mut self, number: u32, st: i64, t: i64, h: &FloatHistogram) {
        self.begin(SECTION_HISTOGRAMS);
        put_uvarint(&mut self.bytes, u64::from(number));
        put_ivarint(&mut self.bytes, st);
        put_ivarint(&mut self.bytes, t);
        put_bytes(&mut self.bytes, &histogram_bytes(h));
    }

    pub(crate) fn exemplar(&mut self, number: u32, exemplar: &Exemplar) {
        self.begin(SECTION_EXEMPLARS);
        put_uvarint(&mut self.bytes, u64::from(number));
        put_exemplar(&mut self.bytes, exemplar);
    }

    pub(crate) fn metadata(&mut self, family: &str, metadata: &Metadata) {
        self.begin(SECTION_METADATA);
        metadata::put_entry(&mut self.bytes, family, metadata);
    }
}

/// One thing that a record adds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Series { number: u32, labels: Labels },
    Float { number: u32, st: i64, t: i64, v: f64 },
    Histogram { number: u32, st: i64, t: i64, h: Arc<FloatHistogram> },
    Exemplar { number: u32, exemplar: Exemplar },
    Metadata { family: String, metadata: Metadata },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordHeader {
    pub(crate) tenant: TenantId,
    pub(crate) generation: u32,
    pub(crate) batch: Option<BatchId>,
}

/// Gets what a record holds, in order.
pub(crate) trait Visitor {
    fn header(&mut self, header: RecordHeader);
    fn entry(&mut self, entry: Entry);
}

/// Reads a record. After an error the visitor has seen what came before the damage.
pub(crate) fn read(bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), CorruptInput> {
    let mut reader = ByteReader::new(bytes);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(CorruptInput::UnknownTag(version));
    }
    let tenant = TenantId::new(reader.text()?).map_err(|_| CorruptInput::OutOfRange("tenant"))?;
    let generation = number(&mut reader)?;
    let batch = match reader.u8()? {
        0 => None,
        _ => Some(BatchId { writer: reader.u64()?, epoch: reader.u64()?, sequence: reader.u64()? }),
    };
    visitor.header(RecordHeader { tenant, generation, batch });
    let mut last = (0u32, 0i64, 0i64);
    while !reader.is_empty() {
        let section = reader.u8()?;
        if section == SECTION_FLOATS {
            while let Some(entry) = read_float(&mut reader, &mut last)? {
                visitor.entry(entry);
            }
            continue;
        }
        while reader.u8()? == 1 {
            visitor.entry(read_entry(section, &mut reader)?);
        }
    }
    Ok(())
}

fn number(reader: &mut ByteReader<'_>) -> Result<u32, CorruptInput> {
    u32::try_from(reader.uvarint()?).map_err(|_| CorruptInput::OutOfRange("number"))
}

fn read_float(
    reader: &mut ByteReader<'_>,
    last: &mut (u32, i64, i64),
) -> Result<Option<Entry>, CorruptInput> {
    let control = reader.u8()?;
    if control == FLOATS_END {
        return Ok(None);
    }
    if control > NEXT_SERIES | SAME_TIME | SAME_ST | VALUE_STALE << 3 {
        return Err(CorruptInput::UnknownTag(control));
    }
    let number = if control & NEXT_SERIES != 0 {
        last.0.wrapping_add(1)
    } else {
        let number = i64::from(last.0).wrapping_add(reader.ivarint()?);
        u32::try_from(number).map_err(|_| CorruptInput::OutOfRange("number"))?
    };
    let t = if control & SAME_TIME != 0 { last.1 } else { last.1.wrapping_add(reader.ivarint()?) };
    let st = if control & SAME_ST != 0 { last.2 } else { last.2.wrapping_add(reader.ivarint()?) };
    let v = match control >> 3 & 3 {
        VALUE_INTEGER => reader.ivarint()? as f64,
        VALUE_HIGH => f64::from_bits(u64::from(reader.u32()?) << 32),
        VALUE_RAW => reader.f64()?,
        _ => f64::from_bits(STALE_NAN_BITS),
    };
    *last = (number, t, st);
    Ok(Some(Entry::Float { number, st, t, v }))
}

fn read_entry(section: u8, reader: &mut ByteReader<'_>) -> Result<Entry, CorruptInput> {
    match section {
        SECTION_SERIES => {
            let number = number(reader)?;
            let labels = Labels::from_bytes(reader.bytes()?).ok_or(CorruptInput::OutOfRange("labels"))?;
            Ok(Entry::Series { number, labels })
        }
        SECTION_HISTOGRAMS => {
            let number = number(reader)?;
            let (st, t) = (reader.ivarint()?, reader.ivarint()?);
            let h = Arc::new(histogram_from_bytes(reader.bytes()?)?);
            Ok(Entry::Histogram { number, st, t, h })
        }
        SECTION_EXEMPLARS => {
            Ok(Entry::Exemplar { number: number(reader)?, exemplar: read_exemplar(reader)? })
        }
        SECTION_METADATA => {
            let (family, metadata) = metadata::read_entry(reader)?;
            Ok(Entry::Metadata { family, metadata })
        }
        tag => Err(CorruptInput::UnknownTag(tag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Collected {
        header: Option<RecordHeader>,
        entries: Vec<Entry>,
    }

    impl Visitor for Collected {
        fn header(&mut self, header: RecordHeader) {
            self.header = Some(header);
        }

        fn entry(&mut self, entry: Entry) {
            self.entries.push(entry);
        }
    }

    proptest! {
        #[test]
        fn floats_come_back(rows in proptest::collection::vec((0u32..5, 0i64..3, 0i64..4, any::<u64>(), 0u32..64), 0..60)) {
            let mut writer = RecordWriter::new(&TenantId::anonymous(), 7, None);
            let mut expected = Vec::new();
            for (number, st, t, bits, shift) in rows {
                let v = if shift % 2 == 0 { f64::from_bits(bits) } else { (bits >> shift) as f64 };
                writer.float(number, st, t, v);
                expected.push((number, st, t, v.to_bits()));
            }
            let mut found = Collected::default();
            read(&writer.into_bytes(), &mut found).unwrap();
            let back: Vec<_> = found.entries.into_iter().map(|entry| match entry {
                Entry::Float { number, st, t, v } => (number, st, t, v.to_bits()),
                other => panic!("{other:?}"),
            }).collect();
            prop_assert_eq!(back, expected);
        }

        #[test]
        fn any_bytes_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), whole in any::<bool>()) {
            let mut record = RecordWriter::new(&TenantId::anonymous(), 1, None).into_bytes();
            record.extend_from_slice(&bytes);
            let input = if whole { &bytes } else { &record };
            let _ = read(input, &mut Collected::default());
        }
    }

    #[test]
    fn every_kind_of_entry_comes_back_in_order() {
        let batch = Some(BatchId { writer: 1, epoch: 2, sequence: 3 });
        let labels = Labels::from_pairs([("__name__", "up")]);
        let h = FloatHistogram { count: 3.0, positive_buckets: vec![1.0], ..FloatHistogram::default() };
        let exemplar = Exemplar { labels: labels.clone(), value: 2.5, t: 9, has_t: true };
        let metadata = Metadata { help: "help".to_owned(), ..Metadata::default() };
        let entries = vec![
            Entry::Series { number: 4, labels },
            Entry::Float { number: 4, st: 0, t: 5, v: 1.5 },
            Entry::Float { number: 5, st: 0, t: 5, v: -2.0 },
            Entry::Histogram { number: 4, st: 1, t: 6, h: Arc::new(h) },
            Entry::Exemplar { number: 4, exemplar },
            Entry::Metadata { family: "up".to_owned(), metadata },
            Entry::Float { number: 1, st: -3, t: -5, v: 0.1 },
        ];
        let mut writer = RecordWriter::new(&TenantId::anonymous(), 7, batch);
        for entry in &entries {
            match entry {
                Entry::Series { number, labels } => writer.series(*number, labels),
                Entry::Float { number, st, t, v } => writer.float(*number, *st, *t, *v),
                Entry::Histogram { number, st, t, h } => writer.histogram(*number, *st, *t, h),
                Entry::Exemplar { number, exemplar } => writer.exemplar(*number, exemplar),
                Entry::Metadata { family, metadata } => writer.metadata(family, metadata),
            }
        }
        let mut found = Collected::default();
        read(&writer.into_bytes(), &mut found).unwrap();
        assert_eq!(found.entries, entries);
        assert_eq!(found.header, Some(RecordHeader { tenant: TenantId::anonymous(), generation: 7, batch }));
    }
}
