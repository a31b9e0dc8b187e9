//! What the parsers make of small expositions.

use super::*;

fn check(body: &str, format: Format, options: ParserOptions, expected: &str) {
    let got = listing(body.as_bytes(), format, options);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(got.lines().collect::<Vec<_>>(), expected, "{body}");
}

#[test]
fn text_entries() {
    check(
        "# HELP m a \\\"quoted\\\" \\n help\n# TYPE m summary\nm{quantile=\"0\",a=\"x\\\"y\\\\\\n\\q\",} 1.5 123\n\n#plain comment\n# other\n{\"http.dot\",\"a b\"=\"c\"} NaN\nm_sum 1e3\nm{quantile=\"x\"} +Inf -\n",
        Format::Text,
        ParserOptions::default(),
        r#"
        help m "a \\\"quoted\\\" \n help"
        type m summary
        {__name__="m", a="x\"y\\\n\\q", quantile="0.0"} = 1.5 @123
        comment #plain comment
        comment # other
        {__name__="http.dot", "a b"="c"} = NaN
        {__name__="m_sum"} = 1000
        error expected timestamp or new record, got "-" ("INVALID") while parsing: "m{quantile=\"x\"} +Inf -"
        "#,
    );
    check(
        "a{b=\"1\",b=\"2\"} 1\n{\"\u{e9}\"} 2",
        Format::Text,
        ParserOptions::default(),
        r#"
        labels label name "b" is not unique: invalid sample
        {__name__="é"} = 2
        "#,
    );
}

#[test]
fn type_and_unit_become_labels() {
    let options = ParserOptions { type_and_unit_labels: true, ..ParserOptions::default() };
    check(
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{__type__=\"x\",l=\"1\"} 1\n# EOF",
        Format::OpenMetrics,
        options,
        r#"
        type a_seconds counter
        unit a_seconds seconds
        {__name__="a_seconds_total", __type__="counter", __unit__="seconds", l="1"} = 1
        "#,
    );
}

#[test]
fn openmetrics_entries_with_exemplars_and_start_timestamps() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 2 # {trace=\"x\"} 0.5 1.5\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 4\nh_created 1520872607.123\n# TYPE c counter\nc_total{a=\"1\"} 17 100.5\nc_created{a=\"1\"} 1\nc_total{a=\"2\"} 18\n# TYPE g gauge\ng_created 5\n# EOF\n";
    check(
        body,
        Format::OpenMetrics,
        ParserOptions { start_timestamps: true, ..ParserOptions::default() },
        r#"
        type h histogram
        {__name__="h_bucket", le="1.0"} = 2 st 1520872607123 # {trace="x"} 0.5 @1500
        {__name__="h_bucket", le="+Inf"} = 3 st 1520872607123
        {__name__="h_count"} = 3 st 1520872607123
        {__name__="h_sum"} = 4 st 1520872607123
        type c counter
        {__name__="c_total", a="1"} = 17 @100500 st 1000
        {__name__="c_total", a="2"} = 18
        type g gauge
        {__name__="g_created"} = 5
        "#,
    );
    let plain = listing(body.as_bytes(), Format::OpenMetrics, ParserOptions::default());
    assert!(plain.contains("h_created") && !plain.contains(" st "), "{plain}");
}

#[test]
fn looking_ahead_for_start_timestamps_costs_once() {
    const SERIES: usize = 20_000;
    let mut body = "# TYPE c counter\n".to_owned();
    for suffix in ["total", "created"] {
        (0..SERIES).for_each(|i| body.push_str(&format!("c_{suffix}{{i=\"{i}\"}} 1\n")));
    }
    body.push_str("# EOF\n");
    let options = ParserOptions { start_timestamps: true, ..ParserOptions::default() };
    // Going over the rest for every series would take minutes.
    let got = listing(body.as_bytes(), Format::OpenMetrics, options);
    assert_eq!(got.lines().count(), SERIES + 1);
    assert_eq!(got.matches(" st 1000").count(), 1, "upstream, too, finds only the first one ahead");
}

#[test]
fn absurdly_many_labels_are_refused() {
    let pairs = |n: usize| (0..n).map(|i| format!("l{i}=\"\"")).collect::<Vec<_>>().join(",");
    let body = format!("a{{{}}} 1 # {{{}}} 2\n# EOF\n", pairs(4097), pairs(200_000));
    let got = listing(body.as_bytes(), Format::OpenMetrics, ParserOptions::default());
    assert_eq!(got, "labels series has more than 4096 labels\n");
}

#[test]
fn classic_histograms_convert_to_custom_buckets() {
    let body = "# TYPE h histogram\nh_bucket{a=\"x\",le=\"1\"} 2 # {t=\"1\"} 0.5\nh_bucket{a=\"x\",le=\"+Inf\"} 3\nh_count{a=\"x\"} 3\nh_sum{a=\"x\"} 4\nh_bucket{a=\"y\",le=\"1\"} 5\nh_bucket{a=\"y\",le=\"2\"} 4\nh_count{a=\"y\"} 3\n# TYPE g gauge\ng 1\n# EOF\n";
    let nhcb = ParserOptions { convert_classic_to_nhcb: true, ..ParserOptions::default() };
    check(
        body,
        Format::OpenMetrics,
        nhcb,
        r#"
        type h histogram
        {__name__="h", a="x"} = {count:3, sum:4, [-Inf,1]:2, (1,+Inf]:1} [1.0] # {t="1"} 0.5 @-
        type g gauge
        {__name__="g"} = 1
        "#,
    );
    let kept = listing(body.as_bytes(), Format::OpenMetrics, ParserOptions { keep_classic: true, ..nhcb });
    assert_eq!(kept.lines().count(), 2 + 4 + 1 + 3 + 1, "{kept}");
}

fn family(name: &str, kind: u64, metrics: &[&dyn Fn(&mut wire_core::ProtoWriter)]) -> Vec<u8> {
    let mut w = wire_core::ProtoWriter::new();
    w.delimited(|w| {
        w.str_field(1, name);
        w.str_field(2, "help");
        w.u64_field(3, kind);
        for metric in metrics {
            w.message_field(4, |w| {
                w.message_field(1, |w| {
                    w.str_field(1, "l");
                    w.str_field(2, "v");
                });
                metric(w);
            });
        }
    });
    w.finish()
}

fn histogram_body(w: &mut wire_core::ProtoWriter, native: bool) {
    w.message_field(7, |w| {
        w.u64_field(1, 6);
        w.f64_field(2, 12.5);
        for (count, bound) in [(2, 1.0), (5, 2.0)] {
            w.message_field(3, |w| {
                w.u64_field(1, count);
                w.f64_field(2, bound);
                w.message_field(3, |w| {
                    w.f64_field(2, 0.5);
                    w.message_field(3, |w| w.u64_field(1, 10));
                });
            });
        }
        w.message_field(15, |w| w.u64_field(1, 7));
        if native {
            w.sint64_field(5, 0);
            w.f64_field(6, 0.001);
            w.u64_field(7, 1);
            w.message_field(12, |w| {
                w.sint64_field(1, 1);
                w.u64_field(2, 3);
            });
            w.packed_sint64(13, [2, -1, 1]);
        }
    });
}

#[test]
fn protobuf_entries() {
    let mut body = family(
        "c",
        0,
        &[&|w| {
            w.message_field(3, |w| {
                w.f64_field(1, 4.0);
                w.message_field(2, |w| w.f64_field(2, 1.0));
            });
            w.i64_field(6, 1234);
        }],
    );
    body.extend(family("empty", 1, &[]));
    body.extend(family(
        "s",
        2,
        &[&|w| {
            w.message_field(4, |w| {
                w.u64_field(1, 3);
                w.f64_field(2, 1.5);
                w.message_field(3, |w| {
                    w.f64_field(1, 0.5);
                    w.f64_field(2, 9.0);
                });
            });
        }],
    ));
    body.extend(family("h", 4, &[&|w| histogram_body(w, false)]));
    body.extend(family("n", 5, &[&|w| histogram_body(w, true), &|w| histogram_body(w, true)]));
    let got = |options| listing(&body, Format::Protobuf, options);
    let plain = got(ParserOptions { start_timestamps: true, ..ParserOptions::default() });
    let expected = r#"help c "help"
type c counter
{__name__="c", l="v"} = 4 @1234 # {} 1 @-
help s "help"
type s summary
{__name__="s_count", l="v"} = 3
{__name__="s_sum", l="v"} = 1.5
{__name__="s", l="v", quantile="0.5"} = 9
help h "help"
type h histogram
{__name__="h_count", l="v"} = 6 st 7000
{__name__="h_sum", l="v"} = 12.5 st 7000
{__name__="h_bucket", l="v", le="1.0"} = 2 st 7000 # {} 0.5 @10000
{__name__="h_bucket", l="v", le="2.0"} = 5 st 7000 # {} 0.5 @10000
{__name__="h_bucket", l="v", le="+Inf"} = 6 st 7000
help n "help"
type n gaugehistogram
{__name__="n", l="v"} = {count:6, sum:12.5, [-0.001,0.001]:1, (1,2]:2, (2,4]:1, (4,8]:2} [] st 7000 # {} 0.5 @10000 # {} 0.5 @10000
{__name__="n", l="v"} = {count:6, sum:12.5, [-0.001,0.001]:1, (1,2]:2, (2,4]:1, (4,8]:2} [] st 7000 # {} 0.5 @10000 # {} 0.5 @10000
"#;
    assert_eq!(plain, expected);
    let nhcb = ParserOptions { convert_classic_to_nhcb: true, ..ParserOptions::default() };
    assert!(
        got(nhcb)
            .contains("{__name__=\"h\", l=\"v\"} = {count:6, sum:12.5, [-Inf,1]:2, (1,2]:3, (2,+Inf]:1}")
    );
    assert_eq!(got(nhcb).lines().count(), plain.lines().count() - 4);
    let kept = got(ParserOptions { keep_classic: true, ..nhcb });
    assert_eq!(kept.lines().count(), plain.lines().count() + 1 + 2 * 5, "{kept}");
    let ignored = got(ParserOptions { ignore_native_histograms: true, ..ParserOptions::default() });
    assert!(!ignored.contains("count:6") && ignored.matches("n_bucket").count() == 6, "{ignored}");
    for cut in 0..body.len() {
        let _ = listing(&body[..cut], Format::Protobuf, nhcb);
    }
    assert_eq!(
        outcome(&[0x80], Format::Protobuf, nhcb),
        Err("clientpb: invalid varint encountered".to_owned())
    );
}
