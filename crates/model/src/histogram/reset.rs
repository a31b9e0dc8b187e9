//! Whether a counter histogram has been reset since the one before it.

use std::cmp::Ordering;

use super::bounds::exponential_bound;
use super::buckets::Indexed;
use super::layout::coarser_index;
use super::{CounterResetHint, FloatHistogram, Span};

impl FloatHistogram {
    /// Whether a counter reset lies between `previous` and this histogram: some count has become
    /// smaller, a populated bucket has vanished, or the resolution has grown. A hint other than
    /// "unknown" decides at once; gauges are treated as if they were counters.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        match (self.uses_custom_buckets(), previous.uses_custom_buckets()) {
            (true, false) => return true,
            (true, true) if self.custom_values != previous.custom_values => {
                return self.custom_bucket_shrank(previous);
            }
            (true | false, _) => {}
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let previous_zero = previous.widened_zero(self.zero_threshold, None);
        if previous_zero.threshold != self.zero_threshold || self.zero_count < previous_zero.count {
            return true;
        }
        let side_shrank = |current: (&[Span], &[f64]), before: (&[Span], &[f64])| {
            let current = self.outside_zero(current, self.schema);
            bucket_shrank(current, self.outside_zero(before, previous.schema))
        };
        side_shrank(
            (&self.positive_spans, &self.positive_buckets),
            (&previous.positive_spans, &previous.positive_buckets),
        ) || side_shrank(
            (&self.negative_spans, &self.negative_buckets),
            (&previous.negative_spans, &previous.negative_buckets),
        )
    }

    /// Buckets in this histogram's schema that its zero bucket does not cover.
    fn outside_zero<'a>(
        &self,
        (spans, buckets): (&'a [Span], &'a [f64]),
        schema: i32,
    ) -> impl Iterator<Item = (i32, f64)> + use<'a> {
        let (target, threshold) = (self.schema, self.zero_threshold);
        let skips = threshold > 0.0 && !self.uses_custom_buckets();
        let coarser =
            Indexed::new(spans, buckets).map(move |(i, count)| (coarser_index(i, schema, target), count));
        Merging { items: coarser.peekable() }
            .skip_while(move |(i, _)| skips && exponential_bound(*i, target) <= threshold)
    }

    /// Compares two histograms with different custom bounds on the bounds they share.
    fn custom_bucket_shrank(&self, previous: &Self) -> bool {
        let mut current = cumulative(self).peekable();
        let mut before = cumulative(previous).peekable();
        let (mut current_base, mut before_base) = (0.0, 0.0);
        while let (Some((a, now)), Some((b, then))) = (current.peek().copied(), before.peek().copied()) {
            let order = a.partial_cmp(&b);
            if order == Some(Ordering::Equal) {
                if now - current_base < then - before_base {
                    return true;
                }
                (current_base, before_base) = (now, then);
            }
            // A NaN bound compares with nothing; both sides then advance, so that this ends.
            if order != Some(Ordering::Greater) {
                current.next();
            }
            if order != Some(Ordering::Less) {
                before.next();
            }
        }
        false
    }
}

/// The custom bounds, +Inf last, each with the count of all buckets up to it.
fn cumulative(h: &FloatHistogram) -> impl Iterator<Item = (f64, f64)> {
    let mut buckets = Indexed::new(&h.positive_spans, &h.positive_buckets).peekable();
    let mut total = 0.0;
    let bounds = h.custom_values.iter().copied().chain([f64::INFINITY]);
    (0i32..).zip(bounds).map(move |(index, bound)| {
        while let Some((_, count)) = buckets.next_if(|(i, _)| *i <= index) {
            total += count;
        }
        (bound, total)
    })
}

/// Adds up neighbours that fell into the same coarser bucket.
struct Merging<I: Iterator<Item = (i32, f64)>> {
    items: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = (i32, f64)>> Iterator for Merging<I> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<(i32, f64)> {
        let (index, mut count) = self.items.next()?;
        while let Some((_, more)) = self.items.next_if(|(i, _)| *i == index) {
            count += more;
        }
        Some((index, count))
    }
}

/// Whether some bucket of `before` is populated and larger than in `current`, where it may be missing.
fn bucket_shrank(
    current: impl Iterator<Item = (i32, f64)>,
    before: impl Iterator<Item = (i32, f64)>,
) -> bool {
    let mut current = current.peekable();
    for (index, count_before) in before {
        while current.next_if(|(i, _)| *i < index).is_some() {}
        let shrank = match current.peek() {
            Some((i, count)) if *i == index => *count < count_before,
            _ => count_before != 0.0,
        };
        if shrank {
            return true;
        }
    }
    false
}
