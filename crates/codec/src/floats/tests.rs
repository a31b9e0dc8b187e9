use super::*;
use proptest::prelude::*;

/// Round-trips with both efforts and returns the encoded lengths.
fn check(values: &[f64]) -> [usize; 2] {
    [Effort::Hot, Effort::Merge].map(|effort| {
        let mut out = Vec::new();
        encode(&mut out, values, effort);
        let mut back = Vec::new();
        decode_append(&out, values.len(), &mut back).unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values), "{effort:?}");
        out.len()
    })
}

#[test]
fn the_shapes_of_exporters_are_small() {
    assert_eq!(check(&[]), [0, 0]);
    assert!(check(&[1.0; 480])[0] <= 6);
    assert!(check(&[std::f64::consts::PI; 480])[0] <= 12);
    let counter: Vec<f64> = (0..480).map(|i| f64::from(i * 3)).collect();
    assert!(check(&counter)[0] <= 10);
    let cents: Vec<f64> = (0..480).map(|i| f64::from(1_000 + (i * 7919) % 100) / 100.0).collect();
    assert!(check(&cents)[0] <= 480 + 20, "{:?}", check(&cents));
    let stale = f64::from_bits(STALE_BITS);
    let mut ended = counter.clone();
    ended.push(stale);
    assert!(check(&ended)[0] <= 14, "{:?}", check(&ended));
    let noise: Vec<f64> = (0..480).map(|i| f64::from(i).sin()).collect();
    assert!(check(&noise)[1] <= 480 * 8 + 9);
}

#[test]
fn special_values_survive_bit_for_bit() {
    let payload = f64::from_bits(0x7ff8_dead_beef_0001);
    let negative_nan = f64::from_bits(0xfff8_0000_0000_0000);
    let specials = [
        f64::NAN,
        payload,
        negative_nan,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MIN_POSITIVE,
        5e-324,
    ];
    check(&specials);
    for special in specials {
        for at in [0, 1, 50, 99] {
            let mut values: Vec<f64> = (0..100).map(f64::from).collect();
            values[at] = special;
            check(&values);
        }
        check(&[special]);
        check(&[special; 60]);
    }
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1_000_000i64..1_000_000).prop_map(|i| i as f64),
        (-1_000_000i64..1_000_000, 0i32..8).prop_map(|(i, e)| i as f64 / 10f64.powi(e)),
        Just(f64::from_bits(STALE_BITS)),
    ]
}

proptest! {
    #[test]
    fn any_column_round_trips(values in proptest::collection::vec(any_float(), 0..80)) {
        check(&values);
    }

    #[test]
    fn decimal_columns_round_trip(ints in proptest::collection::vec(-100_000i64..100_000, 1..300), e in 0i32..16) {
        check(&ints.iter().map(|i| *i as f64 / 10f64.powi(e)).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_decode_without_panic(
        tag in 0u8..6,
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        n in 0usize..300,
    ) {
        let mut input = vec![tag];
        input.extend_from_slice(&bytes);
        let mut out = vec![1.0];
        let decoded = decode_append(&input, n, &mut out);
        prop_assert_eq!(out.len(), if decoded.is_ok() { n + 1 } else { 1 });
    }

    #[test]
    fn flipped_bits_decode_without_panic(scale in 1.0f64..1e9, flips in proptest::collection::vec(any::<usize>(), 1..4)) {
        let values: Vec<f64> = (0..300).map(|i| (f64::from(i) * scale).sin()).collect();
        let mut out = Vec::new();
        encode(&mut out, &values, Effort::Merge);
        for flip in flips {
            let bit = flip % (out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
        }
        let mut back = Vec::new();
        let _ = decode_append(&out, values.len(), &mut back);
    }
}
