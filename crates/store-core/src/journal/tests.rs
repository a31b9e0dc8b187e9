use std::path::Path;
use std::sync::Arc;

use vfs::{FaultPlan, FaultVfs, MemVfs, Vfs};

use super::*;

const DIR: &str = "journal";

fn open(vfs: &FaultVfs) -> LocalJournal {
    open_with(vfs, JournalOptions { segment_bytes_max: 600, ..JournalOptions::default() })
}

fn open_with(vfs: &FaultVfs, options: JournalOptions) -> LocalJournal {
    LocalJournal::open(Arc::new(vfs.clone()), Path::new(DIR), options).unwrap()
}

fn all(journal: &dyn Journal, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    journal.read_from(Offset(from), &mut |offset, bytes| records.push((offset.0, bytes.to_vec()))).unwrap();
    records
}

fn numbered(range: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    range.map(|n| (n, payload(n))).collect()
}

fn payload(n: u64) -> Vec<u8> {
    format!("record {n} {}", "x".repeat(n as usize % 90)).into_bytes()
}

fn append(journal: &LocalJournal, range: std::ops::Range<u64>) {
    for n in range {
        assert_eq!(journal.append(&payload(n)), Ok(Offset(n)));
    }
}

/// What every journal promises; the clustered one will run it too.
pub(crate) fn check_contract(journal: &dyn Journal) {
    let start = journal.end_offset().0;
    assert_eq!(journal.append(b"a").unwrap().0, start);
    assert_eq!(journal.append_batch(&[b"b", b"", b"c"]).unwrap().0, start + 1);
    assert_eq!(journal.append_batch(&[]).unwrap().0, start + 4);
    assert_eq!(journal.end_offset().0, start + 4);
    let texts = |from| all(journal, from).into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    assert_eq!(texts(start), [b"a".to_vec(), b"b".to_vec(), vec![], b"c".to_vec()]);
    assert_eq!(texts(start + 3), [b"c".to_vec()]);
    assert_eq!(texts(start + 4), Vec::<Vec<u8>>::new());
    let too_large = vec![0; (16 << 20) + 1];
    assert!(matches!(journal.append(&too_large), Err(JournalError::RecordTooLarge { .. })));
    let segments: Vec<Offset> = (start..start + 6).map(|at| journal.segment_of(Offset(at))).collect();
    assert!(segments.is_sorted(), "{segments:?}");
    assert!(segments.iter().zip(start..).all(|(segment, at)| segment.0 <= at), "{segments:?}");
    journal.trim(Offset(start + 2)).unwrap();
    assert_eq!(texts(start + 2).len(), 2);
    assert!(journal.start_offset() <= Offset(start + 2));
    assert!(journal.recovery().is_clean());
}

#[test]
fn the_local_journal_keeps_the_contract() {
    check_contract(&open(&MemVfs::default()));
    let dir = tempfile::tempdir().unwrap();
    let real = LocalJournal::open(Arc::new(vfs::RealVfs), dir.path(), JournalOptions::default()).unwrap();
    check_contract(&real);
}

#[test]
fn offsets_go_on_after_restarts_and_trims() {
    let vfs = MemVfs::default();
    let mut next = 0;
    for round in 0..5 {
        let journal = open(&vfs);
        append(&journal, next..next + 20);
        next += 20;
        journal.trim(Offset(next - 5)).unwrap();
        assert!(journal.start_offset().0 > next - 20, "round {round}: {}", journal.start_offset());
        assert_eq!(all(&journal, next - 5), numbered(next - 5..next));
        assert_eq!(journal.segment_of(Offset(next)), journal.segment_of(Offset(next - 1)));
        assert!(journal.segment_of(journal.start_offset()) <= journal.segment_of(Offset(next)));
    }
    let journal = open(&vfs);
    assert_eq!((journal.end_offset().0, journal.recovery().is_clean()), (next, true));
    assert_eq!(journal.recovery().torn, None);
    let ahead = JournalOptions { start_at: Offset(500), ..JournalOptions::default() };
    let journal = open_with(&vfs, ahead);
    assert_eq!(journal.append(b"x"), Ok(Offset(500)));
    assert!(open(&vfs).recovery().is_clean());
}

#[test]
fn a_trim_keeps_everything_from_its_offset_on() {
    for up_to in 0..=40 {
        let journal = open(&MemVfs::default());
        append(&journal, 0..40);
        journal.trim(Offset(up_to)).unwrap();
        assert_eq!(all(&journal, up_to), numbered(up_to..40), "trimmed to {up_to}");
        assert!(journal.start_offset().0 <= up_to && journal.start_offset().0 + 15 >= up_to);
    }
}

#[test]
fn concurrent_appenders_share_fsyncs_and_lose_nothing() {
    let vfs = MemVfs::default();
    let journal = open_with(&vfs, JournalOptions::default());
    let offsets: Vec<u64> = std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..8)
            .map(|n| {
                let journal = &journal;
                scope.spawn(move || {
                    let append = |i| journal.append(format!("{n}/{i}").as_bytes()).unwrap().0;
                    (0..200).map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        appenders.into_iter().flat_map(|a| a.join().unwrap()).collect()
    });
    let mut sorted = offsets.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1600).collect::<Vec<_>>());
    let records = all(&journal, 0);
    for (appended, offset) in offsets.iter().enumerate() {
        let expected = format!("{}/{}", appended / 200, appended % 200);
        assert_eq!(records[*offset as usize], (*offset, expected.into_bytes()));
    }
}

#[test]
fn every_crash_keeps_what_was_acknowledged_and_invents_nothing() {
    for seed in 0..400 {
        let mut vfs = FaultVfs::new(seed, FaultPlan::default());
        let mut acknowledged = Vec::new();
        let mut rng = base::Rng::new(seed);
        for life in 0..4u64 {
            let journal = open(&vfs);
            assert!(journal.recovery().is_clean(), "seed {seed}: {:?}", journal.recovery());
            let found = all(&journal, 0);
            assert_eq!(found.len() as u64, journal.recovery().n_records, "seed {seed}");
            for record in &acknowledged {
                assert!(found.contains(record), "seed {seed}, life {life}: lost {record:?}");
            }
            let power_off_at_change = Some(vfs.n_changes() + rng.below(60));
            let (short_write_one_in, sync_error_one_in) = (rng.below(20), rng.below(20));
            let plan = FaultPlan {
                power_off_at_change,
                short_write_one_in,
                sync_error_one_in,
                ..FaultPlan::default()
            };
            vfs.set_plan(plan);
            for n in 0..100 {
                let bytes = format!("{life}/{n}").into_bytes().repeat(1 + n % 40);
                if let Ok(offset) = journal.append_batch(&[&bytes, &bytes]) {
                    acknowledged.push((offset.0, bytes.clone()));
                    acknowledged.push((offset.0 + 1, bytes));
                }
            }
            vfs = vfs.crash();
        }
    }
}

#[test]
fn a_full_disk_is_a_typed_error_and_passes_when_there_is_room() {
    let vfs = FaultVfs::new(1, FaultPlan { capacity_bytes: Some(4000), ..FaultPlan::default() });
    let journal = open(&vfs);
    let mut n_acknowledged = 0;
    let refused = loop {
        match journal.append(&[7; 100]) {
            Ok(_) => n_acknowledged += 1,
            Err(e) => break e,
        }
    };
    assert!(refused.is_no_space(), "{refused}");
    let n_files = vfs.files().len();
    for _ in 0..100 {
        assert!(journal.append(&[7; 100]).unwrap_err().is_no_space());
    }
    assert_eq!(vfs.files().len(), n_files);
    vfs.set_plan(FaultPlan::default());
    let offset = journal.append(&[8; 100]).unwrap();
    assert!(offset.0 > n_acknowledged, "the refused offset is not given again");
    let journal = open(&vfs);
    assert!(journal.recovery().is_clean());
    let found = all(&journal, 0);
    assert_eq!(found.len() as u64, n_acknowledged + 1);
    assert_eq!(found.last(), Some(&(offset.0, vec![8; 100])));
}

/// Every bit of a journal of two segments, flipped one at a time.
#[test]
fn every_flipped_bit_costs_at_most_its_record_and_is_reported() {
    let vfs = MemVfs::default();
    append(&open(&vfs), 0..14);
    let files = vfs.files();
    assert_eq!(files.len(), 2, "{files:?}");
    for (path, len_bytes) in &files {
        for bit in 0..len_bytes * 8 {
            vfs.flip_bit(path, bit).unwrap();
            let report = inspect(&vfs, Path::new(DIR), 1000).unwrap();
            let what = format!("{} bit {bit}: {report:?}", path.display());
            match &report.torn {
                // The last record of the last segment looks like a torn tail: nothing after it vouches.
                Some(torn) => assert!(path.ends_with(&torn.segment) && report.n_records == 13, "{what}"),
                None => {
                    assert!(!report.is_clean(), "{what}");
                    assert_eq!(report.n_records + report.n_lost(), 14, "{what}");
                    assert!(report.n_lost() <= 1, "{what}");
                }
            }
            vfs.flip_bit(path, bit).unwrap();
        }
    }
    assert!(inspect(&vfs, Path::new(DIR), 1000).unwrap().is_clean());
}

#[test]
fn every_truncation_is_a_torn_tail_or_a_reported_loss() {
    let vfs = MemVfs::default();
    append(&open(&vfs), 0..14);
    for (path, len_bytes) in vfs.files() {
        for len in 0..len_bytes {
            let copy = MemVfs::default();
            copy.create_dir_all(Path::new(DIR)).unwrap();
            for (other, _) in vfs.files() {
                let mut bytes = vfs.read(&other).unwrap();
                bytes.truncate(if other == path { len as usize } else { usize::MAX });
                copy.create(&other).unwrap().write_all(&bytes).unwrap();
            }
            let journal = open(&copy);
            let report = journal.recovery();
            let is_last = path == vfs.files()[1].0;
            let kept = all(&journal, 0);
            assert!(kept.iter().all(|(n, bytes)| *bytes == payload(*n)));
            if is_last {
                assert!(report.is_clean(), "cut at {len}: {report:?}");
                assert_eq!(kept.len() as u64, journal.end_offset().0, "cut at {len}");
            } else {
                assert_eq!(kept.len() as u64 + report.n_lost(), 14, "cut at {len}: {report:?}");
            }
            let end = journal.end_offset();
            assert_eq!(journal.append(b"next"), Ok(end));
            assert_eq!(all(&open(&copy), end.0), [(end.0, b"next".to_vec())]);
        }
    }
}

#[test]
fn a_newer_segment_is_refused_and_a_flipped_version_bit_is_not() {
    let vfs = MemVfs::default();
    append(&open(&vfs), 0..1);
    let (path, _) = vfs.files().remove(0);
    vfs.flip_bit(&path, 8 * 8 + 1).unwrap();
    assert_eq!(all(&open(&vfs), 0), numbered(0..1));
    assert_eq!(open(&vfs).recovery().damaged_headers.len(), 1);
    let mut bytes = vfs.read(&path).unwrap();
    let crc = crc32c::crc32c(&bytes[..48]).to_le_bytes();
    bytes[48..52].copy_from_slice(&crc);
    vfs.remove(&path).unwrap();
    vfs.create(&path).unwrap().write_all(&bytes).unwrap();
    let refused = LocalJournal::open(Arc::new(vfs), Path::new(DIR), JournalOptions::default()).unwrap_err();
    assert!(matches!(refused, JournalError::NewerVersion { found: 3, newest: 1, .. }), "{refused}");
}

#[test]
fn the_weakened_mode_loses_only_what_it_says() {
    let weak = || JournalOptions {
        sync: SyncMode::AckBeforeFsyncMayLose { bytes: 300 },
        ..JournalOptions::default()
    };
    let mut n_lost = 0;
    for seed in 0..50 {
        let vfs = FaultVfs::new(seed, FaultPlan::default());
        let journal = open_with(&vfs, weak());
        append(&journal, 0..20);
        journal.sync().unwrap();
        append(&journal, 20..22);
        assert_eq!(all(&journal, 0), numbered(0..22));
        let journal = open_with(&vfs.crash(), weak());
        let kept = all(&journal, 0);
        assert!(kept.len() >= 20 && kept == numbered(0..kept.len() as u64), "seed {seed}");
        assert!(journal.recovery().is_clean());
        n_lost += 22 - kept.len();
    }
    assert!(n_lost > 0, "the simulated disk never lost what was not synced");
}

/// A process that is killed leaves bytes that can be read and are not durable yet.
#[test]
fn what_a_restart_has_read_is_durable() {
    let weak = SyncMode::AckBeforeFsyncMayLose { bytes: u64::MAX };
    for seed in 0..30 {
        let vfs = FaultVfs::new(seed, FaultPlan::default());
        let options = JournalOptions { sync: weak, ..JournalOptions::default() };
        append(&open_with(&vfs, options), 0..20);
        assert_eq!(all(&open(&vfs), 0), numbered(0..20));
        let journal = open(&vfs.crash());
        assert_eq!((all(&journal, 0), journal.recovery().is_clean()), (numbered(0..20), true));
    }
}
