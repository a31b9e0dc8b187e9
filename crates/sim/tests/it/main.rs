//! As many seeds as fit a few seconds; `cargo xtask sim` runs more.

use sim::{MetricSubject, SimFailure, SimReport, Subject, ToyStore, run, run_on};

fn check<S: Subject>(n_seeds: u64) -> Result<(), SimFailure> {
    let mut total = SimReport::default();
    for seed in 0..n_seeds {
        let report = run_on::<S>(seed, 300)?;
        total.add(&report);
    }
    // A simulation in which nothing goes wrong proves nothing.
    assert!(total.crashes > 3 * n_seeds && total.refused_appends > n_seeds / 2, "{total:?}");
    assert!(total.rows_compared > 500 * n_seeds, "{total:?}");
    // Nor does one in which nothing goes well.
    let n_least = total.cuts.min(total.rounds).min(3 * total.deletions);
    assert!(n_least > 10 * n_seeds && total.refused_appends < total.appends / 4, "{total:?}");
    Ok(())
}

#[test]
fn the_toy_store_keeps_its_promises_under_every_seed() -> Result<(), SimFailure> {
    check::<ToyStore>(80)
}

#[test]
fn the_metrics_store_keeps_its_promises_under_every_seed() -> Result<(), SimFailure> {
    check::<MetricSubject>(40)
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..3 {
        assert_eq!(run(seed, 300), run(seed, 300));
    }
}

#[test]
fn a_store_that_acknowledges_too_early_is_caught() {
    let failure = (0..50).find_map(|seed| run_on::<ToyStore<false>>(seed, 300).err());
    let failure = failure.expect("some of fifty seeds loses an acknowledged row");
    assert!(failure.what.starts_with("lost: "), "{failure}");
}
