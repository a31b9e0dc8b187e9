use model::histogram::{CounterResetHint, Span};
use model::is_stale_nan;

use super::*;

/// Values in short: `_`, `stale`, a number, or a histogram in the notation of `test_expression`.
fn show(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Omitted => "_".to_owned(),
        SequenceValue::Float(v) if is_stale_nan(*v) => "stale".to_owned(),
        SequenceValue::Float(v) => v.to_string(),
        SequenceValue::Histogram { histogram, .. } => format!("h{}", histogram.sum),
    }
}

#[test]
fn values_expand() {
    for (input, labels, values) in [
        ("up", r#"{__name__="up"}"#, ""),
        ("up  1 2", r#"{__name__="up"}"#, "1 2"),
        ("{}  1", "{}", "1"),
        (r#"up{a="b"} _ 1 _"#, r#"{__name__="up", a="b"}"#, "_ 1 _"),
        (r#"{"a.b", "c.d"="e"} 1"#, r#"{__name__="a.b", "c.d"="e"}"#, "1"),
        ("up _x3 1x2 stale", r#"{__name__="up"}"#, "_ _ _ 1 1 1 stale"),
        ("up 1+2x3 -1-1x1 1e2", r#"{__name__="up"}"#, "1 3 5 7 -1 -2 100"),
        ("up inf -Inf NaN +.5", r#"{__name__="up"}"#, "inf -inf NaN 0.5"),
        ("up 0x3", r#"{__name__="up"}"#, "0 0 0 0"),
        ("up {{}} {{ sum:1 }}x1 {{sum:3}}+{{sum:2}}x2", r#"{__name__="up"}"#, "h0 h1 h1 h3 h5 h7"),
        ("up {{sum:3}}-{{sum:2}}x1", r#"{__name__="up"}"#, "h3 h1"),
        (r#"sum{job="a"} 1"#, r#"{__name__="sum", job="a"}"#, "1"),
    ] {
        let (found_labels, found) = parse_series_desc(input).unwrap_or_else(|e| panic!("{input}: {e}"));
        assert_eq!(found_labels.to_string(), labels, "{input}");
        assert_eq!(found.iter().map(show).collect::<Vec<_>>().join(" "), values, "{input}");
    }
}

#[test]
fn histograms_have_all_fields() {
    let input = "m {{schema:-53 sum:-0.3 count:3.1 z_bucket:7 z_bucket_w:0.05 buckets:[5.1 10 -7 Inf] offset:-3 \
                 n_buckets:[4 5] n_offset:1 custom_values:[1 2] counter_reset_hint:gauge}}";
    let (_, values) = parse_series_desc(input).unwrap();
    let [SequenceValue::Histogram { histogram, reset_hint_given }] = values.as_slice() else {
        panic!("{values:?}")
    };
    let expected = FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: -53,
        zero_threshold: 0.05,
        zero_count: 7.0,
        count: 3.1,
        sum: -0.3,
        positive_spans: vec![Span { offset: -3, length: 4 }],
        negative_spans: vec![Span { offset: 1, length: 2 }],
        positive_buckets: vec![5.1, 10.0, -7.0, f64::INFINITY],
        negative_buckets: vec![4.0, 5.0],
        custom_values: vec![1.0, 2.0],
    };
    assert_eq!(**histogram, expected);
    assert!(*reset_hint_given);
}

#[test]
fn malformed_descriptions_are_refused() {
    for (input, expected) in [
        (
            "m foo",
            r#"1:3: parse error: unexpected identifier "foo" in series values, expected number or "stale""#,
        ),
        ("m 1x", "1:5: parse error: unexpected end of input in series values"),
        ("m {{sum}}", "1:5: parse error: missing `:` for histogram descriptor"),
        ("m {{foo:1}}", r#"1:5: parse error: bad histogram descriptor found: "foo""#),
        ("m {{sum:1", "1:10: parse error: histogram description incomplete unexpected: '\u{fffd}'"),
        (
            "m {{sum:1 5}}",
            "1:11: parse error: unexpected number \"5\" in histogram description, \
             expected histogram description key, e.g. buckets:[5 10 7]",
        ),
        ("m {{sum:1 sum:2}}", r#"1:11: parse error: duplicate key "sum" in histogram"#),
        ("m _x4194303 1 1", "1:15: parse error: more than 4194304 values in one series"),
        ("m 1x99999999999", "1:5: parse error: more than 4194304 values in one series"),
        (
            "m {{schema:1}}+{{schema:0}}x2",
            "1:29: parse error: error combining histograms: cannot merge from schema 0 to 1",
        ),
        ("m{a=1} 1", "1:5: parse error: unexpected character inside braces: '1'"),
    ] {
        let found = parse_series_desc(input).map(|(_, values)| values.len());
        assert_eq!(found.map_err(|e| e.to_string()), Err(expected.to_owned()), "{input}");
    }
}
