//! Histograms against naive models (maps from bucket to count) and literal cases.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bounds::exponential_bound;
use super::layout::{SpanBuilder, coarser_index};
use super::*;

/// Counts by bucket index; the negative side has the key `false`.
type Model = BTreeMap<(bool, i32), f64>;

fn side(entries: &BTreeMap<i32, f64>) -> (Vec<Span>, Vec<f64>) {
    let mut builder = SpanBuilder::default();
    entries.keys().for_each(|index| builder.push(*index));
    (builder.spans, entries.values().copied().collect())
}

fn histogram(
    schema: i32,
    zero: f64,
    positive: &BTreeMap<i32, f64>,
    negative: &BTreeMap<i32, f64>,
) -> FloatHistogram {
    let (positive_spans, positive_buckets) = side(positive);
    let (negative_spans, negative_buckets) = side(negative);
    let count = zero + positive_buckets.iter().chain(&negative_buckets).sum::<f64>();
    FloatHistogram {
        schema,
        zero_threshold: 1e-200,
        zero_count: zero,
        count,
        sum: count * 1.5,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..FloatHistogram::default()
    }
}

fn counts() -> impl Strategy<Value = BTreeMap<i32, f64>> {
    prop::collection::btree_map(-30..30, (0..6u8).prop_map(f64::from), 0..12)
}

fn histograms() -> impl Strategy<Value = FloatHistogram> {
    (-4..=8, (0..4u8).prop_map(f64::from), counts(), counts())
        .prop_map(|(schema, zero, positive, negative)| histogram(schema, zero, &positive, &negative))
}

/// Histograms whose spans, buckets, bounds and schema need not fit together.
fn garbage() -> impl Strategy<Value = FloatHistogram> {
    let offset = prop_oneof![-3..4i32, Just(i32::MIN), Just(i32::MAX), Just(1 << 12)];
    let spans = || {
        prop::collection::vec(
            (offset.clone(), 0..4u32).prop_map(|(offset, length)| Span { offset, length }),
            0..4,
        )
    };
    let number = || prop_oneof![-2.0..9.0f64, Just(f64::NAN), Just(f64::INFINITY), Just(0.0)];
    let numbers = || prop::collection::vec(number(), 0..6);
    let schema = prop_oneof![-4..=8i32, Just(CUSTOM_BUCKETS_SCHEMA), Just(52), Just(-9), Just(i32::MAX)];
    (schema, number(), number(), spans(), spans(), numbers(), numbers(), numbers()).prop_map(
        |(schema, zero_threshold, sum, positive_spans, negative_spans, positive, negative, custom_values)| {
            FloatHistogram {
                counter_reset_hint: CounterResetHint::Unknown,
                schema,
                zero_threshold,
                zero_count: 1.0,
                count: 5.0,
                sum,
                positive_spans,
                negative_spans,
                positive_buckets: positive,
                negative_buckets: negative,
                custom_values,
            }
        },
    )
}

/// The populated buckets of `h` in a coarser schema.
fn model_of(h: &FloatHistogram, schema: i32) -> Model {
    let mut model = Model::new();
    let sides = [(true, h.iter_positive()), (false, h.iter_negative())];
    for (positive, buckets) in sides {
        for bucket in buckets.filter(|b| b.count != 0.0) {
            *model.entry((positive, coarser_index(bucket.index, h.schema, schema))).or_default() +=
                bucket.count;
        }
    }
    model
}

fn combined(a: &Model, b: &Model, sign: f64) -> Model {
    let mut model = a.clone();
    for (key, count) in b {
        *model.entry(*key).or_default() += sign * count;
    }
    model.retain(|_, count| *count != 0.0);
    model
}

proptest! {
    #[test]
    fn sums_and_differences_are_those_of_the_buckets(a in histograms(), b in histograms()) {
        let schema = a.schema.min(b.schema);
        let (model_a, model_b) = (model_of(&a, schema), model_of(&b, schema));

        let mut sum = a.clone();
        prop_assert_eq!(sum.add(&b), Ok(MergeNotes::default()));
        prop_assert_eq!(sum.schema, schema);
        prop_assert_eq!(model_of(&sum, schema), combined(&model_a, &model_b, 1.0));
        prop_assert_eq!(sum.count, a.count + b.count);
        prop_assert_eq!(sum.zero_count, a.zero_count + b.zero_count);
        prop_assert_eq!(sum.validate(), Ok(()));

        let mut difference = a.clone();
        difference.sub(&b).unwrap();
        prop_assert_eq!(model_of(&difference, schema), combined(&model_a, &model_b, -1.0));

        let mut kahan = HistogramSum::new(a.clone());
        kahan.add(&b).unwrap();
        kahan.add(&a).unwrap();
        let kahan = kahan.finish();
        prop_assert_eq!(model_of(&kahan, schema), combined(&model_of(&sum, schema), &model_a, 1.0));

        let mut mean = HistogramMean::new(a.clone());
        mean.add(&a).unwrap();
        let mut mean = mean.finish();
        let mut expected = a;
        mean.compact(0);
        expected.compact(0);
        prop_assert!(mean.same_data(&expected), "{} is not {}", mean, expected);
    }

    #[test]
    fn invalid_histograms_never_panic(a in garbage(), b in garbage(), at in -5.0..5.0f64, max_empty in 0usize..3) {
        let _ = a.validate();
        let _ = (a.to_string(), a.test_expression(), a.size_bytes(), a.iter_all().rev().count());
        let _ = (a.detect_reset(&b), a.same_data(&b), a.to_classic());
        let (mut sum, mut difference, mut compact, mut coarse) = (a.clone(), a.clone(), a.clone(), a.clone());
        let _ = (sum.add(&b), difference.sub(&b), coarse.reduce_resolution(-4));
        compact.compact(max_empty);
        let mut kahan = HistogramSum::new(a.clone());
        let _ = kahan.add(&b);
        kahan.finish();
        for side in [TrimSide::KeepBelow, TrimSide::KeepAbove] {
            let mut trimmed = a.clone();
            trimmed.trim(side, at);
        }
    }

    #[test]
    fn every_iterator_reversed_is_the_same_backwards(h in histograms()) {
        let all: Vec<Bucket> = h.iter_all().collect();
        let mut backwards: Vec<Bucket> = h.iter_all().rev().collect();
        backwards.reverse();
        prop_assert_eq!(&all, &backwards);
        prop_assert!(all.iter().is_sorted_by(|a, b| a.upper <= b.lower), "ascending, without overlap");
        let total: f64 = all.iter().map(|b| b.count).sum();
        prop_assert_eq!(total, h.count);
    }

    #[test]
    fn compaction_keeps_what_is_populated(h in histograms(), max_empty in 0usize..4) {
        let mut compact = h.clone();
        compact.compact(max_empty);
        prop_assert_eq!(model_of(&compact, h.schema), model_of(&h, h.schema));
        prop_assert_eq!(compact.validate(), Ok(()));
        for (spans, buckets) in [
            (&compact.positive_spans, &compact.positive_buckets),
            (&compact.negative_spans, &compact.negative_buckets),
        ] {
            prop_assert!(spans.iter().skip(1).all(|s| s.offset as usize > max_empty));
            let mut at = 0;
            for span in spans {
                let inside = &buckets[at..at + span.length as usize];
                at += span.length as usize;
                prop_assert!(inside.first() != Some(&0.0) && inside.last() != Some(&0.0));
                let longest = inside.split(|c| *c != 0.0).map(<[f64]>::len).max();
                prop_assert!(longest <= Some(max_empty));
            }
        }
    }

    #[test]
    fn growth_is_no_reset_and_shrinking_is_one(a in histograms(), b in histograms()) {
        let mut grown = a.clone();
        grown.add(&b).unwrap();
        prop_assert!(!grown.detect_reset(&a), "{} after {}", grown, a);
        let shrunk = model_of(&a, grown.schema).into_iter().any(|(_, count)| count > 0.0) || a.zero_count > 0.0;
        if shrunk {
            let mut double = a.clone();
            double.mul(2.0);
            prop_assert!(a.detect_reset(&double));
        }
    }

    #[test]
    fn both_sides_of_a_trim_hold_everything(h in histograms(), at in -40.0..40.0f64) {
        let (mut below, mut above) = (h.clone(), h.clone());
        below.trim(TrimSide::KeepBelow, at);
        above.trim(TrimSide::KeepAbove, at);
        prop_assert!((below.count + above.count - h.count).abs() < 1e-9, "{} and {} of {}", below, above, h);
    }

    #[test]
    fn classic_buckets_survive_the_round_trip(counts in prop::collection::vec(0..5u8, 1..10)) {
        let mut classic = ClassicBuckets::new();
        let mut total = 0.0;
        let last = counts.len() - 1;
        let mut expected = Vec::new();
        for (position, count) in counts.iter().enumerate() {
            total += f64::from(*count);
            let le = if position == last { f64::INFINITY } else { position as f64 };
            classic.set_bucket(le, total).unwrap();
            expected.push(ClassicSeries::Bucket { le, cumulative_count: total });
        }
        classic.set_sum(7.0);
        expected.extend([ClassicSeries::Count(total), ClassicSeries::Sum(7.0)]);
        let native = classic.to_histogram().unwrap();
        prop_assert_eq!(native.to_classic().unwrap(), expected);
    }
}

#[test]
fn bucket_bounds_are_those_of_every_other_implementation() {
    for (schema, index, expected) in [
        (0, 0, 1.0),
        (0, 1, 2.0),
        (0, -1, 0.5),
        (2, 1, 1.189207115002721),
        (3, -7, 0.5452538663326288),
        (8, 1, 1.0027112750502025),
        (-4, 1, 65536.0),
        (-1, -1, 0.25),
        (0, 1023, 2f64.powi(1023)),
        (0, 1024, f64::MAX),
        (0, 1025, f64::INFINITY),
        (-4, 64, f64::MAX),
        (0, -1022, f64::MIN_POSITIVE),
        (0, -1074, 5e-324),
        (0, i32::MIN, 0.0),
        (8, i32::MAX, f64::INFINITY),
    ] {
        assert_eq!(exponential_bound(index, schema), expected, "bucket {index} of schema {schema}");
    }
}

fn custom(bounds: &[f64], buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: buckets.iter().sum(),
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
        positive_buckets: buckets.to_vec(),
        custom_values: bounds.to_vec(),
        ..FloatHistogram::default()
    }
}

#[test]
fn custom_bounds_that_differ_are_reduced_to_the_common_ones() {
    let mut sum = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
    let other = custom(&[2.0, 3.0, 5.0], &[10.0, 20.0, 30.0, 40.0]);
    assert_eq!(sum.add(&other), Ok(MergeNotes { reset_collision: false, bounds_reconciled: true }));
    assert_eq!(
        sum.test_expression(),
        "{{schema:-53 count:110 sum:2 custom_values:[2 3] buckets:[13 23 74]}}"
    );
    assert_eq!(sum.validate(), Ok(()));

    let mut sum = HistogramSum::new(custom(&[1.0, 2.0], &[1.0, 1.0, 1.0]));
    sum.add(&custom(&[5.0], &[1.0, 1.0])).unwrap();
    assert_eq!(sum.finish().test_expression(), "{{schema:-53 count:5 sum:2 custom_values:[] buckets:[5]}}");

    let mut exponential = histogram(0, 0.0, &BTreeMap::from([(0, 1.0)]), &BTreeMap::new());
    assert_eq!(exponential.add(&other), Err(IncompatibleSchemas));

    let before = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 0.0]);
    for (now, reset) in [
        (custom(&[1.0, 3.0], &[1.0, 5.0, 0.0]), false),
        (custom(&[2.0, 3.0], &[3.0, 3.0, 1.0]), false),
        (custom(&[2.0, 3.0], &[2.0, 4.0, 1.0]), true),
        (custom(&[], &[6.0]), false),
        (custom(&[], &[5.0]), true),
    ] {
        assert_eq!(now.detect_reset(&before), reset, "{now}");
    }
}

#[test]
fn zero_buckets_are_widened_to_the_end_of_a_populated_bucket() {
    let mut a =
        histogram(0, 1.0, &BTreeMap::from([(-2, 2.0), (-1, 3.0), (3, 4.0)]), &BTreeMap::from([(0, 5.0)]));
    let mut b = histogram(0, 1.0, &BTreeMap::from([(-2, 1.0), (2, 1.0)]), &BTreeMap::new());
    b.zero_threshold = 0.3;
    // 0.3 is within (0.25, 0.5], which is populated in `a`, so the zero bucket grows to 0.5. That
    // of `b` then takes in its bucket of that index, too.
    for (mut first, second) in [(a.clone(), b.clone()), (b.clone(), a.clone())] {
        first.add(&second).unwrap();
        assert_eq!((first.zero_threshold, first.zero_count), (0.5, 8.0));
        first.compact(0);
        assert_eq!(first.to_string(), "{count:18, sum:27, [-1,-0.5):5, [-0.5,0.5]:8, (2,4]:1, (4,8]:4}");
    }
    a.zero_threshold = 0.25;
    assert!(!b.detect_reset(&b.clone()));
    assert!(a.detect_reset(&b), "the zero threshold has decreased");
}

#[test]
fn hints_of_sums_are_cautious() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    for (a, b, expected, collision) in [
        (Unknown, Reset, Unknown, false),
        (Reset, Unknown, Unknown, false),
        (Reset, Reset, Reset, false),
        (Reset, NotReset, Unknown, true),
        (NotReset, Reset, Unknown, true),
        (Gauge, Reset, Gauge, false),
        (Unknown, Gauge, Gauge, false),
    ] {
        let mut sum = FloatHistogram { counter_reset_hint: a, ..FloatHistogram::default() };
        let other = FloatHistogram { counter_reset_hint: b, ..FloatHistogram::default() };
        assert_eq!(sum.add(&other).map(|notes| notes.reset_collision), Ok(collision), "{a:?} + {b:?}");
        assert_eq!(sum.counter_reset_hint, expected, "{a:?} + {b:?}");
    }
}

#[test]
fn invalid_histograms_are_refused_with_upstreams_texts() {
    let spans = |offsets: &[(i32, u32)]| -> Vec<Span> {
        offsets.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    };
    let base = || FloatHistogram { count: 9.0, ..FloatHistogram::default() };
    for (h, expected) in [
        (
            FloatHistogram { schema: 9, ..base() },
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema 9",
        ),
        (
            FloatHistogram {
                positive_spans: spans(&[(0, 1), (-1, 1)]),
                positive_buckets: vec![1.0, 1.0],
                ..base()
            },
            "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
        ),
        (
            FloatHistogram { negative_spans: spans(&[(-3, 2)]), negative_buckets: vec![1.0], ..base() },
            "negative side: spans need 2 buckets, have 1 buckets: histogram spans specify different number of buckets than provided",
        ),
        (
            FloatHistogram { positive_spans: spans(&[(0, 2)]), positive_buckets: vec![1.0, -1.5], ..base() },
            "positive side: bucket number 2 has observation count of -1.5: histogram has a bucket whose observation count is negative",
        ),
        (
            FloatHistogram { count: -1.0, ..base() },
            "observation count is  -1: histogram's observation count is negative",
        ),
        (
            FloatHistogram { zero_count: -1.0, ..base() },
            "zero bucket has observation count of -1: histogram has a bucket whose observation count is negative",
        ),
        (
            FloatHistogram { custom_values: vec![1.0], ..base() },
            "histogram with exponential schema must not have custom bounds",
        ),
        (
            FloatHistogram { zero_count: 1.0, ..custom(&[1.0], &[1.0, 1.0]) },
            "custom buckets: must have zero count of 0",
        ),
        (
            custom(&[1.0, 1.0], &[1.0]),
            "custom buckets: previous bound is 1.000000 and current is 1.000000: histogram custom bounds must be in strictly increasing order",
        ),
        (
            custom(&[1.0], &[1.0, 1.0, 1.0]),
            "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3: histogram custom bounds are too few",
        ),
        (
            custom(&[f64::INFINITY], &[1.0]),
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
        ),
        (custom(&[f64::NAN], &[1.0]), "custom buckets: histogram custom bounds must not be NaN"),
    ] {
        assert_eq!(h.validate().unwrap_err().to_string(), expected);
    }
    let integer = |count, sum| IntegerHistogram {
        count,
        sum,
        zero_count: 1,
        positive_spans: spans(&[(0, 3)]),
        positive_deltas: vec![2, 1, -1],
        ..IntegerHistogram::default()
    };
    assert_eq!(integer(8, 1.0).validate(), Ok(()));
    assert_eq!(integer(9, f64::NAN).validate(), Ok(()));
    assert_eq!(integer(9, 1.0).validate(), Err(HistogramError::CountMismatch { buckets: 8, count: 9 }));
    assert_eq!(
        integer(7, f64::NAN).validate(),
        Err(HistogramError::CountNotBigEnough { buckets: 8, count: 7 })
    );
    assert_eq!(integer(8, 1.0).to_float().positive_buckets, [2.0, 3.0, 2.0]);
}

#[test]
fn classic_series_that_contradict_each_other_are_refused() {
    let mut classic = ClassicBuckets::new();
    classic.set_bucket(2.0, 5.0).unwrap();
    let texts = [
        classic.clone().set_bucket(1.0, 6.0).unwrap_err().to_string(),
        classic.clone().set_bucket(3.0, 4.0).unwrap_err().to_string(),
        classic.clone().set_bucket(3.0, -1.0).unwrap_err().to_string(),
        classic.clone().set_bucket(f64::NAN, 1.0).unwrap_err().to_string(),
    ];
    assert_eq!(
        texts,
        [
            "count is not cumulative: 6 > 5",
            "count is not cumulative: 4 < 5",
            "bucket count must be non-negative: le=3, count=-1",
            "bucket boundary must not be NaN",
        ]
    );
    classic.set_bucket(2.0, 100.0).unwrap();
    classic.set_bucket(f64::INFINITY, 7.0).unwrap();
    classic.set_count(8.0).unwrap();
    assert_eq!(classic.to_histogram().unwrap_err().to_string(), "count mismatch: count=8 != le=+Inf count=7");
    assert_eq!([1.0, 0.25, 1e6, -0.0].map(ClassicSeries::le_text), ["1.0", "0.25", "1e+06", "0.0"]);
    assert_eq!(split_classic_name("x_bucket"), Some(("x", ClassicSuffix::Bucket)));
    assert_eq!(split_classic_name("x_total"), None);
}

#[test]
fn means_that_overflow_as_sums_are_taken_incrementally() {
    let mut h = histogram(0, 0.0, &BTreeMap::from([(0, 1.0)]), &BTreeMap::new());
    h.mul(f64::MAX);
    let mut mean = HistogramMean::new(h.clone());
    mean.add(&h).unwrap();
    mean.add(&h).unwrap();
    let count = mean.finish().count;
    assert!((count / f64::MAX - 1.0).abs() < 1e-15, "{count}");
}
