//! What is found when a journal is opened. A tail that was never acknowledged is torn and cut; anything
//! else that is missing was acknowledged and is reported as lost, with its offsets.

use std::path::Path;

use vfs::Vfs;

use crate::catalog::JournalBounds;

use super::segment::{Damage, Scan, SegmentHeader, parse_file_name, scan};
use super::{JournalError, Offset};

/// Acknowledged records that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRecords {
    /// The file, or the one that should have held them.
    pub segment: String,
    pub at_byte: u64,
    pub damaged_bytes: u64,
    /// The offsets `from..to`.
    pub from: Offset,
    pub to: Offset,
}

/// The unacknowledged end of the last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub segment: String,
    pub at_byte: u64,
    pub cut_bytes: u64,
}

/// What opening or inspecting a journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub n_segments: u64,
    pub n_records: u64,
    pub len_bytes: u64,
    pub torn: Option<TornTail>,
    pub lost: Vec<LostRecords>,
    /// The last segment, when it holds nothing, not even a header: it was being created when the power
    /// failed, or its records are gone.
    pub emptied: Option<String>,
    /// Segments whose header is damaged; their records were read all the same.
    pub damaged_headers: Vec<String>,
}

impl RecoveryReport {
    /// Whether every acknowledged record is there. A torn tail is what a power cut leaves and no loss.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.damaged_headers.is_empty()
    }

    pub fn n_lost(&self) -> u64 {
        self.lost.iter().map(|l| l.to.0 - l.from.0).sum()
    }
}

/// A segment file as recovery sees it.
#[derive(Debug)]
pub(super) struct FoundSegment {
    pub(super) name: String,
    pub(super) base: Offset,
    pub(super) len_bytes: u64,
    /// The offset after its last intact record.
    pub(super) end: Offset,
}

/// The journal as recovery sees it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) report: RecoveryReport,
    pub(super) segments: Vec<FoundSegment>,
    pub(super) incarnation: Option<u64>,
    pub(super) epoch_max: u32,
    /// The first offset that was never given: no smaller than any record or segment name says.
    pub(super) end: Offset,
    /// The last segment was being created when the power failed.
    pub(super) ends_unfinished: bool,
}

/// Reads every segment in `dir`, changing nothing.
pub(super) fn find(vfs: &dyn Vfs, dir: &Path, record_bytes_max: usize) -> Result<Found, JournalError> {
    let mut found = Found::default();
    let mut files = Vec::new();
    for entry in vfs.list_dir(dir)? {
        if let Some((base, epoch)) = parse_file_name(&entry.name) {
            files.push((base, epoch, entry.name));
        }
    }
    files.sort();
    // The state of the segment before: its name, its scan, its end.
    let mut before: Option<(String, Scan, Offset)> = None;
    let n_files = files.len();
    for (file_idx, (base, epoch, name)) in files.into_iter().enumerate() {
        let bytes = vfs.read(&dir.join(&name))?;
        let header = SegmentHeader::decode(&bytes, &name)?;
        let is_last = file_idx + 1 == n_files;
        let scanned = scan(&bytes, header.as_ref(), base, record_bytes_max, &mut |_, _, _| {});
        // The power may fail while a segment is created: no header, and so no record either.
        let unfinished = is_last && header.is_none() && scanned.n_records == 0;
        found.ends_unfinished = unfinished;
        if unfinished {
            found.report.emptied = Some(name.clone());
        }
        if header.is_none() && !unfinished {
            found.report.damaged_headers.push(name.clone());
        }
        found.incarnation = found.incarnation.or(header.map(|h| h.incarnation));
        found.epoch_max = found.epoch_max.max(epoch);
        found.report.n_segments += 1;
        found.report.n_records += scanned.n_records;
        found.report.len_bytes += bytes.len() as u64;
        if let Some((name, scan, end)) = before.take() {
            // An intact header knows what was durable; a damaged one leaves the pessimistic reading.
            let durable_end = header.map_or(if unfinished { Offset::ZERO } else { base }, |h| h.durable_end);
            report_lost(&mut found.report, &name, &scan, durable_end.0);
            let tail = scan.damages.last().filter(|d| d.missing_to.is_none());
            if end < durable_end {
                let (at, len) = tail.map_or((0, 0), |d| (d.at as u64, d.len as u64));
                let (from, to) = (end, durable_end);
                found.report.lost.push(LostRecords {
                    segment: name,
                    at_byte: at,
                    damaged_bytes: len,
                    from,
                    to,
                });
            }
        }
        let end = scanned.end.unwrap_or(base).max(base);
        found.end = found.end.max(end);
        let segment = FoundSegment { name: name.clone(), base, len_bytes: bytes.len() as u64, end };
        found.segments.push(segment);
        before = Some((name, scanned, end));
    }
    if let Some((name, scan, _)) = before {
        finish_last(&mut found, name, &scan);
    }
    Ok(found)
}

/// Reports the gaps of a segment that lie below `durable_end`.
fn report_lost(report: &mut RecoveryReport, name: &str, scan: &Scan, durable_end: u64) {
    for damage in &scan.damages {
        let Some(to) = damage.missing_to.map(|to| Offset(to.0.min(durable_end))) else { continue };
        if damage.missing_from < to {
            report.lost.push(LostRecords {
                segment: name.to_owned(),
                at_byte: damage.at as u64,
                damaged_bytes: damage.len as u64,
                from: damage.missing_from,
                to,
            });
        }
    }
}

/// The last segment ends where the first damage lies that nobody was promised to be spared from.
fn finish_last(found: &mut Found, name: String, scan: &Scan) {
    report_lost(&mut found.report, &name, scan, scan.durable_end);
    let torn = |d: &&Damage| d.missing_to.is_none_or(|_| d.missing_from.0 >= scan.durable_end);
    let Some(damage) = scan.damages.iter().find(torn) else { return };
    let last = found.segments.last_mut().expect("the last segment was pushed");
    let cut_bytes = last.len_bytes - damage.at as u64;
    found.report.torn = Some(TornTail { segment: name, at_byte: damage.at as u64, cut_bytes });
    found.end = damage.missing_from.max(last.base);
    found.report.len_bytes -= cut_bytes;
    // Intact records behind the cut were never acknowledged and go with it.
    found.report.n_records -= scan.n_records - damage.n_before;
    last.len_bytes = damage.at as u64;
    last.end = found.end;
}

/// Reads every record of the journal in `dir` and reports, changing nothing.
pub fn inspect(vfs: &dyn Vfs, dir: &Path, record_bytes_max: usize) -> Result<RecoveryReport, JournalError> {
    Ok(find(vfs, dir, record_bytes_max)?.report)
}

/// What the journal in `dir` holds, read without changing anything; `None` when it holds nothing, or when
/// acknowledged records are missing from it, so that it proves nothing.
pub fn bounds(
    vfs: &dyn Vfs,
    dir: &Path,
    record_bytes_max: usize,
) -> Result<Option<JournalBounds>, JournalError> {
    if !vfs.exists(dir)? {
        return Ok(None);
    }
    let found = find(vfs, dir, record_bytes_max)?;
    let (Some(first), Some(incarnation)) = (found.segments.first(), found.incarnation) else {
        return Ok(None);
    };
    let bounds = JournalBounds { incarnation, start: first.base, end: found.end };
    Ok(found.report.is_clean().then_some(bounds))
}
