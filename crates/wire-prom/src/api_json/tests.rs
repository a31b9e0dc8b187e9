use super::*;
use model::histogram::Span;

fn text(write: impl FnOnce(&mut JsonWriter)) -> String {
    let mut writer = JsonWriter::new();
    write(&mut writer);
    String::from_utf8(writer.finish()).unwrap()
}

#[test]
fn timestamps_and_values_are_written_as_upstream_writes_them() {
    for (t, expected) in [
        (0, "0"),
        (1, "0.001"),
        (10, "0.010"),
        (100, "0.100"),
        (1000, "1"),
        (1100, "1.100"),
        (-1500, "-1.500"),
    ] {
        assert_eq!(text(|w| w.timestamp(t)), expected);
    }
    for (v, expected) in [
        (0.0, "\"0\""),
        (-0.0, "\"-0\""),
        (-7.0, "\"-7\""),
        (9_007_199_254_740_991.0, "\"9007199254740991\""),
        (9_007_199_254_740_994.0, "\"9007199254740994\""),
        (1e20, "\"100000000000000000000\""),
        (1e21, "\"1e+21\""),
        (1e-7, "\"1e-07\""),
        (-0.5, "\"-0.5\""),
        (f64::NAN, "\"NaN\""),
        (f64::INFINITY, "\"+Inf\""),
    ] {
        assert_eq!(text(|w| w.value(v)), expected);
    }
}

#[test]
fn samples_have_upstreams_shape() {
    let labels = Labels::from_pairs([("__name__", "up"), ("q", "a\"<b>\u{1}")]);
    let h = FloatHistogram {
        schema: 0,
        zero_threshold: 0.5,
        zero_count: 2.0,
        count: 5.0,
        sum: 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![3.0, 0.0],
        ..FloatHistogram::default()
    };
    let metric = r#"{"__name__":"up","q":"a\"<b>\u0001"}"#;
    let histogram = r#"{"count":"5","sum":"1.5","buckets":[[3,"-0.5","0.5","2"],[0,"0.5","1","3"]]}"#;
    assert_eq!(
        text(|w| w.vector_sample(&labels, 1000, SampleValue::Float(1.0))),
        format!(r#"{{"metric":{metric},"value":[1,"1"]}}"#)
    );
    assert_eq!(
        text(|w| w.vector_sample(&labels, 1000, SampleValue::Histogram(&h))),
        format!(r#"{{"metric":{metric},"histogram":[1,{histogram}]}}"#)
    );
    assert_eq!(
        text(|w| w.matrix_series(&labels, [(1000, 1.0), (2000, 2.0)], [(3000, &h)])),
        format!(r#"{{"metric":{metric},"values":[[1,"1"],[2,"2"]],"histograms":[[3,{histogram}]]}}"#)
    );
    assert_eq!(text(|w| w.matrix_series(&Labels::empty(), [], [])), r#"{"metric":{}}"#);
}

#[test]
fn envelopes_have_upstreams_shape() {
    let none: [&str; 0] = [];
    let answer = success(|w| write_scalar(w, 1_100, 1e21), &none, &["look"]);
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        r#"{"status":"success","data":{"resultType":"scalar","result":[1.1,"1000000000000000000000"]},"infos":["look"]}"#
    );
    let answer = success(|w| write_string(w, 0, "x"), &["careful"], &none);
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        r#"{"status":"success","data":{"resultType":"string","result":[0,"x"]},"warnings":["careful"]}"#
    );
    assert_eq!(
        String::from_utf8(error(ErrorType::BadData, "a <b>")).unwrap(),
        r#"{"status":"error","errorType":"bad_data","error":"a \u003cb\u003e"}"#
    );
}

#[test]
fn what_is_written_is_json() {
    let mut rng = base::Rng::new(5);
    for _ in 0..500 {
        let random: String =
            (0..rng.below(20)).filter_map(|_| char::from_u32(rng.below(0x3000) as u32)).collect();
        for json in [text(|w| w.string(&random)), text(|w| w.labels(&Labels::from_pairs([("a", &random)])))] {
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            let read =
                if value.is_string() { &value } else { value.get("a").unwrap_or(&serde_json::Value::Null) };
            assert_eq!(read.as_str().unwrap_or(""), random);
        }
    }
}
