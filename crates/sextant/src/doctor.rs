//! `sextant doctor`: verifies a data directory while no server uses it, and rebuilds its catalog.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use base::{Budget, ByteSize};
use clap::Args;
use store_core::catalog::RebuildReport;
use store_core::doctor::{rebuild_catalog, verify};
use store_core::part_family::PartFamily;
use store_metrics::MetricsFamily;
use vfs::{RealVfs, Vfs};

use crate::{launch, output};

/// Verify a data directory: every journal record, every block, the catalog.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The data directory of a server that is not running.
    data_dir: PathBuf,
    /// Rebuild the catalog from the parts first.
    #[arg(long)]
    rebuild_catalog: bool,
}

pub(crate) fn run(doctor: &Doctor) -> ExitCode {
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs);
    let dir = server::serve::metrics_dir(&doctor.data_dir);
    if doctor.rebuild_catalog {
        match rebuild_catalog(&vfs, &dir) {
            Ok(report) => print_rebuild(&report),
            Err(error) => return launch::fail(&format!("cannot rebuild the catalog: {error}")),
        }
    }
    let family: Arc<dyn PartFamily> = Arc::new(MetricsFamily::new(Budget::unlimited()));
    let report = match verify(&vfs, &dir, &[family]) {
        Ok(report) => report,
        Err(error) => return launch::fail(&format!("cannot verify {}: {error}", dir.display())),
    };
    let (n_parts, n_blocks, n_rows) = (report.n_parts, report.n_blocks, report.n_rows);
    let size = ByteSize(report.part_bytes);
    output::line(&format!("{n_parts} parts with {n_blocks} blocks and {n_rows} rows, {size}"));
    if !report.journal.is_clean() {
        output::remark(&format!("DAMAGED journal: {:?}", report.journal));
    }
    for orphan in &report.orphans {
        output::line(&format!("not in the catalog: {orphan}"));
    }
    for defect in &report.defects {
        output::remark(&format!("DAMAGED {}: {}", defect.object, defect.reason));
    }
    if report.is_healthy() {
        output::line("healthy");
        return ExitCode::SUCCESS;
    }
    output::remark("run `sextant doctor --rebuild-catalog` if the catalog is what is damaged");
    ExitCode::FAILURE
}

fn print_rebuild(report: &RebuildReport) {
    output::line(&format!(
        "catalog rebuilt: {} parts with {} rows, {} deletions still to carry out",
        report.n_parts, report.n_rows, report.n_tombstones
    ));
    for (parts, why) in [
        (&report.replaced, "its rows are in a part that was made from it"),
        (&report.in_journal, "its rows are in the journal"),
        (&report.unfinished, "it came of a merge that did not end; its rows are in the inputs"),
    ] {
        for part in parts {
            output::line(&format!("left out {part:?}: {why}"));
        }
    }
    if !report.had_catalog {
        output::remark("no older catalog was readable: deletions it alone knew of may have come back");
    }
}
