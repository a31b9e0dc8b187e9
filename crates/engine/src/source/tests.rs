//! Several stores that share the shards, and one that has them all.

use std::path::Path;
use std::sync::Arc;

use base::{Budget, CancelToken, ManualClock, ShardRange, ShardSet, TenantId};
use model::{BatchSeries, FloatSample, Labels, SeriesBatch, SeriesId, shard_of};
use ql_promql::eval::{Place, evaluate, evaluate_in_fragments};
use ql_promql::parser::{ParserOptions, parse_expr};
use ql_promql::query::{EngineOptions, EvalContext, QueryParams};
use store_core::{JournalOptions, ShardMap};
use store_metrics::{AppendOptions, MetricStore, StoreOptions};
use vfs::MemVfs;

use super::StoreSource;

const NOW_MS: i64 = 1_700_000_000_000;
const N_SERIES: u32 = 120;

fn open() -> MetricStore {
    let vfs = Arc::new(MemVfs::default());
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let (journal, options) = (JournalOptions::default(), StoreOptions::default());
    MetricStore::open_dir(vfs, Path::new("/data"), clock, journal, options).unwrap().0
}

fn source(store: &MetricStore) -> StoreSource {
    StoreSource {
        view: store.view(),
        tenant: TenantId::anonymous(),
        budget: Budget::unlimited(),
        cancel: CancelToken::unbounded(),
    }
}

/// The samples of one minute of those series that the shards hold.
fn batch(minute: u32, shards: &ShardSet) -> SeriesBatch {
    let tenant = TenantId::anonymous();
    let mut batch = SeriesBatch::new(tenant.clone());
    for i in 0..N_SERIES {
        let (n, job) = (i.to_string(), (i % 7).to_string());
        let labels = Labels::from_pairs([("__name__", "hits_total"), ("n", &n), ("job", &job)]);
        if shards.contains(shard_of(SeriesId::of(&tenant, &labels))) {
            let series_idx = batch.add_series(BatchSeries::new(&tenant, labels));
            let t = NOW_MS - 600_000 + i64::from(minute) * 60_000;
            batch.floats.push(FloatSample { series_idx, st: 0, t, v: f64::from(minute * (i + 1)) });
        }
    }
    batch
}

#[test]
fn stores_that_share_the_shards_answer_as_one_does() {
    let one = ShardMap::of_one("a").unwrap();
    let moved = |first, last| ShardSet::from(ShardRange { first, last });
    let map = one.with_moved(&moved(300, 699), "b").unwrap().with_moved(&moved(600, 1000), "c").unwrap();
    let whole = open();
    let stores: Vec<(MetricStore, ShardSet)> = map.owners().map(|(_, shards)| (open(), *shards)).collect();
    for minute in 0..=10 {
        whole.append(&batch(minute, &ShardSet::ALL), AppendOptions::default()).unwrap();
        for (store, shards) in &stores {
            store.append(&batch(minute, shards), AppendOptions::default()).unwrap();
            if minute == 5 {
                store.cut().unwrap();
            }
        }
    }
    let sources: Vec<(StoreSource, ShardSet)> =
        stores.iter().map(|(store, shards)| (source(store), *shards)).collect();
    let places: Vec<Place<'_>> =
        sources.iter().map(|(source, shards)| Place { source, shards: *shards }).collect();
    let (options, context) = (EngineOptions::default(), EvalContext::unbounded());
    for query in [
        "hits_total",
        "sum by (job) (sum_over_time(hits_total[5m]))",
        "topk by (job) (2, increase(hits_total[10m]))",
        "sum(hits_total) / count(hits_total)",
        "quantile by (job) (0.5, hits_total)",
        "max_over_time(sum by (job) (hits_total)[5m:1m])",
        "absent_over_time(hits_total{job=\"8\"}[5m])",
        "max by (job) (max_over_time(rate(hits_total[2m])[5m:1m]))",
    ] {
        let expr = parse_expr(query, &ParserOptions::default()).unwrap();
        for params in
            [QueryParams::instant(&expr, NOW_MS), QueryParams::range(&expr, NOW_MS - 300_000, NOW_MS, 60_000)]
        {
            let expected = evaluate(&options, &params, &source(&whole), &context).unwrap();
            let found = evaluate_in_fragments(&options, &params, &places, &context).unwrap();
            // No sum here is rounded.
            assert_eq!(found.value, expected.value, "{query}");
            assert_eq!(found.annotations, expected.annotations, "{query}");
        }
    }
}
