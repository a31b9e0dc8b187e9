//! Small words: durations, sizes, numbers, names, labels, string literals, URLs.

use base::{ByteSize, TenantId, duration, gofloat};
use model::validation::{is_legacy_label_name, is_legacy_metric_name};
use model::{Labels, LabelsBuilder, MetricType};
use ql_core::unquote::{unquote, unquote_bytes};
use store_core::blob::check_key;
use wire_prom::negotiate::EscapingScheme;

use crate::Target;
use crate::input::{Input, text};

pub(super) const TARGETS: &[Target] = &[
    Target::new("durations", check_durations, || {
        ["1h30m", "1y2w3d4h5m6s7ms", "0", "106751d"].map(Vec::from).to_vec()
    })
    .with_words(&["ms", "s", "m", "h", "d", "w", "y", "0", "9223372036854775807"]),
    Target::new("byte_sizes", check_sizes, || {
        ["512MB", "1GiB", "1.5KB", "15EB1023PB"].map(Vec::from).to_vec()
    })
    .with_words(&["B", "KB", "MiB", "GB", "EB", "EiB", ".", "0", "16"]),
    Target::new("numbers", check_numbers, || {
        ["1.5e-3", "0x1.8p3", "1_000", "+Inf", "nan", "18446744073709551616"].map(Vec::from).to_vec()
    })
    .with_words(&["0x", "0b", "0o", "_", "e", "p-", ".", "inf", "Infinity", "NaN", "e400", "-"]),
    Target::new("names", check_names, || {
        ["a_b.c", "U___a_2e_b", "team-a", "a__b", "parts/x/y.part"].map(Vec::from).to_vec()
    })
    .with_words(&["U__", "_", "__", "_dot_", "_2e_", "_d800_", "_110000_", ".", "é", "/", "..", "//"]),
    Target::new("labels", check_labels, || {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "é\n"), ("long", &"x".repeat(300))]);
        vec![labels.as_bytes().to_vec(), Vec::new()]
    }),
    Target::new("string_literals", check_literals, || {
        [r#""a\n\x41\u00e9\101""#, "'it\\'s'", "`raw`"].map(Vec::from).to_vec()
    })
    .with_words(&["\"", "'", "`", "\\x", "\\u", "\\U0010ffff", "\\ud800", "\\777", "\\n", "\\"]),
    Target::new("urls", check_urls, || {
        ["http://u:p@h:1/p%20q?x=1#f", "//h/", "/rel", "mailto:x"].map(Vec::from).to_vec()
    })
    .with_words(&["http://", "https:", "//", "@", ":", "%2f", "%", "[::1]", "?", "#", "..", "*", "[a-z]"]),
];

fn check_durations(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(ms) = duration::parse_ms(text) {
        let printed = duration::format_ms(ms);
        assert_eq!(duration::parse_ms(&printed), Ok(ms), "{text:?} prints as {printed:?}");
        assert!(!duration::format_go_ns(ms.saturating_mul(1_000_000)).is_empty());
    }
    let ns = Input(input).u64().cast_signed();
    assert!(!duration::format_go_ns(ns).is_empty());
    assert!(!duration::format_ms(ns).is_empty());
}

fn check_sizes(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let Ok(size) = text.parse::<ByteSize>() else { return };
    let printed = size.to_string();
    assert_eq!(printed.parse(), Ok(size), "{text:?} prints as {printed:?}");
}

fn check_numbers(input: &[u8]) {
    let bits = f64::from_bits(Input(input).u64());
    let parsed = text(input).and_then(gofloat::parse);
    for v in [Some(bits), parsed].into_iter().flatten() {
        for printed in [gofloat::format_g(v), gofloat::format_f(v), gofloat::format_e(v)] {
            let again = gofloat::parse(&printed)
                .unwrap_or_else(|| panic!("{v} prints as {printed}, which is no number"));
            assert!(
                again.to_bits() == v.to_bits() || again.is_nan() && v.is_nan(),
                "{v} prints as {printed}"
            );
        }
        for precision in [0, 1, 6, 17, 40] {
            assert!(!gofloat::format_g_precision(v, precision).is_empty());
        }
    }
}

fn check_names(input: &[u8]) {
    let Some(text) = text(input) else { return };
    for scheme in EscapingScheme::ALL {
        let escaped = scheme.escape(text);
        assert!(
            scheme == EscapingScheme::AllowUtf8 || text.is_empty() || is_legacy_metric_name(&escaped),
            "{scheme}: {escaped:?}"
        );
        let back = scheme.unescape(&escaped);
        let is_plain = text.is_empty() || is_legacy_metric_name(text);
        assert!(
            scheme != EscapingScheme::Values || is_plain || back == text,
            "{text:?} becomes {escaped:?}, then {back:?}"
        );
        assert!(EscapingScheme::parse(scheme.as_str()) == Some(scheme));
        let _: usize = scheme.unescape(text).len();
    }
    assert!(!is_legacy_label_name(text) || is_legacy_metric_name(text), "a label's name could name a metric");
    if let Ok(tenant) = TenantId::new(text) {
        let key = format!("parts/metrics/{tenant}/0.part");
        assert!(check_key(&key).is_ok(), "a tenant is safe in a key: {key}");
        assert!(!key.contains("/../") && !key.contains("/./"), "and in a path");
    }
    if check_key(text).is_ok() {
        assert!(
            !text.split('/').any(|part| part == ".." || part.is_empty()),
            "a key stays where it belongs: {text:?}"
        );
    }
    if let Some(metric_type) = MetricType::parse(text) {
        assert_eq!(metric_type.as_str(), text);
    }
}

fn check_labels(input: &[u8]) {
    let Some(labels) = Labels::from_bytes(input) else { return };
    assert_eq!(labels.as_bytes(), input);
    assert_eq!(labels.to_builder().build(), labels);
    assert!(labels.iter().zip(labels.iter().skip(1)).all(|((a, _), (b, _))| a < b), "sorted, each once");
    let mut builder = LabelsBuilder::new();
    for (name, value) in &labels {
        assert_eq!(labels.get(name), Some(value));
        builder.set(name, value);
    }
    assert_eq!(builder.build(), labels);
}

fn check_literals(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let bytes = unquote_bytes(text);
    assert_eq!(bytes.is_ok(), unquote(text).is_ok());
    if let Some(value) = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
        let quoted = model::labels::GoQuoted(&value).to_string();
        assert_eq!(unquote(&quoted).as_ref(), Ok(&value), "{value:?} is quoted as {quoted}");
    }
}

fn check_urls(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(parts) = config::url::parse(text) {
        let redacted = config::url::redacted(text);
        let password =
            parts.user_info.as_deref().and_then(|info| info.split_once(':')).map_or("", |(_, p)| p);
        // A password of x's looks like what replaces it.
        let is_telling =
            password.len() > 5 && !password.contains("xxxxx") && text.matches(password).count() == 1;
        assert!(!is_telling || !redacted.contains(password), "{text:?} shows its password: {redacted:?}");
    }
    let joined = config::path::join("/etc/x", text);
    assert!(text.is_empty() || joined.starts_with('/') || text.starts_with('/'), "{joined:?}");
    let _: bool = config::path::file_name_matches(text, text);
}
