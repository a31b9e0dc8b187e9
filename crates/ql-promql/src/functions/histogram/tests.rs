//! Quantiles and fractions undo each other; native and classic histograms that meet are left out.

use std::sync::Arc;

use model::Labels;
use model::histogram::Span as BucketSpan;
use proptest::prelude::*;

use super::classic::ClassicBucket;
use super::input::Remarks;
use super::*;
use crate::annotations::{Annotations, Severity};
use crate::eval::grid::Grid;

fn native_histograms() -> impl Strategy<Value = FloatHistogram> {
    let counts = || prop::collection::vec((0..6u8).prop_map(f64::from), 1..8);
    (-2..=8, -6..6, counts(), counts(), 0..4u8).prop_map(|(schema, offset, positive, negative, zero)| {
        let span = |counts: &[f64]| vec![BucketSpan { offset, length: counts.len() as u32 }];
        FloatHistogram {
            schema,
            zero_threshold: 1e-9,
            zero_count: f64::from(zero),
            count: positive.iter().chain(&negative).sum::<f64>() + f64::from(zero),
            sum: 1.0,
            positive_spans: span(&positive),
            negative_spans: span(&negative),
            positive_buckets: positive,
            negative_buckets: negative,
            ..FloatHistogram::default()
        }
    })
}

proptest! {
    #[test]
    fn the_fraction_below_a_quantile_is_the_quantile(h in native_histograms(), q in 0.001..0.999f64) {
        prop_assume!(h.count > 0.0);
        let mut remarks = Remarks::default();
        let v = native::quantile(q, &h, &mut remarks);
        let below = native::fraction(f64::NEG_INFINITY, v, &h, &mut remarks);
        prop_assert!((below - q).abs() < 1e-9, "{} of {}: {} below {}", q, h, below, v);
        let above = native::fraction(v, f64::INFINITY, &h, &mut remarks);
        prop_assert!((below + above - 1.0).abs() < 1e-9);
    }

    #[test]
    fn so_it_is_in_classic_histograms(counts in prop::collection::vec(0..9u8, 2..9), q in 0.001..0.999f64) {
        let mut total = 0.0;
        let mut buckets: Vec<ClassicBucket> = counts
            .iter()
            .enumerate()
            .map(|(position, count)| {
                total += f64::from(*count);
                ClassicBucket { upper: (position + 1) as f64, count: total }
            })
            .collect();
        let finite_total = buckets[buckets.len() - 2].count;
        buckets.last_mut().unwrap().upper = f64::INFINITY;
        prop_assume!(total > 0.0);
        let v = classic::quantile(q, &mut buckets, &mut Remarks::default());
        let below = classic::fraction(f64::NEG_INFINITY, v, &buckets);
        let expected = q.min(finite_total / total);
        prop_assert!((below - expected).abs() < 1e-9, "{} of {:?}: {} below {}", q, buckets, below, v);
    }
}

#[test]
fn classic_quantiles_have_their_special_cases() {
    let inf = f64::INFINITY;
    for (q, buckets, expected) in [
        (-0.1, vec![(1.0, 1.0), (inf, 1.0)], f64::NEG_INFINITY),
        (1.1, vec![(1.0, 1.0), (inf, 1.0)], inf),
        (0.5, vec![(1.0, 1.0), (2.0, 1.0)], f64::NAN),
        (0.5, vec![(inf, 1.0)], f64::NAN),
        (0.5, vec![(1.0, 0.0), (inf, 0.0)], f64::NAN),
        (0.5, vec![(-1.0, 10.0), (inf, 10.0)], -1.0),
        (0.99, vec![(1.0, 1.0), (2.0, 2.0), (inf, 100.0)], 2.0),
        (0.5, vec![(1.0, 10.0), (2.0, 5.0), (4.0, 20.0), (inf, 20.0)], 1.0),
    ] {
        let mut buckets: Vec<ClassicBucket> =
            buckets.into_iter().map(|(upper, count)| ClassicBucket { upper, count }).collect();
        let got = classic::quantile(q, &mut buckets, &mut Remarks::default());
        assert!(got == expected || (got.is_nan() && expected.is_nan()), "{q} of {buckets:?}: {got}");
    }
}

/// One step: a native histogram, its classic twin (which they must not both be), another classic
/// histogram, and a row with a malformed bound.
#[test]
fn histograms_that_are_native_and_classic_are_left_out() {
    let mut input = Block::new(2);
    let mut push = |pairs: &[(&str, &str)], count: f64| {
        let row = input.push_row(Labels::from_pairs(pairs.iter().copied()), false);
        for step in 0..2 {
            input.set_float(row, step, count);
        }
        row
    };
    let twin = push(&[("__name__", "x"), ("a", "1"), ("le", "1")], 1.0);
    push(&[("__name__", "x"), ("a", "2"), ("le", "1")], 2.0);
    push(&[("__name__", "x"), ("a", "2"), ("le", "+Inf")], 4.0);
    push(&[("__name__", "x"), ("a", "2"), ("le", "one")], 4.0);
    // The twin has buckets at step 0 only, so that the native histogram counts at step 1.
    input.clear_float(twin, 1);
    let native = input.push_row(Labels::from_pairs([("__name__", "x"), ("a", "1")]), false);
    for step in 0..2 {
        let h = FloatHistogram {
            count: 2.0,
            zero_threshold: 1.0,
            zero_count: 2.0,
            sum: 0.0,
            ..FloatHistogram::default()
        };
        input.set_histogram(native, step, Arc::new(h));
    }

    let mut annotations = Annotations::new();
    let mut context = CallContext {
        grid: Grid { start_ms: 0, step_ms: 1, n_steps: 2 },
        annotations: &mut annotations,
        arg_positions: &[Span::default(); 2],
        delayed_name_removal: true,
    };
    let out = histogram_quantile(&mut context, &[0.5, 0.25], &input);
    assert_eq!(out.n_rows(), 2);
    assert_eq!(out.labels(0).get("a"), Some("1"));
    assert!(!out.has_float(0, 0));
    assert_eq!(out.values(0)[1], -0.5);
    assert_eq!((out.labels(1).get("a"), out.values(1)), (Some("2"), &[1.0, 0.5][..]));
    assert_eq!(
        annotations.rendered(Severity::Warning, "x", 0),
        [
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"one\" for metric name \"x\" (1:1)",
            "PromQL warning: vector contains a mix of classic and native histograms for metric name \"x\" (1:1)",
        ]
    );
}
