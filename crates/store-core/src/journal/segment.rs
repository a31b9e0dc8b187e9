//! One segment file: a header, then records. Scanning finds every intact record and says what lies
//! between them.

use super::record::{self, RECORD_HEADER_BYTES, RecordHeader};
use super::{JOURNAL_FORMAT_VERSION, JournalError, Offset};

const MAGIC: &[u8; 8] = b"SXTJRNL\n";
pub(super) const SEGMENT_HEADER_BYTES: usize = 52;

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) incarnation: u64,
    pub(super) writer: u64,
    pub(super) epoch: u32,
    /// The offset of the first record.
    pub(super) base: Offset,
    /// Everything below this was durable when the segment was created. Offsets between this and `base`
    /// were given to records whose append failed.
    pub(super) durable_end: Offset,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[JOURNAL_FORMAT_VERSION, 0, 0, 0]);
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        for word in [self.incarnation, self.writer, self.base.0, self.durable_end.0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when the header is damaged.
    pub(super) fn decode(bytes: &[u8], segment: &str) -> Result<Option<Self>, JournalError> {
        let Some(head) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else { return Ok(None) };
        let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let intact = head[..8] == MAGIC[..] && crc32c::crc32c(&head[..48]) == word(48);
        if !intact {
            return Ok(None);
        }
        // Only an intact header may claim to be newer; a flipped bit must not keep a server down.
        let (found, newest) = (head[8], JOURNAL_FORMAT_VERSION);
        if found > newest {
            return Err(JournalError::NewerVersion { segment: segment.to_owned(), found, newest });
        }
        Ok(Some(Self {
            epoch: word(12),
            incarnation: long(16),
            writer: long(24),
            base: Offset(long(32)),
            durable_end: Offset(long(40)),
        }))
    }
}

/// `<base offset>-<epoch>.journal`, so that names sort by offset.
pub(super) fn file_name(base: Offset, epoch: u32) -> String {
    format!("{:020}-{epoch:010}.journal", base.0)
}

/// Reads a file name back.
pub(super) fn parse_file_name(name: &str) -> Option<(Offset, u32)> {
    let (base, epoch) = name.strip_suffix(".journal")?.split_once('-')?;
    Some((Offset(base.parse().ok()?), epoch.parse().ok()?))
}

/// Bytes between intact records that are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) at: usize,
    pub(super) len: usize,
    /// How many intact records the segment has before it.
    pub(super) n_before: u64,
    /// The offsets that are missing: from the one that should follow to the one that does. Empty at the
    /// end of a segment, where nothing follows.
    pub(super) missing_from: Offset,
    pub(super) missing_to: Option<Offset>,
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) n_records: u64,
    /// The offset after the last intact record.
    pub(super) end: Option<Offset>,
    /// Everything below this was durable, as far as the records of this segment know.
    pub(super) durable_end: u64,
    pub(super) damages: Vec<Damage>,
}

/// Reads the records of a segment in order. After damage it looks for the next intact record, so that
/// one flipped bit costs one record.
pub(super) fn scan(
    bytes: &[u8],
    header: Option<&SegmentHeader>,
    base: Offset,
    record_bytes_max: usize,
    each: &mut dyn FnMut(usize, &RecordHeader, &[u8]),
) -> Scan {
    let mut scan = Scan::default();
    let mut at = SEGMENT_HEADER_BYTES.min(bytes.len());
    let mut expected = header.map_or(base, |h| h.base).0;
    let belongs =
        |found: &RecordHeader| header.is_none_or(|h| found.writer == h.writer && found.epoch == h.epoch);
    let intact = |at: usize, expected: u64| {
        record::decode(&bytes[at..], record_bytes_max).filter(|(h, _)| belongs(h) && h.seq >= expected)
    };
    while at < bytes.len() {
        let mut found = intact(at, expected);
        if found.as_ref().is_none_or(|(h, _)| h.seq != expected) {
            let next = match found {
                Some(_) => at,
                None => {
                    (at + 1..bytes.len()).find(|at| intact(*at, expected).is_some()).unwrap_or(bytes.len())
                }
            };
            found = if next < bytes.len() { intact(next, expected) } else { None };
            scan.damages.push(Damage {
                at,
                len: next - at,
                n_before: scan.n_records,
                missing_from: Offset(expected),
                missing_to: found.as_ref().map(|(h, _)| Offset(h.seq)),
            });
            at = next;
        }
        let Some((record, payload)) = found else { break };
        each(at, &record, payload);
        at += RECORD_HEADER_BYTES + payload.len();
        scan.n_records += 1;
        scan.durable_end = scan.durable_end.max(record.durable_end());
        expected = record.seq + 1;
        scan.end = Some(Offset(expected));
    }
    scan
}
