//! Adding exponential histograms: at the coarser of both scales, and coarser still where the sum
//! would have too many buckets.

use crate::deltas::add_sums;
use crate::request::{Buckets, ExponentialPoint};

/// Buckets of one sign that a sum has before it is made coarser.
const BUCKETS_MAX: i64 = 160;

/// Adds the values of `delta`; times are the caller's.
pub(super) fn add(total: &mut ExponentialPoint, mut delta: ExponentialPoint) {
    let common = total.scale.min(delta.scale);
    let scale = scale_within_limit(common, &total.positive, &delta.positive, total.scale, delta.scale)
        .min(scale_within_limit(common, &total.negative, &delta.negative, total.scale, delta.scale));
    make_coarser(total, scale);
    make_coarser(&mut delta, scale);
    if total.zero_threshold < delta.zero_threshold {
        widen_zero(total, delta.zero_threshold);
    } else if delta.zero_threshold < total.zero_threshold {
        widen_zero(&mut delta, total.zero_threshold);
    }
    merge(&mut total.positive, delta.positive);
    merge(&mut total.negative, delta.negative);
    total.count = total.count.saturating_add(delta.count);
    total.zero_count = total.zero_count.saturating_add(delta.zero_count);
    total.sum = add_sums(total.sum, delta.sum);
}

/// The indices of the buckets that are not empty: the first, and one past the last.
fn occupied(buckets: &Buckets) -> Option<(i64, i64)> {
    let first = buckets.counts.iter().position(|count| *count > 0)?;
    let last = buckets.counts.iter().rposition(|count| *count > 0)?;
    let at = |position: usize| i64::from(buckets.offset) + i64::try_from(position).unwrap_or(i64::MAX);
    Some((at(first), at(last) + 1))
}

/// An index at a scale that is coarser by so many steps.
fn coarser(index: i64, steps: u32) -> i64 {
    // After 63 steps every index is 0 or -1.
    index >> steps.min(63)
}

fn steps(from: i32, to: i32) -> u32 {
    u32::try_from(i64::from(from) - i64::from(to)).unwrap_or(0)
}

/// The finest scale, from `common` on, at which both together have few enough buckets.
fn scale_within_limit(common: i32, a: &Buckets, b: &Buckets, a_scale: i32, b_scale: i32) -> i32 {
    let at_common = |buckets: &Buckets, scale: i32| {
        let steps = steps(scale, common);
        occupied(buckets).map(|(first, end)| (coarser(first, steps), coarser(end - 1, steps) + 1))
    };
    let ranges = [at_common(a, a_scale), at_common(b, b_scale)];
    let ranges = ranges.into_iter().flatten();
    let Some((mut first, mut end)) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
        return common;
    };
    let mut scale = common;
    while end - first > BUCKETS_MAX {
        // Towards zero, as upstream, so that both choose the same scale.
        (first, end) = (first / 2, end / 2);
        scale = scale.saturating_sub(1);
    }
    scale
}

fn make_coarser(p: &mut ExponentialPoint, scale: i32) {
    let steps = steps(p.scale, scale);
    if steps > 0 {
        collapse(&mut p.positive, steps);
        collapse(&mut p.negative, steps);
        p.scale = scale;
    }
}

/// Makes one bucket of 2^`steps` at a time, aligned to index 0.
fn collapse(buckets: &mut Buckets, steps: u32) {
    let Some((first, end)) = occupied(buckets) else {
        *buckets = Buckets::default();
        return;
    };
    let (new_first, new_last) = (coarser(first, steps), coarser(end - 1, steps));
    let mut counts = vec![0u64; usize::try_from(new_last - new_first + 1).unwrap_or(0)];
    add_to(&mut counts, new_first, buckets, steps);
    *buckets = Buckets { offset: offset_of(new_first), counts };
}

/// Adds buckets, made coarser by so many steps, to counts whose first is of the index `first`.
fn add_to(counts: &mut [u64], first: i64, buckets: &Buckets, steps: u32) {
    for (index, count) in (i64::from(buckets.offset)..).zip(&buckets.counts) {
        let slot = usize::try_from(coarser(index, steps) - first).ok();
        if let Some(slot) = slot.and_then(|at| counts.get_mut(at)) {
            *slot = slot.saturating_add(*count);
        }
    }
}

fn offset_of(index: i64) -> i32 {
    i32::try_from(index).unwrap_or(if index < 0 { i32::MIN } else { i32::MAX })
}

/// The sum of both, without empty buckets at its ends.
fn merge(total: &mut Buckets, delta: Buckets) {
    let Some(of_delta) = occupied(&delta) else { return };
    let Some(of_total) = occupied(total) else {
        *total = delta;
        return;
    };
    let (first, end) = (of_delta.0.min(of_total.0), of_delta.1.max(of_total.1));
    let mut counts = vec![0u64; usize::try_from(end - first).unwrap_or(0)];
    for buckets in [&*total, &delta] {
        add_to(&mut counts, first, buckets, 0);
    }
    *total = Buckets { offset: offset_of(first), counts };
}

/// Moves every bucket that begins within `width` of zero into the zero bucket, which becomes as wide
/// as the last of them reaches.
fn widen_zero(p: &mut ExponentialPoint, width: f64) {
    if !(width > 0.0 && width.is_finite()) {
        return;
    }
    let last = index_of(width, p.scale);
    for buckets in [&mut p.positive, &mut p.negative] {
        let first = i64::from(buckets.offset);
        let n_within = usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0);
        let within: Vec<u64> = buckets.counts.drain(..n_within.min(buckets.counts.len())).collect();
        buckets.offset = offset_of(first + i64::try_from(within.len()).unwrap_or(i64::MAX));
        p.zero_count = within.iter().fold(p.zero_count, |sum, count| sum.saturating_add(*count));
    }
    p.zero_threshold =
        ((last.saturating_add(1)) as f64 * std::f64::consts::LN_2 * (-f64::from(p.scale)).exp2()).exp();
}

/// The bucket that a positive value belongs to: those above 2^(index/2^scale), up to the next.
fn index_of(value: f64, scale: i32) -> i64 {
    let log2 = value.log2();
    let is_power_of_two = log2.fract() == 0.0 && log2.exp2().to_bits() == value.to_bits();
    match scale {
        // Powers of two are upper bounds, which the logarithm may miss.
        0.. if is_power_of_two => ((log2 * f64::from(scale).exp2()) as i64).saturating_sub(1),
        _ if is_power_of_two => coarser(log2 as i64 - 1, scale.unsigned_abs()),
        _ => (value.ln() * std::f64::consts::LOG2_E * f64::from(scale).exp2()).floor() as i64,
    }
}
