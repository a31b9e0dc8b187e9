//! `sextant doctor`: verifies a data directory while no server uses it, and rebuilds its catalog.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use base::{Budget, ByteSize};
use clap::Args;
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
    let dir = doctor.data_dir.join(server::serve::METRICS_DIR);
    if doctor.rebuild_catalog {
        match rebuild_catalog(&vfs, &dir) {
            Ok(report) => output::line(&format!("catalog rebuilt: {report:?}")),
            Err(error) => return launch::fail(&format!("cannot rebuild the catalog: {error}")),
        }
    }
    let family: Arc<dyn PartFamily> = Arc::new(MetricsFamily::new(Budget::unlimited()));
    let report = match verify(&vfs, &dir, &[family]) {
        Ok(report) => report,
        Err(error) => return launch::fail(&format!("cannot verify {}: {error}", dir.display())),
    };
    output::line(&format!(
        "{} parts, {} blocks, {} rows, {}; journal: {:?}",
        report.n_parts,
        report.n_blocks,
        report.n_rows,
        ByteSize(report.part_bytes),
        report.journal
    ));
    for orphan in &report.orphans {
        output::line(&format!("not in the catalog (swept by the server): {orphan}"));
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
