use super::*;

fn write(vfs: &FaultVfs, path: &str, bytes: &[u8], sync: bool) {
    let mut file = vfs.create(Path::new(path)).unwrap();
    file.write_all(bytes).unwrap();
    if sync {
        file.sync_data().unwrap();
    }
}

#[test]
fn what_is_synced_with_its_name_survives_every_crash() {
    for seed in 0..200 {
        let vfs = FaultVfs::new(seed, FaultPlan::default());
        write(&vfs, "a", b"durable", true);
        vfs.sync_dir(Path::new("")).unwrap();
        let mut file = vfs.open_append(Path::new("a")).unwrap();
        file.write_all(&[7; 2000]).unwrap();
        let after = vfs.crash();
        assert!(after.read(Path::new("a")).unwrap().starts_with(b"durable"), "seed {seed}");
        assert_eq!(vfs.read(Path::new("a")).unwrap_err().kind, VfsErrorKind::PoweredOff);
        assert_eq!(file.write_all(b"x").unwrap_err().kind, VfsErrorKind::PoweredOff);
    }
}

/// Counts over many seeds in how many of them something happened.
fn seeds_where(happens: impl Fn(u64) -> bool) -> usize {
    (0..200).filter(|seed| happens(*seed)).count()
}

#[test]
fn what_is_not_synced_is_sometimes_lost_and_sometimes_kept() {
    let name_lost = seeds_where(|seed| {
        let vfs = FaultVfs::new(seed, FaultPlan::default());
        write(&vfs, "a", b"x", true);
        !vfs.crash().exists(Path::new("a")).unwrap()
    });
    assert!((50..150).contains(&name_lost), "names lost: {name_lost}");
    let content = |seed| {
        let vfs = FaultVfs::new(seed, FaultPlan::default());
        write(&vfs, "a", &[1; 4096], false);
        vfs.sync_dir(Path::new("")).unwrap();
        vfs.crash().read(Path::new("a")).unwrap()
    };
    let empty = seeds_where(|seed| content(seed).is_empty());
    let whole = seeds_where(|seed| content(seed) == [1; 4096]);
    let torn = seeds_where(|seed| content(seed).iter().any(|b| *b != 1));
    assert!(empty > 20 && whole > 10 && torn > 20, "empty {empty}, whole {whole}, torn {torn}");
    let removal_lost = seeds_where(|seed| {
        let vfs = FaultVfs::new(seed, FaultPlan::default());
        write(&vfs, "a", b"x", true);
        vfs.sync_dir(Path::new("")).unwrap();
        vfs.remove(Path::new("a")).unwrap();
        vfs.crash().exists(Path::new("a")).unwrap()
    });
    assert!((50..150).contains(&removal_lost), "removals lost: {removal_lost}");
}

#[test]
fn a_failed_sync_loses_bytes_that_a_second_sync_claims_to_have_saved() {
    let vfs = FaultVfs::new(1, FaultPlan { sync_error_one_in: 1, ..FaultPlan::default() });
    let mut file = vfs.create(Path::new("a")).unwrap();
    vfs.sync_dir(Path::new("")).unwrap();
    file.write_all(b"abc").unwrap();
    assert_eq!(file.sync_data().unwrap_err().kind, VfsErrorKind::Io);
    vfs.set_plan(FaultPlan::default());
    file.sync_data().unwrap();
    assert_eq!(vfs.read(Path::new("a")).unwrap(), b"abc");
    assert_eq!(vfs.crash().read(Path::new("a")).unwrap(), [0, 0, 0]);
}

#[test]
fn a_full_disk_refuses_and_recovers_when_room_is_made() {
    let vfs = FaultVfs::new(1, FaultPlan { capacity_bytes: Some(100), ..FaultPlan::default() });
    write(&vfs, "a", &[0; 60], true);
    let mut b = vfs.create(Path::new("b")).unwrap();
    assert!(b.write_all(&[0; 60]).unwrap_err().is_no_space());
    assert_eq!(vfs.space(Path::new("")).unwrap(), Space { free_bytes: 0, total_bytes: 100 });
    assert!(vfs.create(Path::new("c")).unwrap_err().is_no_space());
    vfs.remove(Path::new("a")).unwrap();
    b.truncate(0).unwrap();
    b.write_all(&[0; 100]).unwrap();
}

#[test]
fn chosen_operations_fail_and_the_power_goes_when_the_plan_says() {
    let vfs = FaultVfs::new(1, FaultPlan { fail_change: Some(1), ..FaultPlan::default() });
    let mut file = vfs.create(Path::new("a")).unwrap();
    assert_eq!(file.write_all(b"x").unwrap_err().kind, VfsErrorKind::Io);
    file.truncate(0).unwrap();
    file.write_all(b"x").unwrap();
    assert_eq!(vfs.n_changes(), 4);
    vfs.set_plan(FaultPlan { power_off_at_change: Some(5), ..FaultPlan::default() });
    file.sync_data().unwrap();
    assert!(!vfs.is_powered_off());
    assert_eq!(file.sync_data().unwrap_err().kind, VfsErrorKind::PoweredOff);
    assert!(vfs.is_powered_off());
}

/// What both file systems promise; each runs it.
fn check_contract(vfs: &dyn Vfs, root: &Path) {
    let at = |name: &str| root.join(name);
    vfs.create_dir_all(&at("d/e")).unwrap();
    vfs.create_dir_all(&at("d/e")).unwrap();
    let mut file = vfs.create(&at("d/a")).unwrap();
    file.write_all(b"hello ").unwrap();
    file.write_all(b"world").unwrap();
    file.sync_data().unwrap();
    vfs.sync_dir(&at("d")).unwrap();
    assert_eq!(vfs.create(&at("d/a")).unwrap_err().kind, VfsErrorKind::AlreadyExists);
    assert_eq!(vfs.create(&at("none/a")).unwrap_err().kind, VfsErrorKind::NotFound);
    let mut buf = [0; 5];
    vfs.open(&at("d/a")).unwrap().read_at(6, &mut buf).unwrap();
    assert_eq!(&buf, b"world");
    let beyond = vfs.open(&at("d/a")).unwrap().read_at(7, &mut buf).unwrap_err();
    assert_eq!(beyond.kind, VfsErrorKind::UnexpectedEof);
    file.truncate(5).unwrap();
    file.write_all(b"!").unwrap();
    assert_eq!(vfs.read(&at("d/a")).unwrap(), b"hello!");
    vfs.open_append(&at("d/a")).unwrap().write_all(b"?").unwrap();
    assert_eq!((file.len_bytes().unwrap(), vfs.file_len(&at("d/a")).unwrap()), (7, 7));
    vfs.hard_link(&at("d/a"), &at("d/b")).unwrap();
    assert_eq!(vfs.hard_link(&at("d/a"), &at("d/b")).unwrap_err().kind, VfsErrorKind::AlreadyExists);
    let exists = vfs.publish(&at("d/a"), &at("d/b"), Publish::Exclusive).unwrap_err();
    assert_eq!(exists.kind, VfsErrorKind::AlreadyExists);
    vfs.create(&at("d/c")).unwrap();
    vfs.publish(&at("d/c"), &at("d/b"), Publish::Replace).unwrap();
    vfs.publish(&at("d/a"), &at("d/f"), Publish::Exclusive).unwrap();
    let listed: Vec<_> =
        vfs.list_dir(&at("d")).unwrap().into_iter().map(|e| (e.name, e.is_dir, e.len_bytes)).collect();
    let expected = [("b", false, 0), ("e", true, 0), ("f", false, 7)];
    assert_eq!(listed, expected.map(|(name, dir, len)| (name.to_owned(), dir, len)));
    vfs.remove(&at("d/f")).unwrap();
    assert!(vfs.remove(&at("d/f")).unwrap_err().is_not_found());
    assert!(vfs.read(&at("d/f")).unwrap_err().is_not_found());
    assert!(vfs.list_dir(&at("none")).unwrap_err().is_not_found());
    assert!(vfs.exists(&at("d/e")).unwrap() && !vfs.exists(&at("d/f")).unwrap());
    let lock = vfs.lock(&at("lock")).unwrap();
    assert_eq!(vfs.lock(&at("lock")).unwrap_err().kind, VfsErrorKind::Locked);
    drop(lock);
    vfs.lock(&at("lock")).unwrap();
    let space = vfs.space(root).unwrap();
    assert!(0 < space.free_bytes && space.free_bytes <= space.total_bytes);
}

#[test]
fn the_real_and_the_simulated_file_system_keep_the_same_contract() {
    check_contract(&FaultVfs::default(), Path::new(""));
    let dir = tempfile::tempdir().unwrap();
    check_contract(&crate::RealVfs, dir.path());
}
