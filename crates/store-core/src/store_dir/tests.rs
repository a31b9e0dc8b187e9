use std::path::Path;
use std::sync::Arc;

use vfs::{FaultPlan, FaultVfs, MemVfs, Publish, Vfs};

use super::*;
use crate::catalog::Txn;
use crate::journal::{Journal, Offset};

fn open(vfs: &FaultVfs) -> Result<StoreDir, StoreDirError> {
    StoreDir::open(Arc::new(vfs.clone()), Path::new("data"), JournalOptions::default())
}

fn replace_meta(vfs: &FaultVfs, text: &str) {
    let mut file = vfs.create(Path::new("data/new")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_data().unwrap();
    vfs.publish(Path::new("data/new"), Path::new("data/meta.json"), Publish::Replace).unwrap();
}

#[test]
fn a_directory_belongs_to_one_process_at_a_time() {
    let vfs = MemVfs::default();
    let first = open(&vfs).unwrap();
    let refused = open(&vfs).unwrap_err();
    assert_eq!(refused.to_string(), "data is in use by another process");
    drop(first);
    open(&vfs).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let real = || LockedDir::open(Arc::new(vfs::RealVfs), dir.path());
    let held = real().unwrap();
    assert!(matches!(real(), Err(StoreDirError::InUse { .. })));
    drop(held);
    real().unwrap();
}

#[test]
fn a_layout_that_cannot_be_read_is_refused_with_the_reason() {
    let check = |meta: &str, expected: &str| {
        let vfs = MemVfs::default();
        drop(open(&vfs).unwrap());
        replace_meta(&vfs, meta);
        assert!(open(&vfs).unwrap_err().to_string().contains(expected), "{meta}");
    };
    check(
        r#"{"product":"sextant","layout_version":2}"#,
        "data was written by a newer release: layout version 2, this one reads up to 1",
    );
    check(r#"{"product":"other","layout_version":1}"#, "data/meta.json: this is not the data of Sextant");
    check(r#"{"product":"sextant"}"#, "data/meta.json: no layout_version");
    check("{", "data/meta.json: EOF while parsing");
}

#[test]
fn the_journal_goes_on_from_what_the_catalog_has_committed() {
    let vfs = MemVfs::default();
    let store = open(&vfs).unwrap();
    store.catalog.commit(Txn { committed: Some(Offset(100)), ..Txn::default() }).unwrap();
    drop(store);
    assert_eq!(open(&vfs).unwrap().journal.append(b"x"), Ok(Offset(100)));
}

#[test]
fn a_store_whose_creation_was_interrupted_opens() {
    for at in 0..12 {
        for seed in 0..10 {
            let plan = FaultPlan { power_off_at_change: Some(at), ..FaultPlan::default() };
            let vfs = FaultVfs::new(seed, plan);
            let _ = open(&vfs).map(|store| store.journal.append(b"x"));
            open(&vfs.crash()).unwrap_or_else(|e| panic!("change {at}, seed {seed}: {e}"));
        }
    }
}

#[test]
fn a_full_disk_does_not_keep_a_store_from_opening() {
    let vfs = MemVfs::default();
    open(&vfs).unwrap().journal.append(b"x").unwrap();
    vfs.set_plan(FaultPlan { capacity_bytes: Some(0), ..FaultPlan::default() });
    let store = open(&vfs).unwrap();
    assert!(store.journal.append(b"y").unwrap_err().is_no_space());
    vfs.set_plan(FaultPlan::default());
    store.journal.append(b"y").unwrap();
}
