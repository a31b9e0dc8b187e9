use std::path::Path;
use std::sync::Arc;

use base::{ShardRange, TenantId};
use vfs::MemVfs;

use super::*;
use crate::blob::{BlobStore, LocalBlobStore, PutMode};
use crate::journal::Offset;

fn store() -> Arc<dyn BlobStore> {
    Arc::new(LocalBlobStore::open(Arc::new(MemVfs::default()), Path::new("d")).unwrap())
}

fn header() -> PartHeader {
    let tenant = TenantId::anonymous();
    let offsets = OffsetRange { start: Offset(10), end: Offset(20) };
    PartHeader {
        id: PartId::of_cut(&tenant, "toy", 7, offsets, 0),
        family: "toy".to_owned(),
        schema_version: 3,
        tenant,
        shards: ShardRange { first: 5, last: 9 },
        level: 1,
        incarnation: 7,
        offsets,
        tombstones_applied: 2,
        replaces: vec![PartId(1), PartId(2)],
        completes: true,
    }
}

fn stats() -> PartStats {
    PartStats {
        rows: 4,
        series: 2,
        time: Some(TimeRange { min_ms: -5, max_ms: 9 }),
        extra: b"extra".to_vec(),
    }
}

fn write(blobs: &dyn BlobStore, n_blocks: usize) -> PartMeta {
    let mut out = PartWriter::new(blobs, header()).unwrap();
    for n in 0..n_blocks {
        out.add_block(n as u16 % 3, format!("block {n}").as_bytes()).unwrap();
    }
    out.finish(stats()).unwrap()
}

#[test]
fn a_part_tells_everything_about_itself() {
    for n_blocks in [0, 1, 5, 3000] {
        let blobs = store();
        let meta = write(&*blobs, n_blocks);
        let part = PartReader::open(&blobs, &meta.key()).unwrap();
        assert_eq!(part.meta(), &meta);
        assert_eq!(meta.len_bytes, blobs.head(&meta.key()).unwrap().len_bytes);
        let footer = part.footer();
        assert_eq!((&footer.replaces, footer.completes), (&header().replaces, true));
        assert_eq!((meta.rows, meta.series, meta.time), (4, 2, stats().time.unwrap()));
        assert_eq!(footer.extra, b"extra");
        assert_eq!(part.blocks().len(), n_blocks);
        for (n, block) in part.blocks().iter().enumerate() {
            assert_eq!(part.read_block(block).unwrap(), format!("block {n}").as_bytes());
        }
        assert_eq!(part.blocks_of(2).count(), n_blocks / 3 + usize::from(n_blocks % 3 > 2));
    }
}

#[test]
fn nothing_is_there_before_the_part_is_finished_or_when_it_is_dropped() {
    let blobs = store();
    let mut out = PartWriter::new(&*blobs, header()).unwrap();
    out.add_block(1, b"x").unwrap();
    assert!(blobs.list("").unwrap().is_empty());
    drop(out);
    assert!(blobs.list("").unwrap().is_empty());
    let too_large = vec![0; BLOCK_BYTES_MAX + 1];
    let mut out = PartWriter::new(&*blobs, header()).unwrap();
    assert!(matches!(out.add_block(1, &too_large), Err(PartError::BlockTooLarge { .. })));
}

/// Opens a part and reads every block.
fn read_all(blobs: &Arc<dyn BlobStore>, key: &str) -> Result<(), PartError> {
    let part = PartReader::open(blobs, key)?;
    part.blocks().iter().try_for_each(|block| part.read_block(block).map(|_| ()))
}

#[test]
fn every_flipped_bit_and_every_truncation_is_a_typed_error_that_names_the_part() {
    let blobs = store();
    let key = write(&*blobs, 4).key();
    let good = blobs.get(&key).unwrap();
    let check = |bytes: &[u8], what: &str| {
        blobs.put(&key, bytes, PutMode::Overwrite).unwrap();
        match read_all(&blobs, &key) {
            Err(PartError::Corrupt(corrupt)) => {
                assert_eq!(corrupt.key, key);
                assert!(corrupt.offset <= good.len() as u64, "{what}: {corrupt}");
            }
            // A flipped version bit looks like a newer release only where the checksum is not reached.
            Err(PartError::NewerVersion { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
    };
    // The magic at the front is for people with a hex dump; nothing depends on it.
    for bit in 8 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        check(&bad, &format!("bit {bit}"));
    }
    for len in 0..good.len() {
        check(&good[..len], &format!("length {len}"));
    }
    blobs.put(&key, &good, PutMode::Overwrite).unwrap();
    read_all(&blobs, &key).unwrap();
}

#[test]
fn a_corrupt_block_is_named_with_its_place() {
    let blobs = store();
    let key = write(&*blobs, 4).key();
    let mut bytes = blobs.get(&key).unwrap();
    bytes[8 + 7 + 2] ^= 1;
    blobs.put(&key, &bytes, PutMode::Overwrite).unwrap();
    let text = read_all(&blobs, &key).unwrap_err().to_string();
    assert!(text.contains(&key) && text.contains("byte 15 (block 1 of kind 1)"), "{text}");
}

#[test]
fn names_are_computed_from_what_a_part_is_made_of() {
    let tenant = TenantId::anonymous();
    let window = TimeRange { min_ms: 0, max_ms: 7_199_999 };
    let id = |level, applied, inputs: &[PartId]| {
        PartId::of_merge(&tenant, "toy", level, window, None, applied, inputs)
    };
    let (a, b) = (PartId(1), PartId(2));
    assert_eq!(id(1, 0, &[a, b]), id(1, 0, &[b, a]));
    let others = [id(1, 0, &[a]), id(2, 0, &[a, b]), id(1, 1, &[a, b])];
    assert!(!others.contains(&id(1, 0, &[a, b])));
    let text = id(1, 0, &[a, b]).to_string();
    assert_eq!(PartId::parse(&text), Some(id(1, 0, &[a, b])));
    assert_eq!(PartId::parse("xyz"), None);
    // Test vectors: these never change.
    assert_eq!(text, "dff6523c28f3e532cbab002b8d024037");
    let offsets = OffsetRange { start: Offset(1), end: Offset(2) };
    assert_eq!(PartId::of_cut(&tenant, "toy", 7, offsets, 0).to_string(), "2ce69ce43e02b009fdf22534321e38d6");
}
