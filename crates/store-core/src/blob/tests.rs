use std::path::Path;
use std::sync::Arc;

use vfs::{FaultPlan, FaultVfs, MemVfs, RealVfs, Vfs};

use super::*;

fn open(vfs: &FaultVfs) -> LocalBlobStore {
    LocalBlobStore::open(Arc::new(vfs.clone()), Path::new("d")).unwrap()
}

/// What every object store promises; the remote one will run it too.
fn check_contract(blobs: &dyn BlobStore) {
    blobs.put("a/b/1", b"one", PutMode::Create).unwrap();
    let again = blobs.put("a/b/1", b"two", PutMode::Create).unwrap_err();
    assert!(matches!(again, BlobError::AlreadyExists { .. }), "{again}");
    assert_eq!(blobs.get("a/b/1").unwrap(), b"one");
    blobs.put("a/b/1", b"three", PutMode::Overwrite).unwrap();
    assert_eq!(blobs.get_range("a/b/1", 1..4).unwrap(), b"hre");
    assert_eq!(blobs.get_range("a/b/1", 5..5).unwrap(), b"");
    for range in [0..6, 6..7] {
        let beyond = blobs.get_range("a/b/1", range).unwrap_err();
        assert!(matches!(beyond, BlobError::OutOfRange { .. }), "{beyond}");
    }
    assert_eq!(blobs.head("a/b/1").unwrap().len_bytes, 5);
    let mut upload = blobs.upload("a/b/2").unwrap();
    upload.write(b"piece ").unwrap();
    upload.write(b"by piece").unwrap();
    assert!(blobs.get("a/b/2").unwrap_err().is_not_found());
    upload.finish(PutMode::Create).unwrap();
    blobs.upload("a/gone").unwrap().write(b"x").unwrap();
    blobs.copy("a/b/2", "a/bc").unwrap();
    blobs.put("z", b"", PutMode::Create).unwrap();
    let listed = |prefix| blobs.list(prefix).unwrap().into_iter().map(|m| m.key).collect::<Vec<_>>();
    assert_eq!(listed(""), ["a/b/1", "a/b/2", "a/bc", "z"]);
    assert_eq!(listed("a/b"), ["a/b/1", "a/b/2", "a/bc"]);
    assert_eq!(listed("a/b/"), ["a/b/1", "a/b/2"]);
    assert_eq!(listed("a/b/2"), ["a/b/2"]);
    assert_eq!(listed("none/"), Vec::<String>::new());
    blobs.delete("a/b/2").unwrap();
    blobs.delete("a/b/2").unwrap();
    assert_eq!(blobs.get("a/bc").unwrap(), b"piece by piece");
    for missing in [blobs.get("a/b/2").map(|_| ()), blobs.head("a/b/2").map(|_| ()), blobs.copy("a/b/2", "q")]
    {
        assert!(missing.unwrap_err().is_not_found());
    }
    for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a b", "ä", "a\\b", ".uploads/1", &"x".repeat(901)] {
        let refused = blobs.put(bad, b"", PutMode::Create).unwrap_err();
        assert!(matches!(refused, BlobError::InvalidKey { .. }), "{bad:?}: {refused}");
    }
}

#[test]
fn the_local_store_keeps_the_contract() {
    check_contract(&open(&MemVfs::default()));
    let dir = tempfile::tempdir().unwrap();
    check_contract(&LocalBlobStore::open(Arc::new(RealVfs), dir.path()).unwrap());
}

#[test]
fn an_object_is_whole_or_absent_whatever_operation_the_power_fails_in() {
    let content = [7u8; 3000];
    for at in 0..12 {
        for seed in 0..20 {
            let vfs = FaultVfs::new(seed, FaultPlan::default());
            let blobs = open(&vfs);
            blobs.put("old", b"old", PutMode::Create).unwrap();
            let power_off_at_change = Some(vfs.n_changes() + at);
            vfs.set_plan(FaultPlan { power_off_at_change, ..FaultPlan::default() });
            let put = blobs.put("new", &content, PutMode::Create);
            let replaced = blobs.put("old", &content, PutMode::Overwrite);
            let blobs = open(&vfs.crash());
            let what = format!("change {at}, seed {seed}");
            match blobs.get("new") {
                Ok(bytes) => assert_eq!(bytes, content, "{what}"),
                Err(e) => assert!(e.is_not_found() && put.is_err(), "{what}: {e}"),
            }
            let old = blobs.get("old").unwrap();
            assert!(old == content || (old == b"old" && replaced.is_err()), "{what}");
            assert!(blobs.list("").unwrap().len() <= 2, "{what}");
        }
    }
}

#[test]
fn a_full_disk_is_typed_and_leaves_nothing_behind() {
    let vfs = FaultVfs::new(1, FaultPlan { capacity_bytes: Some(1000), ..FaultPlan::default() });
    let blobs = open(&vfs);
    blobs.put("a", &[1; 600], PutMode::Create).unwrap();
    assert!(blobs.put("b", &[1; 600], PutMode::Create).unwrap_err().is_no_space());
    assert_eq!(blobs.space().unwrap().unwrap().free_bytes, 400);
    assert_eq!(vfs.list_dir(Path::new("d/.uploads")).unwrap(), []);
    blobs.delete("a").unwrap();
    blobs.put("b", &[1; 600], PutMode::Create).unwrap();
}
