//! As many seeds as fit a few seconds; `cargo xtask sim` runs more.

#[test]
fn the_toy_store_keeps_its_promises_under_every_seed() {
    let mut total = sim::SimReport::default();
    for seed in 0..200 {
        let report = sim::run(seed, 300).unwrap_or_else(|failure| panic!("{failure}"));
        total.appends += report.appends;
        total.refused_appends += report.refused_appends;
        total.crashes += report.crashes;
        total.rows_compared += report.rows_compared;
    }
    // A simulation in which nothing goes wrong proves nothing.
    assert!(total.crashes > 1000 && total.refused_appends > 100, "{total:?}");
    assert!(total.rows_compared > 100_000, "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..5 {
        assert_eq!(sim::run(seed, 300), sim::run(seed, 300));
    }
}

#[test]
fn a_store_that_acknowledges_too_early_is_caught() {
    let failure = (0..50).find_map(|seed| sim::run_on::<sim::ToyStore<false>>(seed, 300).err());
    let failure = failure.expect("some of fifty seeds loses an acknowledged row");
    assert!(failure.what.starts_with("lost: "), "{failure}");
}
