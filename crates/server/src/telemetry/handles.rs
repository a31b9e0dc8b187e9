//! Handles to single series: cloned into the components that count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SeriesSnapshot;

/// A value that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn inc(&self) {
        self.add(1.0);
    }

    pub fn add(&self, by: f64) {
        debug_assert!(by >= 0.0, "a counter never falls");
        add_f64(&self.0, by);
    }

    /// For values that something else counts, such as CPU seconds.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A value that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn add(&self, by: f64) {
        add_f64(&self.0, by);
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A classic histogram with fixed bounds.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    pub fn observe(&self, value: f64) {
        let idx = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[idx].fetch_add(1, Ordering::Relaxed);
        add_f64(&self.0.sum, value);
    }

    pub(super) fn snapshot_into(&self, labels: &[(String, String)], out: &mut Vec<SeriesSnapshot>) {
        let mut cumulative = 0u64;
        for (idx, count) in self.0.counts.iter().enumerate() {
            cumulative += count.load(Ordering::Relaxed);
            let bound = self.0.bounds.get(idx).copied().unwrap_or(f64::INFINITY);
            let (labels, value) = (labels.to_vec(), cumulative as f64);
            out.push(SeriesSnapshot { suffix: "_bucket", labels, bound: Some(("le", bound)), value });
        }
        let sum = f64::from_bits(self.0.sum.load(Ordering::Relaxed));
        out.push(SeriesSnapshot { suffix: "_sum", labels: labels.to_vec(), bound: None, value: sum });
        let (labels, value) = (labels.to_vec(), cumulative as f64);
        out.push(SeriesSnapshot { suffix: "_count", labels, bound: None, value });
    }
}

fn add_f64(cell: &AtomicU64, by: f64) {
    // An update that always returns Some cannot fail.
    cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
        Some((f64::from_bits(bits) + by).to_bits())
    })
    .expect("the closure always gives a value");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_cumulatively_and_includes_its_bounds() {
        let histogram = Histogram::new(&[1.0, 2.5]);
        for value in [0.5, 1.0, 2.0, 9.0] {
            histogram.observe(value);
        }
        let mut out = Vec::new();
        histogram.snapshot_into(&[], &mut out);
        let values: Vec<f64> = out.iter().map(|s| s.value).collect();
        assert_eq!(values, [2.0, 3.0, 4.0, 12.5, 4.0]);
        assert_eq!(out[2].bound, Some(("le", f64::INFINITY)));
    }
}
