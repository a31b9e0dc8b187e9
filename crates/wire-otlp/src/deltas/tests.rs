use std::collections::BTreeMap;

use super::*;
use crate::request::{Attributes, Buckets, ResourceMetrics, ScopeMetrics, Value};

const S: u64 = 1_000_000_000;

/// Remembers everything.
#[derive(Debug, Default)]
struct Memory(BTreeMap<StreamId, RunningTotal>);

impl DeltaStreams for Memory {
    fn add(&mut self, id: StreamId, delta: RunningTotal) -> Result<&RunningTotal, DeltaDrop> {
        if let Some(total) = self.0.get_mut(&id) {
            total.add(delta)?;
        } else {
            self.0.insert(id, delta);
        }
        Ok(&self.0[&id])
    }

    fn end(&mut self, id: StreamId) {
        self.0.remove(&id);
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), Value::Text((*v).to_owned()))).collect()
}

fn request(data: Data) -> ExportRequest {
    let metric = Metric { name: "m".to_owned(), data, ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    ExportRequest { resources: vec![ResourceMetrics { scopes: vec![scope], ..ResourceMetrics::default() }] }
}

fn point(start_s: u64, time_s: u64) -> Point {
    Point { start_ns: start_s * S, time_ns: time_s * S, ..Point::default() }
}

fn sum(points: Vec<NumberPoint>) -> ExportRequest {
    request(Data::Sum { points, temporality: Temporality::Delta, is_monotonic: true })
}

/// The data of the request's only metric, if there is any.
fn data(request: &ExportRequest) -> Option<&Data> {
    request.resources[0].scopes[0].metrics.first().map(|metric| &metric.data)
}

#[test]
fn deltas_add_up_from_the_start_of_their_stream() {
    // Start, time and value of each delta, each in a request of its own; then what becomes of it.
    let check = |deltas: &[(u64, u64, i64)], expected: &[&str]| {
        let mut streams = Memory::default();
        let mut found = Vec::new();
        for (start_s, time_s, value) in deltas {
            let mut request =
                sum(vec![NumberPoint { point: point(*start_s, *time_s), value: Number::Int(*value) }]);
            let dropped = request.accumulate(&mut streams);
            assert!(!request.has_delta());
            found.push(match data(&request) {
                Some(Data::Sum { points, .. }) => {
                    let p = &points[0];
                    format!("{}..{} {}", p.point.start_ns / S, p.point.time_ns / S, p.value.to_f64())
                }
                _ => dropped[0].cause.reason().to_owned(),
            });
        }
        assert_eq!(found, expected, "{deltas:?}");
    };
    check(&[(0, 10, 1), (10, 20, 2), (20, 30, 3)], &["0..10 1", "0..20 3", "0..30 6"]);
    // Deltas that were lost on the way are not guessed at.
    check(&[(5, 10, 1), (30, 40, 2)], &["5..10 1", "5..40 3"]);
    check(
        &[(0, 10, 1), (10, 20, 2), (5, 15, 4), (20, 30, 1)],
        &["0..10 1", "0..20 3", "out of order", "0..30 4"],
    );
    check(&[(0, 10, 1), (0, 10, 1), (0, 11, 1)], &["0..10 1", "out of order", "0..11 2"]);
    check(&[(10, 20, 1), (5, 30, 1), (10, 30, 1)], &["10..20 1", "older start", "10..30 2"]);
    // A process that started again goes on: its deltas are still what was new.
    check(&[(0, 10, 7), (12, 20, 1)], &["0..10 7", "0..20 8"]);
    // Without times there is nothing to add to.
    check(&[(0, 0, 7), (0, 10, 1), (0, 20, 1)], &["0..0 7", "0..10 1", "0..20 2"]);
    check(&[(0, 10, 1), (10, 20, -3)], &["0..10 1", "0..20 -2"]);
}

#[test]
fn whole_numbers_stay_exact() {
    let check = |values: &[Number], expected: Number| {
        let mut streams = Memory::default();
        let mut last = Number::default();
        for (value, n) in values.iter().zip(1..) {
            let mut request = sum(vec![NumberPoint { point: point(0, n), value: *value }]);
            assert!(request.accumulate(&mut streams).is_empty());
            let Some(Data::Sum { points, .. }) = data(&request) else { panic!("the point is there") };
            last = points[0].value;
        }
        assert_eq!(last, expected, "{values:?}");
    };
    let large = 1i64 << 53;
    check(&[Number::Int(large), Number::Int(1), Number::Int(1)], Number::Int(large + 2));
    check(&[Number::Double(0.5), Number::Double(0.25)], Number::Double(0.75));
    check(&[Number::Double(0.5), Number::default()], Number::Double(0.5));
    check(&[Number::Int(2), Number::Double(0.5)], Number::Double(2.5));
}

#[test]
fn streams_are_told_apart_by_everything_that_names_them() {
    let of = |change: &dyn Fn(&mut ExportRequest)| {
        let mut request = sum(vec![NumberPoint {
            point: Point { attributes: attributes(&[("a", "1"), ("b", "2")]), ..point(0, 10) },
            value: Number::Int(1),
        }]);
        change(&mut request);
        request
    };
    fn first(request: &mut ExportRequest) -> &mut NumberPoint {
        match &mut request.resources[0].scopes[0].metrics[0].data {
            Data::Sum { points, .. } => &mut points[0],
            _ => panic!("it is a sum"),
        }
    }
    let mut streams = Memory::default();
    let others: [&dyn Fn(&mut ExportRequest); 9] = [
        &|_| {},
        &|r| r.resources[0].attributes = attributes(&[("host", "h")]),
        &|r| r.resources[0].scopes[0].name = "s".to_owned(),
        &|r| r.resources[0].scopes[0].version = "s".to_owned(),
        &|r| r.resources[0].scopes[0].attributes = attributes(&[("host", "h")]),
        &|r| r.resources[0].scopes[0].metrics[0].unit = "s".to_owned(),
        &|r| first(r).point.attributes = attributes(&[("a", "12"), ("b", "")]),
        &|r| {
            first(r).point.attributes =
                vec![("a".to_owned(), Value::Int(1)), ("b".to_owned(), Value::Int(2))];
        },
        &|r| {
            if let Data::Sum { is_monotonic, .. } = &mut r.resources[0].scopes[0].metrics[0].data {
                *is_monotonic = false;
            }
        },
    ];
    for (change, n) in others.iter().zip(1..) {
        assert!(of(change).accumulate(&mut streams).is_empty());
        assert_eq!(streams.0.len(), n);
    }
    // In another order they are the same attributes.
    let mut again =
        of(&|r| first(r).point = Point { attributes: attributes(&[("b", "2"), ("a", "1")]), ..point(0, 11) });
    assert!(again.accumulate(&mut streams).is_empty());
    assert_eq!((streams.0.len(), first(&mut again).value), (others.len(), Number::Int(2)));
}

#[test]
fn a_marker_of_staleness_ends_its_stream() {
    let mut streams = Memory::default();
    let send = |streams: &mut Memory, time_s: u64, flags: u32, value: i64| {
        let point = Point { flags, ..point(time_s - 10, time_s) };
        let mut request = sum(vec![NumberPoint { point, value: Number::Int(value) }]);
        assert!(request.accumulate(streams).is_empty());
        let Some(Data::Sum { points, .. }) = data(&request) else { panic!("the point is there") };
        (points[0].point.start_ns / S, points[0].point.is_stale(), points[0].value)
    };
    assert_eq!(send(&mut streams, 10, 0, 5), (0, false, Number::Int(5)));
    assert_eq!(send(&mut streams, 20, 1, 0), (10, true, Number::Int(0)));
    assert_eq!(send(&mut streams, 30, 0, 2), (20, false, Number::Int(2)));
}

#[test]
fn what_is_no_delta_is_left_alone() {
    let points = vec![NumberPoint { point: point(0, 10), value: Number::Int(1) }];
    for data in [
        Data::None,
        Data::Gauge(points.clone()),
        Data::Sum { points: points.clone(), temporality: Temporality::Cumulative, is_monotonic: true },
        Data::Sum { points, temporality: Temporality::Unspecified, is_monotonic: true },
    ] {
        let mut accumulated = request(data.clone());
        let mut streams = Memory::default();
        assert!(accumulated.accumulate(&mut streams).is_empty() && streams.0.is_empty());
        assert_eq!(accumulated, request(data));
    }
}

#[test]
fn histograms_add_up_while_their_bounds_are_the_same() {
    let delta = |start_s: u64, counts: &[u64], bounds: &[f64], sum: Option<f64>| HistogramPoint {
        point: point(start_s, start_s + 10),
        count: counts.iter().sum(),
        sum,
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
    };
    let mut streams = Memory::default();
    for (sent, start_s, counts, sum) in [
        (delta(0, &[1, 2, 3], &[1.0, 2.0], Some(9.0)), 0, vec![1, 2, 3], Some(9.0)),
        (delta(10, &[1, 0, 1], &[1.0, 2.0], Some(4.0)), 0, vec![2, 2, 4], Some(13.0)),
        (delta(20, &[5, 5], &[1.0], Some(2.0)), 20, vec![5, 5], Some(2.0)),
        (delta(30, &[1, 0], &[1.0], None), 20, vec![6, 5], None),
        (delta(40, &[1, 0], &[1.0], Some(1.0)), 20, vec![7, 5], None),
    ] {
        let mut request =
            request(Data::Histogram { points: vec![sent.clone()], temporality: Temporality::Delta });
        assert!(request.accumulate(&mut streams).is_empty());
        let Some(Data::Histogram { points, .. }) = data(&request) else { panic!("the point is there") };
        let p = &points[0];
        assert_eq!(
            (p.point.start_ns / S, p.count, &p.bucket_counts, p.sum),
            (start_s, counts.iter().sum(), &counts, sum),
            "{sent:?}"
        );
    }
}

fn exponential(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint {
    ExponentialPoint {
        count: counts.iter().sum(),
        sum: Some(1.0),
        scale,
        positive: Buckets { offset, counts: counts.to_vec() },
        ..ExponentialPoint::default()
    }
}

/// What is counted, by the index of its bucket, without what is empty.
fn by_index(buckets: &Buckets, steps: u32) -> BTreeMap<i64, u64> {
    let mut out = BTreeMap::new();
    for (count, at) in buckets.counts.iter().zip(0i64..) {
        if *count > 0 {
            *out.entry((i64::from(buckets.offset) + at) >> steps).or_default() += count;
        }
    }
    out
}

#[test]
fn exponential_histograms_add_up_at_the_coarser_scale() {
    let check = |a: ExponentialPoint, b: ExponentialPoint, scale: i32, expected: &[(i64, u64)]| {
        for (mut total, delta) in [(a.clone(), b.clone()), (b, a)] {
            super::exponential::add(&mut total, delta);
            let found: Vec<(i64, u64)> = by_index(&total.positive, 0).into_iter().collect();
            assert_eq!((total.scale, &found[..]), (scale, expected));
            assert_eq!((total.count, total.sum), (expected.iter().map(|(_, n)| n).sum(), Some(2.0)));
        }
    };
    check(exponential(3, 0, &[1, 2]), exponential(3, 1, &[4, 8]), 3, &[(0, 1), (1, 6), (2, 8)]);
    check(exponential(3, -3, &[1, 2, 4]), exponential(2, -2, &[8, 16]), 2, &[(-2, 9), (-1, 22)]);
    check(exponential(3, 5, &[]), exponential(3, 7, &[1]), 3, &[(7, 1)]);
    check(exponential(3, 0, &[0, 0]), exponential(3, 0, &[0]), 3, &[]);
    // 160 buckets are allowed, 161 are not.
    check(exponential(3, 0, &[1]), exponential(3, 159, &[1]), 3, &[(0, 1), (159, 1)]);
    check(exponential(3, 0, &[1]), exponential(3, 160, &[1]), 2, &[(0, 1), (80, 1)]);
    // The farthest that a sender can ask for takes no memory to speak of.
    let far = [i32::MIN, i32::MAX].map(|offset| exponential(20, offset, &[1]));
    let [mut total, delta] = far;
    super::exponential::add(&mut total, delta);
    assert!(total.positive.counts.len() <= 162 && total.count == 2, "{total:?}");
    let [mut total, delta] = [i32::MIN, i32::MAX].map(|scale| exponential(scale, 3, &[1, 1]));
    super::exponential::add(&mut total, delta);
    assert_eq!((total.scale, total.positive.counts.iter().sum::<u64>()), (i32::MIN, 4));
}

#[test]
fn a_sum_of_exponential_histograms_has_each_count_where_it_belongs() {
    let mut random = base::Rng::new(7);
    let mut below = |n: u64| random.next_u64() % n;
    for _ in 0..500 {
        let [a, b] = [(); 2].map(|()| {
            let scale = i32::try_from(below(12)).unwrap() - 2;
            let mut buckets = || Buckets {
                offset: i32::try_from(below(600)).unwrap() - 300,
                counts: (0..below(100)).map(|_| below(3)).collect(),
            };
            ExponentialPoint {
                scale,
                positive: buckets(),
                negative: buckets(),
                ..ExponentialPoint::default()
            }
        });
        let mut total = a.clone();
        super::exponential::add(&mut total, b.clone());
        for side in [|p: &ExponentialPoint| p.positive.clone(), |p: &ExponentialPoint| p.negative.clone()] {
            let mut expected = BTreeMap::new();
            for source in [&a, &b] {
                let steps = u32::try_from(source.scale - total.scale).unwrap();
                for (index, count) in by_index(&side(source), steps) {
                    *expected.entry(index).or_default() += count;
                }
            }
            assert_eq!(by_index(&side(&total), 0), expected, "{a:?} {b:?}");
            assert!(side(&total).counts.len() <= 162);
        }
    }
}

#[test]
fn the_wider_zero_bucket_takes_what_lies_within_it() {
    // At scale 0, bucket 0 is (1, 2] and bucket 1 is (2, 4].
    for (width, scale, zero_count, expected) in [
        (0.5, 0, 0, vec![(0, 1), (1, 2), (2, 4)]),
        (2.0, 0, 1, vec![(1, 2), (2, 4)]),
        (3.0, 0, 3, vec![(2, 4)]),
        (100.0, 0, 7, vec![]),
        (f64::NAN, 0, 0, vec![(0, 1), (1, 2), (2, 4)]),
        (f64::INFINITY, 0, 0, vec![(0, 1), (1, 2), (2, 4)]),
        (2.0, -1, 1, vec![(1, 2), (2, 4)]),
    ] {
        let narrow = exponential(scale, 0, &[1, 2, 4]);
        let wide = ExponentialPoint { zero_threshold: width, ..exponential(scale, 0, &[]) };
        for (mut total, delta) in [(narrow.clone(), wide.clone()), (wide, narrow)] {
            super::exponential::add(&mut total, delta);
            let found: Vec<(i64, u64)> = by_index(&total.positive, 0).into_iter().collect();
            assert_eq!((total.zero_count, found, total.count), (zero_count, expected.clone(), 7), "{width}");
        }
    }
}
