use super::*;

#[test]
fn accept_headers_are_upstreams() {
    assert_eq!(
        accept_header(&ScrapeProtocol::DEFAULT, EscapingScheme::AllowUtf8),
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    );
    assert!(accept_header(&ScrapeProtocol::DEFAULT_PROTO_FIRST, EscapingScheme::Underscores).starts_with(
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    ));
}

#[test]
fn content_types_select_formats_with_upstreams_errors() {
    use ScrapeProtocol::{OpenMetricsText1_0_0, PrometheusProto, PrometheusText0_0_4};
    let check =
        |content_type: &str, fallback: Option<ScrapeProtocol>, expected: Result<(Format, &str), &str>| {
            let got = select_format(content_type, fallback);
            let got = match &got {
                Ok((format, warning)) => {
                    Ok((*format, warning.as_ref().map(ToString::to_string).unwrap_or_default()))
                }
                Err(e) => Err(e.to_string()),
            };
            let expected = expected.map(|(f, w)| (f, w.to_owned())).map_err(str::to_owned);
            assert_eq!(got, expected, "{content_type:?} {fallback:?}");
        };
    check("text/plain", None, Ok((Format::Text, "")));
    check(
        "text/html",
        Some(PrometheusText0_0_4),
        Ok((
            Format::Text,
            r#"received unsupported Content-Type "text/html", using fallback_scrape_protocol "text/plain""#,
        )),
    );
    check(
        "text/html",
        None,
        Err(
            r#"received unsupported Content-Type "text/html" and no fallback_scrape_protocol specified for target"#,
        ),
    );
    check(
        "",
        None,
        Err(
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
        ),
    );
    check(
        "",
        Some(OpenMetricsText1_0_0),
        Ok((
            Format::OpenMetrics,
            r#"non-compliant scrape target sending blank Content-Type, using fallback_scrape_protocol "application/openmetrics-text""#,
        )),
    );
    check("application/openmetrics-text; version=1.0.0; charset=utf-8", None, Ok((Format::OpenMetrics, "")));
    check(
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        None,
        Ok((Format::Protobuf, "")),
    );
    check("Text/Plain; Version=\"0.0.4\"", None, Ok((Format::Text, "")));
    check(
        "text/plain; version=0.0.4; version=1",
        None,
        Err(
            "cannot parse Content-Type \"text/plain; version=0.0.4; version=1\" and no fallback_scrape_protocol for target\nmime: duplicate parameter name",
        ),
    );
    check(
        "text/",
        Some(PrometheusProto),
        Ok((
            Format::Protobuf,
            "could not parse received Content-Type \"text/\", using fallback_scrape_protocol \"application/vnd.google.protobuf\"\nmime: expected token after slash",
        )),
    );
}

#[test]
fn names_escape_and_come_back() {
    use EscapingScheme::{AllowUtf8, Dots, Underscores, Values};
    for (name, underscores, dots, values) in [
        ("", "", "", ""),
        ("no:escaping_required", "no:escaping_required", "no:escaping__required", "no:escaping_required"),
        (
            "mysystem.prod.west.cpu.load",
            "mysystem_prod_west_cpu_load",
            "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
            "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
        ),
        ("http.status:sum", "http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"),
        ("花火", "__", "____", "U___82b1__706b_"),
        ("0a", "_a", "__a", "U___30_a"),
    ] {
        assert_eq!(AllowUtf8.escape(name), name);
        assert_eq!(Underscores.escape(name), underscores);
        assert_eq!(Dots.escape(name), dots);
        assert_eq!(Values.escape(name), values);
        assert_eq!(Values.unescape(&Values.escape(name)), name);
    }
    assert_eq!(Dots.unescape("a_dot_b__c"), "a.b_c");
    assert_eq!(Values.unescape("U__bad_zz_"), "U__bad_zz_");
}

#[test]
fn clients_get_the_format_they_prefer() {
    use ExposeFormat::{OpenMetrics0_0_1, OpenMetrics1_0_0, ProtoDelimited, Text};
    let offered = [OpenMetrics1_0_0, OpenMetrics0_0_1, ProtoDelimited, Text];
    for (accept, expected) in [
        ("", (Text, EscapingScheme::Underscores)),
        ("*/*", (OpenMetrics1_0_0, EscapingScheme::Underscores)),
        ("application/openmetrics-text", (OpenMetrics0_0_1, EscapingScheme::Underscores)),
        (
            "text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            (OpenMetrics1_0_0, EscapingScheme::AllowUtf8),
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
            (ProtoDelimited, EscapingScheme::Underscores),
        ),
        ("text/html", (Text, EscapingScheme::Underscores)),
    ] {
        assert_eq!(negotiate(accept, &offered), expected, "{accept}");
    }
    assert_eq!(
        Text.content_type(EscapingScheme::Values),
        "text/plain; version=0.0.4; charset=utf-8; escaping=values"
    );
}
