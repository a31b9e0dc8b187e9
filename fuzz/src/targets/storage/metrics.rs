//! The metrics store: journal records and the blocks of parts.

use std::path::Path;
use std::sync::Arc;

use base::{Budget, CancelToken, ManualClock, ShardRange, TenantId};
use codec::block;
use store_core::part::PartHeader;
use store_core::{
    BlobStore, Journal, JournalOptions, LocalJournal, MergeContext, Offset, OffsetRange, PartError,
    PartFamily, PartId, PartReader, PartStats, PartWriter, TimeRange,
};
use store_metrics::{MetricStore, MetricsFamily, SampleColumns, StoreOptions};
use vfs::{MemVfs, RealVfs, Vfs};

use super::blobs;
use crate::Target;
use crate::input::{Input, put_piece};

pub(super) const RECORD: Target =
    Target::new("metrics_record", |input| drop(check_record(input)), record_seeds)
        .with_heap(64 << 20, 64 << 10)
        .with_test_runs(1_250);

pub(super) const PART: Target = Target::new("metrics_part", |input| _ = check_part(input), part_seeds)
    .with_heap(64 << 20, 64 << 10)
    .with_test_runs(2_500);

const NOW_MS: i64 = 1_700_000_000_000;

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/formats/metrics-part/v1")
}

fn open(disk: &MemVfs, clock: &Arc<ManualClock>) -> MetricStore {
    let mut options = StoreOptions { budget: Budget::new("store", 32 << 20), ..StoreOptions::default() };
    options.retention.time_ms = None;
    let (clock, journal) = (Arc::clone(clock) as Arc<dyn base::Clock>, JournalOptions::default());
    let opened = MetricStore::open_dir(Arc::new(disk.clone()), Path::new("d"), clock, journal, options);
    opened.expect("a store with any records opens").0
}

/// Everything the store of a tenant holds, a line per series.
fn contents(store: &MetricStore, tenants: &[TenantId]) -> Vec<String> {
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    let mut lines = Vec::new();
    let view = store.view();
    for tenant in tenants {
        let selected =
            view.select(tenant, &[], i64::MIN, i64::MAX, &budget, &cancel).expect("all can be selected");
        for idx in 0..selected.len() {
            let mut columns = SampleColumns::default();
            selected.read(idx, &mut columns).expect("what was selected can be read");
            assert!(columns.float_ts.is_sorted_by(|a, b| a < b), "times ascend");
            let bits: Vec<u64> = columns.float_values.iter().map(|v| v.to_bits()).collect();
            if columns.n_samples() > 0 {
                lines.push(format!(
                    "{tenant} {} {:?} {bits:x?} {:?} {:?}",
                    selected.labels(idx),
                    columns.float_ts,
                    columns.histogram_ts,
                    columns.histograms
                ));
            }
        }
    }
    lines
}

/// Each piece is a journal record: replayed, searched, cut into a part, and searched again. Returns what
/// was found.
fn check_record(input: &[u8]) -> Vec<String> {
    let mut input = Input(input);
    let (disk, clock) = (MemVfs::default(), Arc::new(ManualClock::new(NOW_MS)));
    drop(open(&disk, &clock));
    let journal =
        LocalJournal::open(Arc::new(disk.clone()), Path::new("d/journal"), JournalOptions::default())
            .expect("a journal on a disk in memory opens");
    let mut tenants = vec![TenantId::anonymous()];
    while !input.is_empty() {
        let record = input.piece();
        tenants.extend(tenant_of(record));
        journal.append(record).expect("a disk in memory takes records");
    }
    drop(journal);
    tenants.sort();
    tenants.dedup();
    let store = open(&disk, &clock);
    let live = contents(&store, &tenants);
    if store.cut().is_ok() {
        assert_eq!(contents(&store, &tenants), live, "a cut changes nothing");
        store.close().expect("a disk in memory closes");
        drop(store);
        assert_eq!(contents(&open(&disk, &clock), &tenants), live, "nor does a restart");
    }
    live
}

/// A record begins with its version and its tenant.
fn tenant_of(record: &[u8]) -> Option<TenantId> {
    let mut reader = codec::ByteReader::new(record.get(1..)?);
    TenantId::new(reader.text().ok()?).ok()
}

fn record_seeds() -> Vec<Vec<u8>> {
    let disk = MemVfs::default();
    super::write(
        &disk,
        "j",
        SEGMENT,
        &RealVfs.read(&corpus().join("journal").join(SEGMENT)).unwrap_or_default(),
    );
    let opened = LocalJournal::open(Arc::new(disk), Path::new("j"), JournalOptions::default());
    let mut records = Vec::new();
    if let Ok(journal) = opened {
        records = super::records(&journal);
    }
    let mut together = Vec::new();
    records.iter().for_each(|(_, record)| put_piece(&mut together, record));
    vec![together]
}

const SEGMENT: &str = "00000000000000000002-0000000002.journal";

fn header(id: u128, level: u8) -> PartHeader {
    PartHeader {
        id: PartId(id),
        family: "metrics".to_owned(),
        schema_version: 1,
        tenant: TenantId::anonymous(),
        shards: ShardRange::ALL,
        level,
        incarnation: 1,
        offsets: OffsetRange { start: Offset(0), end: Offset(1) },
        tombstones_applied: 0,
        replaces: Vec::new(),
        completes: true,
    }
}

/// Rows and series (2 bytes each), then blocks: kind (1) and a piece. Sealed into a part, checked,
/// and if it passes, merged. Returns whether it passed.
fn check_part(input: &[u8]) -> bool {
    let mut input = Input(input);
    let blobs = blobs();
    let (rows, series) = (u64::from(input.u16()), u64::from(input.u16()));
    let time = TimeRange { min_ms: 0, max_ms: i64::MAX };
    let stats = PartStats { rows, series, time: Some(time), extra: Vec::new() };
    let mut writer = PartWriter::new(&*blobs, header(1, 0)).expect("a disk in memory takes a part");
    while !input.is_empty() {
        let kind = u16::from(input.u8());
        writer.add_block(kind, input.piece()).expect("a disk in memory takes a block");
    }
    let part = finish(&blobs, writer, stats);
    let family = MetricsFamily::new(Budget::new("merge", 1 << 30));
    let context = MergeContext {
        drop_before_ms: None,
        window: TimeRange::ALL,
        level: 2,
        tombstones: Vec::new(),
        cancel: CancelToken::unbounded(),
    };
    let verified = family.verify(&part);
    let mut writer = PartWriter::new(&*blobs, header(2, 2)).expect("a disk in memory takes a part");
    let merged = family.merge(&[part], &mut writer, &context);
    let passes = verified.is_ok_and(|defects| defects.is_empty());
    if passes {
        let stats = merged.expect("a part that passes can be merged");
        let defects = family.verify(&finish(&blobs, writer, stats)).expect("what a merge writes can be read");
        assert_eq!(defects, Vec::<String>::new(), "a merge makes no defects");
    }
    passes
}

fn finish(blobs: &Arc<dyn BlobStore>, writer: PartWriter, stats: PartStats) -> PartReader {
    let meta = writer.finish(stats).expect("a disk in memory takes a part");
    PartReader::open(blobs, &meta.key()).expect("a part that was written opens")
}

fn part_seeds() -> Vec<Vec<u8>> {
    let folder = corpus().join("parts/metrics/anonymous");
    let names = RealVfs.list_dir(&folder).unwrap_or_default();
    names
        .iter()
        .filter_map(|entry| RealVfs.read(&folder.join(&entry.name)).ok())
        .filter_map(|p| taken_apart(&p).ok())
        .collect()
}

/// A part as [`check_part`] puts it together, with its blocks stored uncompressed where they can be.
fn taken_apart(part: &[u8]) -> Result<Vec<u8>, PartError> {
    let blobs = blobs();
    let key = "parts/metrics/anonymous/00000000000000000000000000000001.part";
    super::put(&*blobs, key, part);
    let part = PartReader::open(&blobs, key)?;
    let mut seed = Vec::new();
    for n in [part.meta().rows, part.meta().series] {
        seed.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes());
    }
    for listed in part.blocks() {
        let bytes = part.read_block(listed)?;
        seed.push(u8::try_from(listed.kind).unwrap_or(u8::MAX));
        // Tag 0 is a block that is stored, 1 one that is compressed.
        let stored = block::decompress(&bytes, 1 << 20).ok().filter(|_| bytes.first() == Some(&1));
        put_piece(&mut seed, &stored.map_or(bytes, |plain| [&[0], &plain[..]].concat()));
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutations of a seed that is refused at the door would never get past it.
    #[test]
    fn seeds_reach_what_is_behind_the_checks() {
        let series: Vec<usize> = record_seeds().iter().map(|seed| check_record(seed).len()).collect();
        assert_eq!(series, [7], "series that the records of the fixture hold");
        let parts: Vec<bool> = part_seeds().iter().map(|seed| check_part(seed)).collect();
        assert_eq!(parts, [true, true], "the parts of the fixture");
    }
}
