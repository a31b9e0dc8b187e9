//! Upstream's test scripts, and our own in the same language.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ql_promql::promqltest::{self, FailureKind};
use ql_promql::query::EngineOptions;

/// How many failures of a script are shown.
const SHOWN_MAX: usize = 30;

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn upstream_scripts() -> PathBuf {
    let shared = std::env::var_os("SEXTANT_SHARED")
        .map_or_else(|| manifest_dir().join("../../../shared"), PathBuf::from);
    shared.join("conformance/metrics/prometheus/promql/promqltest/testdata")
}

fn our_scripts() -> PathBuf {
    manifest_dir().join("../../tests/corpus/promql")
}

/// The numbers of places at which every query is evaluated in fragments.
const N_PLACES: [usize; 3] = [1, 3, 7];

/// Runs a script; every evaluation must give what it states, as a whole and in fragments.
fn check(folder: &Path, name: &str) {
    let file = folder.join(format!("{name}.test"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let report = promqltest::run_in_fragments(&text, &promqltest::engine_options(), &N_PLACES);
    let report = report.unwrap_or_else(|e| panic!("{name}.test:{e}"));
    let stated = text.lines().filter(|line| line.trim_start().starts_with("eval")).count();
    assert!(stated > 0 && report.n_evals == stated, "{name}.test states {stated}, ran {}", report.n_evals);
    assert!(report.n_queries >= report.n_evals);
    if report.failures.is_empty() {
        return;
    }
    let shown: Vec<String> =
        report.failures.iter().take(SHOWN_MAX).map(|failure| format!("{name}.test:{failure}")).collect();
    panic!("{} of {} evaluations failed\n{}", report.failures.len(), report.n_evals, shown.join("\n"));
}

fn check_upstream(name: &str) {
    let folder = upstream_scripts();
    if folder.is_dir() {
        check(&folder, name);
    } else {
        eprintln!("SKIPPED: needs ../shared (promqltest/testdata/{name}.test)");
    }
}

/// One test per script, and one that says so when a script has no test.
macro_rules! scripts {
    (upstream: [$($script:ident = $file:literal,)*] ours: [$($our_script:ident = $our_file:literal,)*]) => {
        $(#[test]
        fn $script() {
            check_upstream($file);
        })*

        $(#[test]
        fn $our_script() {
            check(&our_scripts(), $our_file);
        })*

        const UPSTREAM: &[&str] = &[$($file),*];
        const OURS: &[&str] = &[$($our_file),*];
    };
}

scripts! {
    upstream: [
    aggregators = "aggregators",
    at_modifier = "at_modifier",
    collision = "collision",
    duration_expression = "duration_expression",
    extended_vectors = "extended_vectors",
    fill_modifier = "fill-modifier",
    functions = "functions",
    histograms = "histograms",
    info = "info",
    limit = "limit",
    literals = "literals",
    name_label_dropping = "name_label_dropping",
    native_histograms = "native_histograms",
    operators = "operators",
    range_queries = "range_queries",
    selectors = "selectors",
    staleness = "staleness",
    start_timestamps = "start_timestamps",
    subquery = "subquery",
    trig_functions = "trig_functions",
    type_and_unit = "type_and_unit",
    ] ours: [
    our_evaluation = "evaluation",
    our_histograms = "histograms",
    peer_aggregations = "peer_aggregations",
    peer_binary = "peer_binary",
    peer_functions = "peer_functions",
    peer_subqueries = "peer_subqueries",
    ]
}

/// By default names are removed where a function does so, which is not what scripts expect: there only the
/// difference between whole and fragmented evaluations matters.
#[test]
fn fragments_agree_with_the_whole_when_names_are_removed_at_once() {
    let options = EngineOptions { delayed_name_removal: false, ..promqltest::engine_options() };
    let mut n_queries = 0;
    for (folder, names) in [(upstream_scripts(), UPSTREAM), (our_scripts(), OURS)] {
        if !folder.is_dir() {
            eprintln!("SKIPPED: needs ../shared ({})", folder.display());
            continue;
        }
        for name in names {
            let text = std::fs::read_to_string(folder.join(format!("{name}.test"))).unwrap();
            let report = promqltest::run_in_fragments(&text, &options, &N_PLACES).unwrap();
            n_queries += report.n_queries;
            let differing = report.failures.iter().find(|f| matches!(f.kind, FailureKind::Fragments(_)));
            assert!(differing.is_none(), "{name}.test:{}", differing.unwrap());
        }
    }
    assert!(n_queries > 1_000, "{n_queries}");
}

#[test]
fn every_script_has_a_test() {
    for (folder, listed) in [(upstream_scripts(), UPSTREAM), (our_scripts(), OURS)] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            eprintln!("SKIPPED: needs ../shared ({})", folder.display());
            continue;
        };
        let files = entries.map(|entry| entry.unwrap().path());
        let names: BTreeSet<String> = files
            .filter(|path| path.extension().is_some_and(|ext| ext == "test"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let listed: BTreeSet<String> = listed.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names, listed, "scripts in {} and tests here", folder.display());
    }
}
