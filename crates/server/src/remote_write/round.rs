//! One round of sending, planned: which samples are still worth it, which shard sends them, and in
//! which requests. Pure.

use std::collections::HashMap;

use base::TenantId;
use config::prometheus::remote::RemoteWriteMessage;
use model::{BatchSeries, SeriesBatch, SeriesId};

/// Items by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

impl Counts {
    pub(super) fn of(batch: &SeriesBatch) -> Self {
        Self {
            samples: batch.floats.len() as u64,
            histograms: batch.histograms.len() as u64,
            exemplars: batch.exemplars.len() as u64,
        }
    }

    pub(super) fn total(self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(other.samples),
            histograms: self.histograms.saturating_sub(other.histograms),
            exemplars: self.exemplars.saturating_sub(other.exemplars),
        }
    }
}

/// What a round must keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoundRules {
    pub(super) n_shards: usize,
    /// Samples, histograms and exemplars of one request.
    pub(super) items_per_send: usize,
    /// Anything older is dropped.
    pub(super) oldest_ms: i64,
    pub(super) message: RemoteWriteMessage,
}

/// The requests of each shard, in order, and what was left out.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shards: Vec<Vec<SeriesBatch>>,
    pub(super) too_old: Counts,
    /// Histograms with custom buckets, which 1.0 cannot say.
    pub(super) custom_buckets: u64,
}

/// How many shards a backlog asks for: one per request it fills.
pub(super) fn shards_desired(n_samples: u64, samples_per_send: u64) -> u64 {
    n_samples.div_ceil(samples_per_send.max(1)).max(1)
}

/// All samples of a series go to one shard in the order in which they came.
pub(super) fn plan(batches: &[SeriesBatch], tenant: &TenantId, rules: &RoundRules) -> Plan {
    let mut shards: Vec<Shard> = (0..rules.n_shards.max(1)).map(|_| Shard::new(tenant)).collect();
    let n_shards = shards.len() as u128;
    let (mut too_old, mut custom_buckets) = (Counts::default(), 0);
    for batch in batches {
        let place = |series_idx: u32| {
            let series = &batch.series[series_idx as usize];
            (usize::try_from(series.id.0 % n_shards).expect("less than the number of shards"), series)
        };
        for sample in &batch.floats {
            if sample.t < rules.oldest_ms {
                too_old.samples += 1;
                continue;
            }
            let (shard_idx, series) = place(sample.series_idx);
            let shard = &mut shards[shard_idx];
            let series_idx = shard.series(series, rules.items_per_send);
            shard.current.floats.push(model::FloatSample { series_idx, ..*sample });
        }
        for sample in &batch.histograms {
            if sample.t < rules.oldest_ms {
                too_old.histograms += 1;
                continue;
            }
            if rules.message == RemoteWriteMessage::V1 && sample.h.uses_custom_buckets() {
                custom_buckets += 1;
                continue;
            }
            let (shard_idx, series) = place(sample.series_idx);
            let shard = &mut shards[shard_idx];
            let series_idx = shard.series(series, rules.items_per_send);
            shard.current.histograms.push(model::HistogramSample { series_idx, ..sample.clone() });
        }
        for (series_idx, exemplar) in &batch.exemplars {
            if exemplar.t < rules.oldest_ms {
                too_old.exemplars += 1;
                continue;
            }
            let (shard_idx, series) = place(*series_idx);
            let shard = &mut shards[shard_idx];
            let series_idx = shard.series(series, rules.items_per_send);
            shard.current.exemplars.push((series_idx, exemplar.clone()));
        }
    }
    let shards = shards.into_iter().map(Shard::finish).filter(|requests| !requests.is_empty()).collect();
    Plan { shards, too_old, custom_buckets }
}

/// Drops what became too old while it was retried.
pub(super) fn drop_older(batch: &mut SeriesBatch, oldest_ms: i64) -> Counts {
    let before = Counts::of(batch);
    batch.floats.retain(|sample| sample.t >= oldest_ms);
    batch.histograms.retain(|sample| sample.t >= oldest_ms);
    batch.exemplars.retain(|(_, exemplar)| exemplar.t >= oldest_ms);
    before.less(Counts::of(batch))
}

struct Shard {
    done: Vec<SeriesBatch>,
    current: SeriesBatch,
    places: HashMap<SeriesId, u32>,
    n_items: usize,
}

impl Shard {
    fn new(tenant: &TenantId) -> Self {
        Self {
            done: Vec::new(),
            current: SeriesBatch::new(tenant.clone()),
            places: HashMap::new(),
            n_items: 0,
        }
    }

    /// Where the next item of a series goes; begins a new request when this one is full.
    fn series(&mut self, series: &BatchSeries, items_per_send: usize) -> u32 {
        if self.n_items >= items_per_send.max(1) {
            self.end_request();
        }
        self.n_items += 1;
        let current = &mut self.current;
        *self.places.entry(series.id).or_insert_with(|| current.add_series(series.clone()))
    }

    fn end_request(&mut self) {
        let next = SeriesBatch::new(self.current.tenant.clone());
        self.done.push(std::mem::replace(&mut self.current, next));
        self.places.clear();
        self.n_items = 0;
    }

    fn finish(mut self) -> Vec<SeriesBatch> {
        if self.n_items > 0 {
            self.end_request();
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FloatSample, Labels};

    fn batch(times_ms: &[i64], n_series: u32) -> SeriesBatch {
        let tenant = TenantId::anonymous();
        let mut batch = SeriesBatch::new(tenant.clone());
        for idx in 0..n_series {
            let labels = Labels::from_pairs([("__name__", "m"), ("idx", idx.to_string().as_str())]);
            let series_idx = batch.add_series(BatchSeries::new(&tenant, labels));
            let floats = times_ms.iter().map(|t| FloatSample { series_idx, st: 0, t: *t, v: f64::from(idx) });
            batch.floats.extend(floats);
        }
        batch
    }

    /// Plans, and checks that nothing is lost, that requests are within their size, and that every
    /// series is in one shard in order.
    fn check(n_batches: i64, n_series: u32, n_shards: usize, items_per_send: usize, oldest_ms: i64) {
        let case =
            format!("{n_batches} x {n_series}, {n_shards} shards of {items_per_send} from {oldest_ms}");
        let batches: Vec<SeriesBatch> =
            (0..n_batches).map(|t| batch(&[10 * t, 10 * t + 5], n_series)).collect();
        let message = RemoteWriteMessage::V1;
        let rules = RoundRules { n_shards, items_per_send, oldest_ms, message };
        let plan = plan(&batches, &TenantId::anonymous(), &rules);
        assert!(plan.shards.len() <= n_shards, "{case}");
        let mut seen: HashMap<SeriesId, (usize, Vec<i64>)> = HashMap::new();
        for (shard_idx, requests) in plan.shards.iter().enumerate() {
            for request in requests {
                assert!((1..=items_per_send).contains(&request.n_samples()), "{case}");
                for sample in &request.floats {
                    let id = request.series[sample.series_idx as usize].id;
                    let (shard, times) = seen.entry(id).or_insert((shard_idx, Vec::new()));
                    assert_eq!(*shard, shard_idx, "{case}");
                    times.push(sample.t);
                }
            }
        }
        let expected: Vec<i64> =
            (0..n_batches).flat_map(|t| [10 * t, 10 * t + 5]).filter(|t| *t >= oldest_ms).collect();
        let n_old = (2 * n_batches - expected.len() as i64) * i64::from(n_series);
        assert_eq!(plan.too_old.samples as i64, n_old, "{case}");
        let n_kept = if expected.is_empty() { 0 } else { n_series as usize };
        assert_eq!(seen.len(), n_kept, "{case}");
        assert!(seen.values().all(|(_, times)| *times == expected), "{case}");
    }

    #[test]
    fn every_series_is_sent_in_order_by_one_shard() {
        check(0, 0, 1, 10, 0);
        check(1, 1, 1, 10, 0);
        check(3, 7, 1, 4, 0);
        check(3, 7, 4, 4, 0);
        check(10, 100, 8, 33, 0);
        check(10, 20, 3, 1, 0);
        check(10, 20, 3, 7, 42);
        check(4, 5, 2, 7, 1000);
    }

    #[test]
    fn shards_follow_the_backlog() {
        for (n_samples, per_send, expected) in [(0, 2000, 1), (1, 2000, 1), (2001, 2000, 2), (9, 0, 9)] {
            assert_eq!(shards_desired(n_samples, per_send), expected);
        }
    }

    #[test]
    fn retried_requests_lose_what_grew_too_old() {
        let mut request = batch(&[1, 2, 3], 2);
        assert_eq!(drop_older(&mut request, 3).samples, 4);
        assert_eq!(request.floats.len(), 2);
        assert_eq!(drop_older(&mut request, i64::MIN), Counts::default());
    }
}
