use model::Labels;

use super::*;
use crate::expose::{Format, Parser, ParserOptions};

fn write(format: ExposeFormat, scheme: EscapingScheme) -> String {
    let mut encoder = TextEncoder::new(format, scheme);
    let header = |name, help, metric_type| FamilyHeader { name, help, metric_type, unit: None };
    encoder.family(&header("req_total", Some("a \"b\" \\ \n c"), MetricType::Counter));
    let labels = Labels::from_pairs([("trace", "x")]);
    let exemplar = Exemplar { labels, value: 1.0, t: 1500, has_t: true };
    let pairs = [("path", "a\"\\\n"), ("http.code", "200")];
    encoder.sample(&TextSample {
        timestamp_ms: Some(1_234_567),
        exemplar: Some(&exemplar),
        ..TextSample::new(&pairs, 1e6)
    });
    encoder.family(&header("my.gauge", None, MetricType::Gauge));
    encoder.sample(&TextSample::new(&[], f64::NEG_INFINITY));
    encoder.family(&header("h", None, MetricType::Histogram));
    encoder.histogram(&[("a", "b")], &[(0.5, 1.0), (1.0, 2.0)], 3.0, 4.5, None);
    encoder.family(&header("s", None, MetricType::Summary));
    encoder.summary(&[], &[(0.9, f64::NAN)], 1.0, 0.0);
    encoder.family(&header("u", None, MetricType::Unknown));
    String::from_utf8(encoder.finish()).unwrap()
}

#[test]
fn text_is_written_as_upstream_writes_it() {
    let expected = r#"# HELP req_total a "b" \\ \n c
# TYPE req_total counter
req_total{path="a\"\\\n",http_code="200"} 1e+06 1234567
# TYPE my_gauge gauge
my_gauge -Inf
# TYPE h histogram
h_bucket{a="b",le="0.5"} 1
h_bucket{a="b",le="1"} 2
h_bucket{a="b",le="+Inf"} 3
h_sum{a="b"} 4.5
h_count{a="b"} 3
# TYPE s summary
s{quantile="0.9"} NaN
s_sum 0
s_count 1
# TYPE u untyped
"#;
    assert_eq!(write(ExposeFormat::Text, EscapingScheme::Underscores), expected);
    let utf8 = write(ExposeFormat::Text, EscapingScheme::AllowUtf8);
    assert!(utf8.contains("# TYPE \"my.gauge\" gauge\n{\"my.gauge\"} -Inf\n"), "{utf8}");
    assert!(utf8.contains("\"http.code\"=\"200\"}"), "{utf8}");
}

#[test]
fn openmetrics_is_written_as_upstream_writes_it() {
    let expected = r#"# HELP req a \"b\" \\ \n c
# TYPE req counter
req_total{path="a\"\\\n",http_code="200"} 1e+06 1234.567 # {trace="x"} 1.0 1.5
# TYPE my_gauge gauge
my_gauge -Inf
# TYPE h histogram
h_bucket{a="b",le="0.5"} 1.0
h_bucket{a="b",le="1.0"} 2.0
h_bucket{a="b",le="+Inf"} 3.0
h_sum{a="b"} 4.5
h_count{a="b"} 3.0
# TYPE s summary
s{quantile="0.9"} NaN
s_sum 0.0
s_count 1.0
# TYPE u unknown
# EOF
"#;
    assert_eq!(write(ExposeFormat::OpenMetrics1_0_0, EscapingScheme::Underscores), expected);
}

#[test]
fn what_is_written_is_read_back() {
    for scheme in EscapingScheme::ALL {
        for (format, reader) in
            [(ExposeFormat::Text, Format::Text), (ExposeFormat::OpenMetrics1_0_0, Format::OpenMetrics)]
        {
            let body = write(format, scheme);
            let mut parser = Parser::new(body.as_bytes(), reader, ParserOptions::default());
            let mut entries = 0;
            while parser.next_entry().unwrap().is_some() {
                entries += 1;
            }
            assert_eq!(entries, 16, "{body}");
        }
    }
}
