//! What lies on disk: journals, parts, catalog, configuration records, the directory's own file.
//!
//! Checksums would stop nearly every mutation, so most inputs are what a checksum covers, and the
//! target seals them.

mod metrics;

use std::path::Path;
use std::sync::Arc;

use base::TenantId;
use store_core::config_store::{ConfigStore, LocalConfigStore};
use store_core::encoding::frame;
use store_core::journal::inspect;
use store_core::toy::{ToyRow, cut_part, decode_rows, encode_rows, read_rows};
use store_core::{
    BlobStore, Catalog, Journal, JournalOptions, LocalBlobStore, LocalCatalog, LocalJournal, Offset,
    OffsetRange, PartReader, PutMode, StoreDir, Txn,
};
use vfs::{MemVfs, Vfs};

use crate::Target;
use crate::input::{Input, put_piece};
use crate::seeds::{Files, Folder};

const fn corpus(path: &'static str, prefix: &'static [u8]) -> Files {
    Files { folder: Folder::Repository(path), ending: "", prefix }
}

pub(super) const TARGETS: &[Target] = &[
    Target::new("journal_segment", check_segment, segment_seeds)
        .with_files(&[
            corpus("tests/corpus/formats/journal/v1", &[0]),
            corpus("tests/corpus/formats/store-directory/v1/journal", &[0]),
            corpus("tests/corpus/formats/remote-write-queue/v1", &[0]),
        ])
        .with_words(&["SXTJRNL\n"])
        .with_test_runs(5_000),
    Target::new("part", check_part, part_seeds)
        .with_files(&[corpus("tests/corpus/formats/part/v1/parts/toy/team-a", &[0])])
        .with_words(&["SXTPART\n", "SXTPFOOT", "\nSXTPEND"])
        .with_heap(8 << 20, 8 << 10)
        .with_test_runs(5_000),
    Target::new("catalog", check_catalog, catalog_seeds).with_test_runs(3_000).with_heap(16 << 20, 64 << 10),
    Target::new("config_record", check_config_record, || {
        vec![[&[1u8; 8][..], &[1], &[3, 0, 0, 0], b"abc"].concat()]
    })
    .with_test_runs(5_000),
    Target::new("store_directory", check_store_directory, || {
        vec![b"{\"product\":\"sextant\",\"layout_version\":1}\n".to_vec()]
    })
    .with_words(&[
        "\"product\"",
        "\"sextant\"",
        "\"layout_version\"",
        ":",
        "{",
        "}",
        "1",
        "18446744073709551616",
    ])
    .with_test_runs(2_500),
    Target::new("toy_rows", check_toy_rows, || vec![encode_rows(&toy_rows())]),
    metrics::RECORD,
    metrics::PART,
];

fn disk() -> Arc<dyn Vfs> {
    Arc::new(MemVfs::default())
}

fn blobs() -> Arc<dyn BlobStore> {
    Arc::new(LocalBlobStore::open(disk(), Path::new("d")).expect("a disk in memory opens"))
}

fn put(blobs: &dyn BlobStore, key: &str, bytes: &[u8]) {
    blobs.put(key, bytes, PutMode::Overwrite).expect("a disk in memory stores");
}

fn write(disk: &dyn Vfs, dir: &str, name: &str, bytes: &[u8]) {
    let dir = Path::new(dir);
    disk.create_dir_all(dir).expect("a disk in memory has room");
    let mut file = disk.create(&dir.join(name)).expect("the file is new");
    file.write_all(bytes).and_then(|()| file.sync_data()).expect("a disk in memory has room");
    disk.sync_dir(dir).expect("a disk in memory syncs");
}

/// The whole journal.
fn records(journal: &LocalJournal) -> Vec<(Offset, Vec<u8>)> {
    let mut found = Vec::new();
    let read = journal.read_from(Offset::ZERO, &mut |offset, bytes| found.push((offset, bytes.to_vec())));
    read.expect("what recovery has read can be read again");
    found
}

/// The first byte says what the rest is: the file of a segment as it is (even), or changes to a
/// sound journal of two segments (odd).
fn check_segment(input: &[u8]) {
    let mut input = Input(input);
    let disk = disk();
    if input.u8() & 1 == 0 {
        write(&*disk, "d", "00000000000000001000-0000000001.journal", input.0);
    } else {
        write_changed_segments(&*disk, input);
    }
    let dir = Path::new("d");
    let options = JournalOptions { record_bytes_max: 1 << 16, ..JournalOptions::default() };
    let Ok(inspected) = inspect(&*disk, dir, options.record_bytes_max) else { return };
    let journal =
        LocalJournal::open(Arc::clone(&disk), dir, options.clone()).expect("what can be inspected opens");
    assert_eq!(*journal.recovery(), inspected, "looking and opening find the same");
    let found = records(&journal);
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "offsets ascend");
    let next = journal.append(b"goes on").expect("a recovered journal takes records");
    assert!(found.last().is_none_or(|(last, _)| *last < next), "no offset is given twice");
    drop(journal);
    let journal = LocalJournal::open(disk, dir, options).expect("a recovered journal opens again");
    assert_eq!(journal.recovery().torn, None, "a torn end is cut off once");
    let expected: Vec<_> = found.into_iter().chain([(next, b"goes on".to_vec())]).collect();
    assert_eq!(records(&journal), expected, "what was recovered stays");
}

/// Two segments with five records, then `(file, position, byte)` for each change.
fn write_changed_segments(disk: &dyn Vfs, mut input: Input<'_>) {
    let sound = Arc::new(MemVfs::default());
    for epoch in 0..2 {
        let vfs: Arc<dyn Vfs> = Arc::clone(&sound) as _;
        let journal =
            LocalJournal::open(vfs, Path::new("d"), JournalOptions::default()).expect("a new journal opens");
        let records: [&[u8]; 3] = [b"first", b"", &[epoch; 40]];
        journal.append_batch(&records[usize::from(epoch)..]).expect("a disk in memory takes records");
    }
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (path, _) in sound.files() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push((name, sound.read(&path).expect("the file exists")));
    }
    while !input.is_empty() {
        let (file, at, byte) = (usize::from(input.u8()) % files.len(), usize::from(input.u16()), input.u8());
        let bytes = &mut files[file].1;
        match bytes.len() {
            len if at < len => bytes[at] = byte,
            len => bytes.truncate(len - usize::from(byte).min(len)),
        }
    }
    for (name, bytes) in &files {
        write(disk, "d", name, bytes);
    }
}

fn segment_seeds() -> Vec<Vec<u8>> {
    vec![vec![1], vec![1, 0, 60, 0, 7], vec![1, 1, 0xff, 0xff, 5], vec![1, 0, 90, 0, 1, 1, 3, 0, 9]]
}

fn toy_rows() -> Vec<ToyRow> {
    (0..20).map(|n| ToyRow { t_ms: n * 15_000, value: n.unsigned_abs() * 7 }).collect()
}

fn check_toy_rows(input: &[u8]) {
    let Ok(rows) = decode_rows(input) else { return };
    assert_eq!(encode_rows(&rows), input, "rows are written as they were read");
}

const KEY: &str = "parts/toy/anonymous/00000000000000000000000000000001.part";

/// The first byte says what the rest is: a part as it is (even), or the body of a footer behind a
/// sound head (odd).
fn check_part(input: &[u8]) {
    let mut input = Input(input);
    let blobs = blobs();
    if input.u8() & 1 == 0 {
        put(&*blobs, KEY, input.0);
    } else {
        put(&*blobs, KEY, &sealed_part(b"SXTPART\nblock", input.0));
    }
    let Ok(part) = PartReader::open(&blobs, KEY) else { return };
    for block in part.blocks() {
        if let Ok(bytes) = part.read_block(block) {
            assert_eq!(crc32c::crc32c(&bytes), block.crc32c, "what is read has its checksum");
        }
    }
    if let Ok(rows) = read_rows(&part) {
        assert!(
            rows.len() * size_of::<ToyRow>() <= input.0.len() + size_of::<ToyRow>(),
            "rows come from bytes"
        );
    }
}

fn sealed_part(head: &[u8], footer: &[u8]) -> Vec<u8> {
    let footer = frame(b"SXTPFOOT", 1, footer);
    let len = u32::try_from(footer.len()).expect("inputs are short").to_le_bytes();
    [head, &footer, &len, &crc32c::crc32c(&len).to_le_bytes(), b"\nSXTPEND"].concat()
}

/// A footer's body: of a frame that starts with a magic (8), a version (1) and a checksum (4).
fn footer_of(part: &[u8]) -> Option<Vec<u8>> {
    let (rest, trailer) = part.split_last_chunk::<16>()?;
    let len = u32::from_le_bytes(*trailer.first_chunk()?) as usize;
    rest.get(rest.len().checked_sub(len)? + 13..).map(<[u8]>::to_vec)
}

fn part_bytes() -> Vec<u8> {
    let blobs = blobs();
    let offsets = OffsetRange { start: Offset(0), end: Offset(4) };
    let meta = cut_part(&*blobs, &TenantId::anonymous(), 1, offsets, 0, toy_rows());
    let meta = meta.expect("a disk in memory takes a part").expect("there are rows");
    blobs.get(&meta.key()).expect("the part was put")
}

fn part_seeds() -> Vec<Vec<u8>> {
    let part = part_bytes();
    let footer = footer_of(&part).expect("the part is sound");
    vec![[&[0], &part[..]].concat(), [&[1], &footer[..]].concat()]
}

/// Pieces, each a byte that says which kind and the body of an object: commits from version 1 on,
/// a checkpoint of version 1, a tombstone.
fn check_catalog(input: &[u8]) {
    let mut input = Input(input);
    let blobs = blobs();
    let mut version = 0;
    while !input.is_empty() {
        let kind = input.u8();
        let body = input.piece();
        match kind % 3 {
            0 => {
                version += 1;
                put(&*blobs, &format!("catalog/commit/{version:020}"), &frame(b"SXTCOMIT", 1, body));
            }
            1 => put(&*blobs, &format!("catalog/checkpoint/{:020}", 1), &frame(b"SXTCHKPT", 1, body)),
            _ => put(&*blobs, &format!("tombstones/{:020}", 1), &frame(b"SXTTOMBS", 1, body)),
        }
    }
    let Ok(catalog) = LocalCatalog::open(Arc::clone(&blobs)) else { return };
    let before = catalog.snapshot();
    let Ok(after) = catalog.commit(Txn::default()) else { return };
    drop(catalog);
    let reopened = LocalCatalog::open(blobs).expect("a catalog that takes commits opens again").snapshot();
    assert_eq!(format!("{reopened:?}"), format!("{after:?}"), "what was committed is read back");
    assert_eq!((&reopened.parts, reopened.committed), (&before.parts, before.committed));
}

fn catalog_seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/formats/catalog/v1/catalog");
    let body = |path: &str| {
        std::fs::read(root.join(path)).ok().and_then(|bytes| bytes.get(13..).map(<[u8]>::to_vec))
    };
    let sealed = |objects: &[(u8, &str)]| {
        let mut seed = Vec::new();
        for (kind, path) in objects {
            seed.push(*kind);
            put_piece(&mut seed, &body(path).unwrap_or_default());
        }
        seed
    };
    vec![
        sealed(&[(0, "commit/00000000000000000001")]),
        sealed(&[
            (0, "commit/00000000000000000001"),
            (0, "commit/00000000000000000002"),
            (0, "commit/00000000000000000003"),
        ]),
        sealed(&[(1, "checkpoint/00000000000000000064")]),
    ]
}

fn check_config_record(input: &[u8]) {
    let blobs = blobs();
    put(&*blobs, "config/users/admin", &frame(b"SXTCONFG", 1, input));
    let store = LocalConfigStore::new(blobs);
    let Ok(record) = store.get("users/admin") else { return };
    let listed = store.list("users/").expect("a record that can be read can be listed");
    assert_eq!(listed.first(), record.as_ref());
    assert_eq!(listed.len(), usize::from(record.is_some()));
}

fn check_store_directory(input: &[u8]) {
    let disk = disk();
    write(&*disk, "d", "meta.json", input);
    if StoreDir::open(Arc::clone(&disk), Path::new("d"), JournalOptions::default()).is_ok() {
        let again = StoreDir::open(Arc::clone(&disk), Path::new("d"), JournalOptions::default());
        assert!(again.is_ok(), "a directory that opened opens again");
        assert_eq!(disk.read(Path::new("d/meta.json")).as_deref(), Ok(input), "its file is left alone");
    }
}
