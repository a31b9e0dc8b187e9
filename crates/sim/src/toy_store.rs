//! The smallest complete store on the substrate: integers, a vector as its live store.

use std::path::Path;
use std::sync::Arc;

use base::{CancelToken, Clock, TenantId};
use store_core::catalog::{NewTombstone, PartKey};
use store_core::doctor;
use store_core::maintain::{Maintenance, MaintenancePolicy};
use store_core::part_family::PartFamily;
use store_core::plan::{CompactionPolicy, RetentionPolicy};
use store_core::toy::{ToyFamily, cut_part, decode_rows, encode_rows, toy_matches, visible_rows};
use store_core::{
    BlobStore, Catalog, CatalogSnapshot, Journal, JournalOptions, Offset, OffsetRange, PartId, PartMeta,
    PartReader, StoreDir, SyncMode, TimeRange, Tombstone, Txn,
};
use vfs::{FaultVfs, Vfs};

use crate::subject::{Row, Settings, Subject};

const DIR: &str = "data";

/// See the module. `FSYNC = false` makes a store that acknowledges before the fsync and hides it: the
/// simulator must notice.
#[derive(Debug)]
pub struct ToyStore<const FSYNC: bool = true> {
    dir: StoreDir,
    settings: Settings,
    maintenance: Maintenance,
    /// Rows at or above the catalog's committed offset.
    live: Vec<(Offset, Row)>,
    /// A view that is held for a while, as a slow query does.
    held: Option<(Arc<CatalogSnapshot>, Vec<Row>)>,
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

fn families() -> Vec<Arc<dyn PartFamily>> {
    vec![Arc::new(ToyFamily)]
}

impl<const FSYNC: bool> ToyStore<FSYNC> {
    fn blobs(&self) -> Arc<dyn BlobStore> {
        Arc::clone(&self.dir.blobs) as _
    }

    fn hide(&mut self, tombstones: &[Arc<Tombstone>]) {
        let hidden =
            |offset: Offset, row: &Row| tombstones.iter().any(|t| offset < t.before && toy_matches(t, row));
        self.live.retain(|(offset, row)| !hidden(*offset, row));
    }

    fn part_rows(&self, view: &CatalogSnapshot) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        for part in view.parts_for("toy", &TenantId::anonymous(), TimeRange::ALL) {
            let reader = PartReader::open(&self.blobs(), &part.key()).map_err(text)?;
            rows.extend(visible_rows(&reader, &view.tombstones).map_err(text)?);
        }
        Ok(rows)
    }

    /// The view that is held must read as it did when it was taken, whatever was compacted since.
    fn check_held(&mut self) -> Result<(), String> {
        if let Some((view, rows)) = self.held.take()
            && self.part_rows(&view).is_ok_and(|now| now != rows)
        {
            return Err("a held view changed".to_owned());
        }
        Ok(())
    }
}

impl<const FSYNC: bool> Subject for ToyStore<FSYNC> {
    const NAME: &'static str = "toy";

    fn open(vfs: &FaultVfs, settings: &Settings) -> Result<Self, String> {
        let careless = SyncMode::AckBeforeFsyncMayLose { bytes: 2_000 };
        let sync = if FSYNC { SyncMode::FsyncBeforeAck } else { careless };
        let options = JournalOptions {
            segment_bytes_max: settings.segment_bytes_max,
            sync,
            ..JournalOptions::default()
        };
        let vfs: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let dir = StoreDir::open(vfs, Path::new(DIR), options).map_err(text)?;
        if !dir.journal.recovery().is_clean() {
            return Err(format!("journal: {:?}", dir.journal.recovery()));
        }
        let view = dir.catalog.snapshot();
        let mut live = Vec::new();
        let mut bad = None;
        let mut replay = |offset: Offset, bytes: &[u8]| match decode_rows(bytes) {
            Ok(rows) => live.extend(rows.into_iter().map(|row| (offset, row))),
            Err(e) => bad = Some(e.to_string()),
        };
        dir.journal.read_from(view.committed, &mut replay).map_err(text)?;
        if let Some(bad) = bad {
            return Err(bad);
        }
        let maintenance =
            Maintenance::new(Arc::clone(&dir.blobs) as _, Arc::clone(&dir.catalog) as _, families());
        let mut store = Self { dir, settings: settings.clone(), maintenance, live, held: None };
        store.hide(&view.tombstones);
        Ok(store)
    }

    fn append(&mut self, rows: &[Row]) -> Result<(), String> {
        let offset = self.dir.journal.append(&encode_rows(rows)).map_err(text)?;
        self.live.extend(rows.iter().map(|row| (offset, *row)));
        Ok(())
    }

    fn cut(&mut self) -> Result<(), String> {
        self.check_held()?;
        let view = self.dir.catalog.snapshot();
        let offsets = OffsetRange { start: view.committed, end: self.dir.journal.end_offset() };
        if offsets.start == offsets.end {
            return Ok(());
        }
        let rows = self.live.iter().map(|(_, row)| *row).collect();
        let tenant = TenantId::anonymous();
        let incarnation = self.dir.journal.incarnation();
        let part = cut_part(&*self.dir.blobs, &tenant, incarnation, offsets, view.tombstone_seq, rows);
        let add = match part {
            Ok(part) => part.into_iter().collect(),
            Err(e) => {
                let id = PartId::of_cut(&tenant, "toy", incarnation, offsets, 0);
                let key = PartMeta::key_of("toy", &tenant, id);
                self.dir.catalog.discard(&[PartKey { id, key }]);
                return Err(text(e));
            }
        };
        let txn = Txn { add, committed: Some(offsets.end), ..Txn::default() };
        self.dir.catalog.commit(txn).map_err(text)?;
        self.live.clear();
        self.dir.journal.trim(offsets.end).map_err(text)
    }

    fn delete(&mut self, last_byte: u8, time: TimeRange) -> Result<(), String> {
        let tombstone = NewTombstone {
            tenant: TenantId::anonymous(),
            family: "toy".to_owned(),
            time,
            before: self.dir.journal.end_offset(),
            selector: vec![last_byte],
        };
        let txn = Txn { add_tombstones: vec![tombstone], ..Txn::default() };
        let view = self.dir.catalog.commit(txn).map_err(text)?;
        self.hide(&view.tombstones);
        Ok(())
    }

    fn maintain(&mut self) -> Result<(), String> {
        let Settings { windows_ms, grace_ms, keep_ms, .. } = self.settings.clone();
        let compaction = CompactionPolicy { windows_ms, grace_ms, ..CompactionPolicy::default() };
        let retention = RetentionPolicy { time_ms: Some(keep_ms), ..RetentionPolicy::default() };
        let policy = MaintenancePolicy { compaction, retention, reserve_bytes: 0 };
        let now_ms = self.settings.clock.now_ms();
        let journal_bytes = self.dir.journal.len_bytes();
        let held = self.dir.catalog.snapshot();
        let before = self.part_rows(&held);
        let round = self.maintenance.round(&policy, now_ms, journal_bytes, &CancelToken::unbounded());
        self.check_held()?;
        self.held = before.ok().map(|rows| (held, rows));
        round.map(|_| ()).map_err(text)
    }

    fn rows(&self) -> Result<Vec<Row>, String> {
        if let Some((view, rows)) = &self.held
            && self.part_rows(view)? != *rows
        {
            return Ok(rows.iter().chain(rows).copied().collect());
        }
        let mut rows = self.part_rows(&self.dir.catalog.snapshot())?;
        rows.extend(self.live.iter().map(|(_, row)| *row));
        Ok(rows)
    }

    fn verify(vfs: &FaultVfs) -> Result<Vec<String>, String> {
        let report =
            doctor::verify(&(Arc::new(vfs.clone()) as _), Path::new(DIR), &families()).map_err(text)?;
        let mut defects: Vec<String> = report.defects.iter().map(|d| format!("{d:?}")).collect();
        if !report.is_healthy() && defects.is_empty() {
            defects.push(format!("{:?}", report.journal));
        }
        Ok(defects)
    }

    fn rebuild(vfs: &FaultVfs) -> Result<(), String> {
        doctor::rebuild_catalog(&(Arc::new(vfs.clone()) as _), Path::new(DIR)).map(|_| ()).map_err(text)
    }
}
