//! Selections of some virtual shards, and parts that say which they hold.

use std::sync::Arc;

use base::{Budget, CancelToken, ShardRange, ShardSet, TenantId};
use model::{Labels, Matcher, SeriesId, shard_of};
use store_metrics::{MetricsFamily, SampleColumns, SelectScope, StoreOptions};

use crate::bench::{Bench, Contents, NOW_MS, labels};

fn fleet(n: usize) -> Vec<Labels> {
    (0..n).map(|i| labels(&[("__name__", "m"), ("i", &i.to_string())])).collect()
}

fn read_in(bench: &Bench, shards: &ShardSet, matchers: &[Matcher]) -> (Contents, usize) {
    let view = bench.store().view();
    let scope = SelectScope { matchers, start_ms: i64::MIN, end_ms: i64::MAX, shards };
    let (budget, cancel) = (Budget::new("query", 1 << 30), CancelToken::unbounded());
    let selected = view.select_in(&bench.tenant, &scope, &budget, &cancel).unwrap();
    let mut columns = SampleColumns::default();
    let mut contents = Contents::new();
    for i in 0..selected.len() {
        selected.read(i, &mut columns).unwrap();
        let rows = columns.float_ts.iter().zip(&columns.float_values).map(|(t, v)| (*t, v.to_bits()));
        contents.insert(selected.labels(i).clone(), rows.collect());
    }
    (contents, view.warnings().len())
}

#[test]
fn shards_divide_every_selection_without_loss_or_overlap() {
    let fleet = fleet(300);
    let bench = Bench::new();
    let all = [Matcher::equal("__name__", "m")];
    let divisions: [&[(u16, u16)]; 3] = [
        &[(0, 1023)],
        &[(0, 99), (100, 100), (101, 1023)],
        &[(0, 200), (201, 400), (401, 600), (601, 800), (801, 1000), (1001, 1020), (1021, 1023)],
    ];
    let check = || {
        for division in divisions {
            let mut joined = Contents::new();
            for (first, last) in division {
                let shards = ShardSet::from(ShardRange { first: *first, last: *last });
                for (series, rows) in read_in(&bench, &shards, &all).0 {
                    assert!(shards.contains(shard_of(SeriesId::of(&bench.tenant, &series))), "{series}");
                    assert!(joined.insert(series, rows).is_none(), "in one shard only");
                }
            }
            assert_eq!(joined, bench.read(&all, i64::MIN, i64::MAX));
        }
    };
    // In a part only, in the live store only, in both.
    bench.append(&fleet[..200].iter().map(|l| (l, NOW_MS - 60_000, 1.0)).collect::<Vec<_>>());
    bench.store().cut().unwrap();
    check();
    bench.append(&fleet[100..].iter().map(|l| (l, NOW_MS, 2.0)).collect::<Vec<_>>());
    check();
    bench.store().cut().unwrap();
    bench.append(&fleet[..10].iter().map(|l| (l, NOW_MS + 1, 3.0)).collect::<Vec<_>>());
    check();
    assert_eq!(bench.read_all().len(), 300);
    let (nothing, _) = read_in(&bench, &ShardSet::EMPTY, &all);
    assert!(nothing.is_empty());
}

#[test]
fn a_part_outside_the_selected_shards_is_not_opened() {
    let own = ShardRange { first: 256, last: 511 };
    let mut bench = Bench::with(StoreOptions { shards: own, ..StoreOptions::default() });
    let of = |series: &Labels| shard_of(SeriesId::of(&TenantId::anonymous(), series));
    let (inside, outside): (Vec<Labels>, Vec<Labels>) =
        fleet(200).into_iter().partition(|series| own.contains(of(series)));
    bench.append(&inside.iter().map(|l| (l, NOW_MS, 1.0)).collect::<Vec<_>>());
    bench.store().cut().unwrap();
    let stray = outside.iter().find(|series| of(series) > own.last).unwrap();
    bench.store = None;
    let files = bench.disk.files();
    let (path, len) = files.iter().find(|(path, _)| path.extension().is_some_and(|e| e == "part")).unwrap();
    let damage = |bench: &Bench| bench.disk.flip_bit(path, (len - 3) * 8).unwrap();
    damage(&bench);
    bench.open();
    let some = |first, last| ShardSet::from(ShardRange { first, last });
    for others in [some(0, 255), some(512, 1023)] {
        assert_eq!(read_in(&bench, &others, &[]), (Contents::new(), 0));
        assert_eq!(bench.store().stats().corrupt_parts, 0, "nobody looked");
    }
    assert_eq!(read_in(&bench, &some(511, 512), &[]).1, 1);
    assert_eq!(bench.store().stats().corrupt_parts, 1);
    // A series that the store was not meant for is found all the same.
    bench.store = None;
    damage(&bench);
    bench.open();
    bench.append(&[(stray, NOW_MS + 1, 2.0)]);
    bench.store().cut().unwrap();
    assert_eq!(read_in(&bench, &some(of(stray), of(stray)), &[]).0.len(), 1);
    assert_eq!(bench.read_all().len(), inside.len() + 1);
    bench.store = None;
    let family = Arc::new(MetricsFamily::new(Budget::unlimited()));
    let report = store_core::doctor::verify(&(Arc::clone(&bench.disk) as _), &Bench::dir(), &[family]);
    assert!(report.unwrap().is_healthy());
}
