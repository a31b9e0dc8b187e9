//! Parameters and headers of the HTTP API.

use wire_otlp::{LabelNamer, ResponseEncoding, TranslationStrategy, unit_name};
use wire_prom::api_json::push_json_string;
use wire_prom::api_params::{
    parse_duration_ms, parse_duration_ns, parse_limit, parse_time_ms, parse_time_param,
};
use wire_prom::negotiate::{EscapingScheme, ExposeFormat, ScrapeProtocol, negotiate, select_format};
use wire_prom::remote_write::WriteMessage;

use crate::Target;
use crate::input::text;

pub(super) const TARGETS: &[Target] = &[
    Target::new("api_parameters", check_parameters, || {
        ["1700000000.123", "2024-02-29T23:59:59.5+01:00", "-1e3", "5m", "10"].map(Vec::from).to_vec()
    })
    .with_words(&["T", "Z", "+01:00", "-", ":", ".", "e", "1e300", "Inf", "NaN", "292277025-08-18T07:12:54.999999999Z", "ms"]),
    Target::new("media_types", check_media_types, || {
        let texts = [
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;q=0.2,*/*;q=0.1",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        ];
        texts.map(Vec::from).to_vec()
    })
    .with_words(&[";", ",", "=", "/", "q=0.5", "version=", "escaping=values", "\"", "\\\"", "text/plain", "*/*", "charset=utf-8", " "]),
    Target::new("otlp_names", check_otlp_names, || ["http.server.duration", "1a", "By/s", "{x}", "__a b"].map(Vec::from).to_vec())
        .with_words(&["_", "__", ".", "/", "{", "}", "By", "1", "é", "key_"]),
    Target::new("json_strings", check_json, || vec![b"a\"\\\n\x00\x7f<&>\xe2\x80\xa8".to_vec()]),
];

fn check_parameters(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let time = parse_time_ms(text);
    assert!(text.is_empty() || time.is_ok() == parse_time_param("time", text, 0).is_ok());
    if let Ok(ns) = parse_duration_ns(text) {
        assert_eq!(parse_duration_ms(text), Ok(ns / 1_000_000));
    }
    if let Ok(limit) = parse_limit(text) {
        assert!(text.is_empty() || text.trim_start_matches(['+', '-']).parse() == Ok(limit));
    }
}

fn check_media_types(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let offered = [
        ExposeFormat::Text,
        ExposeFormat::OpenMetrics1_0_0,
        ExposeFormat::OpenMetrics0_0_1,
        ExposeFormat::ProtoDelimited,
    ];
    for n in 1..=offered.len() {
        let (format, scheme) = negotiate(text, &offered[..n]);
        assert!(offered[..n].contains(&format), "only what is offered is chosen");
        assert_eq!(
            select_format(&format.content_type(scheme), None).map(|(_, warning)| warning),
            Ok(None),
            "we read what we write"
        );
    }
    let fallback = select_format(text, Some(ScrapeProtocol::ALL[0]));
    assert!(fallback.is_ok(), "a fallback is used");
    if let Ok((format, warning)) = select_format(text, None) {
        assert_eq!((fallback.map(|(format, _)| format), warning), (Ok(format), None));
    }
    if let Ok(message) = WriteMessage::from_content_type(text) {
        assert_eq!(WriteMessage::from_content_type(message.content_type()), Ok(message));
    }
    if let Some(encoding) = ResponseEncoding::from_content_type(text) {
        assert_eq!(ResponseEncoding::from_content_type(encoding.content_type()), Some(encoding));
    }
    let _: Option<EscapingScheme> = EscapingScheme::parse(text);
}

fn check_otlp_names(input: &[u8]) {
    let Some(text) = text(input) else { return };
    for bits in 0..8u8 {
        let namer = LabelNamer {
            utf8_allowed: bits & 1 != 0,
            underscore_sanitization: bits & 2 != 0,
            preserve_multiple_underscores: bits & 4 != 0,
        };
        if let Ok(name) = namer.build(text) {
            assert!(!name.is_empty());
            assert!(
                namer.utf8_allowed || model::validation::is_legacy_label_name(&name),
                "{text:?} became {name:?}"
            );
        }
    }
    for utf8 in [false, true] {
        assert_eq!(unit_name(text, utf8), unit_name(text, utf8));
    }
    if let Some(strategy) = TranslationStrategy::parse(text) {
        assert_eq!(strategy.as_str(), text);
    }
}

fn check_json(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let mut out = Vec::new();
    push_json_string(&mut out, text);
    let read = serde_json::from_slice::<String>(&out);
    assert_eq!(read.ok().as_deref(), Some(text), "a string written as JSON is read back");
}
