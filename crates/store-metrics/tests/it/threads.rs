//! Many hands at once: appends, cuts, merges and queries side by side.

use std::sync::atomic::{AtomicBool, Ordering};

use base::{Budget, CancelToken};
use model::Labels;
use store_metrics::{AppendOptions, SampleColumns};

use crate::bench::{Bench, NOW_MS, labels};

const WRITERS: usize = 3;
const ROUNDS: i64 = 60;

fn fleet(writer: usize) -> Vec<Labels> {
    let own =
        (0..20).map(|i| labels(&[("__name__", "own"), ("w", &writer.to_string()), ("i", &i.to_string())]));
    let shared = (0..5).map(|i| labels(&[("__name__", "shared"), ("i", &i.to_string())]));
    own.chain(shared).collect()
}

fn write(bench: &Bench, writer: usize) {
    let fleet = fleet(writer);
    for round in 0..ROUNDS {
        // Shared series get distinct times from each writer, in an order that nobody controls.
        let t = NOW_MS - 100_000 + round * 100 + i64::try_from(writer).unwrap();
        let rows: Vec<_> = fleet.iter().map(|l| (l, t, (round * 7) as f64 / 3.0)).collect();
        let outcome = bench.store().append(&bench.batch(&rows), AppendOptions::default()).unwrap();
        assert_eq!(outcome.accepted, rows.len() as u64);
        // What was acknowledged is found at once, wherever a cut may have put it.
        let found = bench.read(&[model::Matcher::equal("w", &writer.to_string())], t, t);
        assert_eq!(found.len(), 20);
    }
}

#[test]
fn what_was_acknowledged_is_found_while_parts_come_and_go() {
    let mut bench = Bench::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let bench = &bench;
                scope.spawn(move || write(bench, writer))
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                bench.store().cut().unwrap();
                bench.store().maintain(&CancelToken::unbounded()).unwrap();
            }
        });
        scope.spawn(|| {
            let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
            let mut columns = SampleColumns::default();
            while !done.load(Ordering::Acquire) {
                let view = bench.store().view();
                let selected = view.select(&bench.tenant, &[], 0, NOW_MS, &budget, &cancel).unwrap();
                for _ in 0..2 {
                    (0..selected.len()).for_each(|i| selected.read(i, &mut columns).unwrap());
                }
            }
        });
        let results: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        assert!(results.iter().all(Result::is_ok));
    });
    for stage in ["running", "after power loss"] {
        let all = bench.read_all();
        assert_eq!(all.len(), WRITERS * 20 + 5, "{stage}");
        for (labels, rows) in &all {
            let n_writers = if labels.metric_name() == "shared" { WRITERS } else { 1 };
            assert_eq!(rows.len(), n_writers * usize::try_from(ROUNDS).unwrap(), "{labels} {stage}");
        }
        bench.crash();
    }
}
