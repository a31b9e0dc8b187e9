//! Adding and subtracting histograms whose schemas, zero buckets or custom bounds may differ.

use super::bounds::exponential_bound;
use super::buckets::Indexed;
use super::layout::{SpanBuilder, compact_side, reduce_side, reduce_side_kahan};
use super::{CounterResetHint, FloatHistogram, Span, is_exponential_schema};

/// An exponential histogram met one with custom buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
pub struct IncompatibleSchemas;

/// What a sum or difference had to reconcile; the query annotates its result with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeNotes {
    /// One operand says it follows a counter reset, the other that it does not.
    pub reset_collision: bool,
    /// Custom bounds differed; the result has those that both had.
    pub bounds_reconciled: bool,
}

/// One step of a Kahan sum in Neumaier's form: `sum + compensation` is the accurate total.
pub fn kahan_add(increment: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + increment;
    if total.is_infinite() {
        *compensation = 0.0;
    } else if sum.abs() >= increment.abs() {
        *compensation += (*sum - total) + increment;
    } else {
        *compensation += (increment - total) + *sum;
    }
    *sum = total;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

impl Sign {
    fn apply(self, v: f64) -> f64 {
        match self {
            Self::Plus => v,
            Self::Minus => -v,
        }
    }
}

impl FloatHistogram {
    /// Adds the counts and the sum of `other`. The coarser schema and the wider zero bucket win;
    /// of different custom bounds the common ones stay. The result may have empty buckets.
    pub fn add(&mut self, other: &Self) -> Result<MergeNotes, IncompatibleSchemas> {
        self.merge(other, Sign::Plus)
    }

    /// As [`FloatHistogram::add`], subtracting. The `-` operator makes its result a gauge as well.
    pub fn sub(&mut self, other: &Self) -> Result<MergeNotes, IncompatibleSchemas> {
        self.merge(other, Sign::Minus)
    }

    fn merge(&mut self, other: &Self, sign: Sign) -> Result<MergeNotes, IncompatibleSchemas> {
        let mut notes = self.reconcile_hints(other)?;
        self.count += sign.apply(other.count);
        self.sum += sign.apply(other.sum);
        if self.uses_custom_buckets() {
            notes.bounds_reconciled = self.custom_values != other.custom_values;
            if notes.bounds_reconciled {
                self.merge_custom(other, sign, None);
                return Ok(notes);
            }
        } else {
            let (other_zero_count, _) = self.reconcile_zero_buckets(other, None);
            self.zero_count += sign.apply(other_zero_count);
            self.reduce_to(other.schema);
        }
        let skip = skip_bound(self);
        for (mut mine, theirs) in self.sides_mut().into_iter().zip(other.sides()) {
            if other.schema > mine.schema {
                let (spans, buckets) = reduce_side(theirs.spans, theirs.buckets, other.schema, mine.schema);
                add_side(&mut mine, Side { spans: &spans, buckets: &buckets }, sign, skip);
            } else {
                add_side(&mut mine, theirs, sign, skip);
            }
        }
        Ok(notes)
    }

    /// As [`FloatHistogram::add`], collecting what rounding loses in `compensation`, which the
    /// first call creates. The accurate sum is `self` plus the compensation.
    pub fn add_kahan(
        &mut self,
        other: &Self,
        compensation: &mut Option<Self>,
    ) -> Result<MergeNotes, IncompatibleSchemas> {
        let mut notes = self.reconcile_hints(other)?;
        let c = compensation.get_or_insert_with(|| self.zeroed());
        kahan_add(other.count, &mut self.count, &mut c.count);
        kahan_add(other.sum, &mut self.sum, &mut c.sum);
        if self.uses_custom_buckets() {
            notes.bounds_reconciled = self.custom_values != other.custom_values;
            if notes.bounds_reconciled {
                self.merge_custom(other, Sign::Plus, Some(c));
                return Ok(notes);
            }
        } else {
            let (zero_count, zero_compensation) = self.reconcile_zero_buckets(other, Some(c));
            kahan_add(zero_count, &mut self.zero_count, &mut c.zero_count);
            kahan_add(zero_compensation, &mut self.zero_count, &mut c.zero_count);
            self.reduce_kahan(other.schema, c);
        }
        let skip = skip_bound(self);
        let schema = self.schema;
        for ((mut mine, comp), theirs) in self.sides_mut().into_iter().zip(c.sides_mut()).zip(other.sides()) {
            if other.schema > schema {
                let zeros = vec![0.0; theirs.buckets.len()];
                let (spans, buckets, lost) =
                    reduce_side_kahan(theirs.spans, theirs.buckets, &zeros, other.schema, schema);
                add_side_kahan(
                    &mut mine,
                    comp.buckets,
                    Side { spans: &spans, buckets: &buckets },
                    &lost,
                    skip,
                );
            } else {
                add_side_kahan(&mut mine, comp.buckets, theirs, &[], skip);
            }
        }
        c.schema = schema;
        c.zero_threshold = self.zero_threshold;
        c.positive_spans.clone_from(&self.positive_spans);
        c.negative_spans.clone_from(&self.negative_spans);
        Ok(notes)
    }

    /// The same layout with all numbers zero.
    fn zeroed(&self) -> Self {
        let mut zeroed = self.clone();
        zeroed.count = 0.0;
        zeroed.sum = 0.0;
        zeroed.zero_count = 0.0;
        zeroed.positive_buckets.fill(0.0);
        zeroed.negative_buckets.fill(0.0);
        zeroed
    }

    fn sides(&self) -> [Side<'_>; 2] {
        [
            Side { spans: &self.positive_spans, buckets: &self.positive_buckets },
            Side { spans: &self.negative_spans, buckets: &self.negative_buckets },
        ]
    }

    fn sides_mut(&mut self) -> [SideMut<'_>; 2] {
        [
            SideMut {
                schema: self.schema,
                spans: &mut self.positive_spans,
                buckets: &mut self.positive_buckets,
            },
            SideMut {
                schema: self.schema,
                spans: &mut self.negative_spans,
                buckets: &mut self.negative_buckets,
            },
        ]
    }

    fn reduce_kahan(&mut self, target_schema: i32, c: &mut Self) {
        if target_schema >= self.schema {
            return;
        }
        let schema = self.schema;
        for (mine, comp) in self.sides_mut().into_iter().zip(c.sides_mut()) {
            (*mine.spans, *mine.buckets, *comp.buckets) =
                reduce_side_kahan(mine.spans, mine.buckets, comp.buckets, schema, target_schema);
        }
        self.schema = target_schema;
    }

    /// Sums and differences are meant for gauges; of counters the most cautious hint survives.
    fn reconcile_hints(&mut self, other: &Self) -> Result<MergeNotes, IncompatibleSchemas> {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        let (hint, reset_collision) = match (self.counter_reset_hint, other.counter_reset_hint) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            (Reset | NotReset, Reset | NotReset) => (Unknown, true),
        };
        self.counter_reset_hint = hint;
        Ok(MergeNotes { reset_collision, bounds_reconciled: false })
    }

    /// Widens the zero bucket of `self` until it can be compared with that of `other`, and gives
    /// the zero count (with compensation) that `other` would have if it were as wide.
    fn reconcile_zero_buckets(&mut self, other: &Self, mut c: Option<&mut Self>) -> (f64, f64) {
        let mut theirs =
            WiderZero { count: other.zero_count, compensation: 0.0, threshold: other.zero_threshold };
        while theirs.threshold != self.zero_threshold {
            if self.zero_threshold > theirs.threshold {
                theirs = other.widened_zero(self.zero_threshold, None);
            } else if theirs.threshold > self.zero_threshold {
                let mine = self.widened_zero(theirs.threshold, c.as_deref());
                self.zero_count = mine.count;
                self.zero_threshold = mine.threshold;
                if let Some(c) = c.as_deref_mut() {
                    c.zero_count = mine.compensation;
                }
                self.empty_buckets_below_threshold(c.as_deref_mut());
            } else {
                // A NaN threshold never compares; there is nothing sensible to reconcile.
                break;
            }
        }
        (theirs.count, theirs.compensation)
    }

    /// The zero count this histogram would have with a larger zero threshold. If that threshold
    /// lies within a populated bucket, it moves outwards to the bucket's end.
    pub(super) fn widened_zero(&self, threshold: f64, c: Option<&Self>) -> WiderZero {
        let mut threshold = threshold;
        loop {
            let mut wider = WiderZero {
                count: self.zero_count,
                compensation: c.map_or(0.0, |c| c.zero_count),
                threshold,
            };
            if threshold <= self.zero_threshold {
                return wider;
            }
            wider.threshold = wider.absorb(self.iter_positive(), c.map(|c| c.positive_buckets.as_slice()));
            let end = wider.absorb(self.iter_negative(), c.map(|c| c.negative_buckets.as_slice()));
            if end > wider.threshold {
                // The negative side moved the threshold: what was taken from the positive side is void.
                threshold = end;
                continue;
            }
            return wider;
        }
    }

    /// Empties the buckets that the zero bucket now covers. Their counts are already part of it.
    fn empty_buckets_below_threshold(&mut self, c: Option<&mut Self>) {
        let threshold = self.zero_threshold;
        let positive = self.iter_positive().take_while(|b| b.lower < threshold).count();
        let negative = self.iter_negative().take_while(|b| b.upper > -threshold).count();
        self.positive_buckets[..positive].fill(0.0);
        self.negative_buckets[..negative].fill(0.0);
        let Some(c) = c else {
            self.compact(0);
            return;
        };
        c.positive_buckets[..positive].fill(0.0);
        c.negative_buckets[..negative].fill(0.0);
        for (mine, comp) in self.sides_mut().into_iter().zip(c.sides_mut()) {
            compact_side(mine.spans, mine.buckets, Some(comp.buckets), 0);
        }
    }

    /// Adds custom buckets with different bounds: both are mapped to the bounds they share.
    fn merge_custom(&mut self, other: &Self, sign: Sign, c: Option<&mut Self>) {
        let bounds = common_bounds(&self.custom_values, &other.custom_values);
        let mut totals = vec![(0.0, 0.0); bounds.len() + 1];
        let lost = c.as_ref().map_or(&[][..], |c| &c.positive_buckets);
        map_to_bounds(self, &bounds, |position, target, count| {
            let (sum, comp) = &mut totals[target];
            kahan_add(count, sum, comp);
            if let Some(lost) = lost.get(position) {
                kahan_add(*lost, sum, comp);
            }
        });
        map_to_bounds(other, &bounds, |_, target, count| {
            let (sum, comp) = &mut totals[target];
            kahan_add(sign.apply(count), sum, comp);
        });
        let mut builder = SpanBuilder::default();
        let (mut sums, mut comps) = (Vec::new(), Vec::new());
        for (index, (sum, comp)) in (0..).zip(totals).filter(|(_, total)| *total != (0.0, 0.0)) {
            builder.push(index);
            sums.push(sum);
            comps.push(comp);
        }
        self.positive_spans = builder.spans;
        self.positive_buckets = sums;
        if let Some(c) = c {
            c.positive_spans.clone_from(&self.positive_spans);
            c.positive_buckets = comps;
            c.custom_values.clone_from(&bounds);
        }
        self.custom_values = bounds;
    }
}

/// A zero bucket as it would be with a larger threshold.
#[derive(Debug, Clone, Copy)]
pub(super) struct WiderZero {
    pub(super) count: f64,
    compensation: f64,
    pub(super) threshold: f64,
}

impl WiderZero {
    /// Takes in the buckets of one side (from zero outwards) that begin within the threshold, and
    /// returns the threshold that ends no populated bucket midway.
    fn absorb(&mut self, side: super::SideBuckets<'_>, lost: Option<&[f64]>) -> f64 {
        for (position, bucket) in side.enumerate() {
            let inner = bucket.lower.abs().min(bucket.upper.abs());
            let outer = bucket.lower.abs().max(bucket.upper.abs());
            if inner >= self.threshold {
                break;
            }
            kahan_add(bucket.count, &mut self.count, &mut self.compensation);
            if let Some(lost) = lost {
                kahan_add(lost[position], &mut self.count, &mut self.compensation);
            }
            if outer > self.threshold {
                return if bucket.count == 0.0 { self.threshold } else { outer };
            }
        }
        self.threshold
    }
}

#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    spans: &'a [Span],
    buckets: &'a [f64],
}

#[derive(Debug)]
struct SideMut<'a> {
    schema: i32,
    spans: &'a mut Vec<Span>,
    buckets: &'a mut Vec<f64>,
}

/// Buckets of the other operand that end at or below this bound are in the zero bucket already.
fn skip_bound(h: &FloatHistogram) -> Option<f64> {
    (is_exponential_schema(h.schema) && h.zero_threshold > 0.0).then_some(h.zero_threshold)
}

/// How many leading buckets the zero bucket covers.
fn n_covered(side: Side<'_>, schema: i32, skip: Option<f64>) -> usize {
    skip.map_or(0, |threshold| {
        Indexed::new(side.spans, side.buckets)
            .take_while(|(index, _)| exponential_bound(*index, schema) <= threshold)
            .count()
    })
}

/// Whether both have the same buckets, so that counts can be added one by one.
fn has_layout(mine: &SideMut<'_>, theirs: Side<'_>) -> bool {
    mine.spans.as_slice() == theirs.spans && mine.buckets.len() == theirs.buckets.len()
}

fn add_side(mine: &mut SideMut<'_>, theirs: Side<'_>, sign: Sign, skip: Option<f64>) {
    let covered = n_covered(theirs, mine.schema, skip);
    if covered == 0 && has_layout(mine, theirs) {
        for (a, b) in mine.buckets.iter_mut().zip(theirs.buckets) {
            *a += sign.apply(*b);
        }
        return;
    }
    let mut builder = SpanBuilder::default();
    let mut merged = Vec::with_capacity(mine.buckets.len() + theirs.buckets.len());
    join(Side { spans: mine.spans, buckets: mine.buckets }, theirs, covered, |index, a, b| {
        builder.push(index);
        merged.push(match (a, b) {
            (Some((_, a)), Some((_, b))) => a + sign.apply(b),
            (Some((_, a)), None) => a,
            (None, Some((_, b))) => sign.apply(b),
            (None, None) => 0.0,
        });
    });
    *mine.spans = builder.spans;
    *mine.buckets = merged;
}

/// `lost` holds the compensations of `theirs`, or nothing where there are none.
fn add_side_kahan(
    mine: &mut SideMut<'_>,
    compensation: &mut Vec<f64>,
    theirs: Side<'_>,
    lost: &[f64],
    skip: Option<f64>,
) {
    let covered = n_covered(theirs, mine.schema, skip);
    if covered == 0 && lost.is_empty() && has_layout(mine, theirs) {
        for ((sum, c), count) in mine.buckets.iter_mut().zip(compensation).zip(theirs.buckets) {
            kahan_add(*count, sum, c);
        }
        return;
    }
    let mut builder = SpanBuilder::default();
    let mut merged = Vec::with_capacity(mine.buckets.len() + theirs.buckets.len());
    let mut merged_c = Vec::with_capacity(merged.capacity());
    join(Side { spans: mine.spans, buckets: mine.buckets }, theirs, covered, |index, a, b| {
        builder.push(index);
        let (mut sum, mut c) = a.map_or((0.0, 0.0), |(position, count)| (count, compensation[position]));
        if let Some((position, count)) = b {
            let theirs_lost = lost.get(position).copied().unwrap_or(0.0);
            if a.is_none() {
                (sum, c) = (count, theirs_lost);
            } else {
                kahan_add(count, &mut sum, &mut c);
                if theirs_lost != 0.0 {
                    kahan_add(theirs_lost, &mut sum, &mut c);
                }
            }
        }
        merged.push(sum);
        merged_c.push(c);
    });
    *mine.spans = builder.spans;
    *mine.buckets = merged;
    *compensation = merged_c;
}

/// A bucket's position and count.
type Entry = Option<(usize, f64)>;

/// Visits each index that either side names, ascending, with both sides' buckets there.
fn join(a: Side<'_>, b: Side<'_>, skip_b: usize, mut visit: impl FnMut(i32, Entry, Entry)) {
    let mut left = Indexed::new(a.spans, a.buckets).enumerate().peekable();
    let mut right = Indexed::new(b.spans, b.buckets).enumerate().skip(skip_b).peekable();
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some((_, (l, _))), Some((_, (r, _)))) => *l.min(r),
            (Some((_, (l, _))), None) => *l,
            (None, Some((_, (r, _)))) => *r,
            (None, None) => return,
        };
        let entry = |(position, (_, count)): (usize, (i32, f64))| (position, count);
        let l = left.next_if(|(_, (index, _))| *index == next).map(entry);
        let r = right.next_if(|(_, (index, _))| *index == next).map(entry);
        visit(next, l, r);
    }
}

/// Bounds that are in both ascending lists.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut common = Vec::new();
    let mut rest = b;
    for bound in a {
        let at = rest.partition_point(|v| v < bound);
        rest = &rest[at..];
        if rest.first() == Some(bound) {
            common.push(*bound);
        }
    }
    common
}

/// Calls `visit(position, target bucket, count)` for each bucket of `h`, where the target is the
/// bucket among `bounds` (a subset of the histogram's) that contains it.
fn map_to_bounds(h: &FloatHistogram, bounds: &[f64], mut visit: impl FnMut(usize, usize, f64)) {
    let buckets = Indexed::new(&h.positive_spans, &h.positive_buckets);
    for (position, (index, count)) in buckets.enumerate() {
        let upper = super::bounds::bound(index, h.schema, &h.custom_values);
        visit(position, bounds.partition_point(|bound| *bound < upper), count);
    }
}
