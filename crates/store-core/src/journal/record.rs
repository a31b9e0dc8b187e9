//! One record: a header of 32 bytes and the payload.

/// Length (4), CRC32C (4), writer (8), epoch (4), unsynced (4), sequence (8).
pub(super) const RECORD_HEADER_BYTES: usize = 32;

/// Who wrote a record, in which life, and where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) writer: u64,
    /// Counts the openings of the journal.
    pub(super) epoch: u32,
    /// How many records before this one were not known to be durable when it was written: what lies
    /// before `seq - unsynced` was acknowledged, what lies after may have been nobody's yet.
    pub(super) unsynced: u32,
    pub(super) seq: u64,
}

impl RecordHeader {
    /// Everything below this sequence number was durable when the record was written.
    pub(super) fn durable_end(&self) -> u64 {
        self.seq.saturating_sub(u64::from(self.unsynced))
    }
}

/// Appends the bytes of a record to `out`.
pub(super) fn encode(header: &RecordHeader, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let len = u32::try_from(payload.len()).expect("records are limited to far less than 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.writer.to_le_bytes());
    out.extend_from_slice(&header.epoch.to_le_bytes());
    out.extend_from_slice(&header.unsynced.to_le_bytes());
    out.extend_from_slice(&header.seq.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = checksum(&out[start..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum covers the length and everything behind the checksum.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

/// Reads the record at the start of `bytes`, if an intact one is there: its header, its payload.
pub(super) fn decode(bytes: &[u8], record_bytes_max: usize) -> Option<(RecordHeader, &[u8])> {
    let head = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let len = word(0) as usize;
    if len > record_bytes_max {
        return None;
    }
    let record = bytes.get(..RECORD_HEADER_BYTES + len)?;
    if checksum(record) != word(4) {
        return None;
    }
    let header = RecordHeader { writer: long(8), epoch: word(16), unsynced: word(20), seq: long(24) };
    Some((header, &record[RECORD_HEADER_BYTES..]))
}
