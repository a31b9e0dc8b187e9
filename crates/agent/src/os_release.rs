//! `node_os_*` from `/etc/os-release`, or where that is missing, `/usr/lib/os-release`.

use std::collections::BTreeMap;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, read};

const FILES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Label and key.
const INFO: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let mut text = Err(CollectError::NoData);
    for file in FILES {
        text = read(&host.roots.root.join(file)).map_err(CollectError::absent_is_no_data);
        if !matches!(text, Err(CollectError::NoData)) {
            break;
        }
    }
    let keys = parse(&text?)?;
    let value = |key: &str| keys.get(key).map_or("", String::as_str);
    let labels = INFO.map(|(label, key)| (label, value(key)));
    out.gauge("node_os_info", "The operating system, as labels.").push(&labels, 1.0);
    let version = major_minor(value("VERSION_ID"));
    if version > 0.0 {
        let labels = [("id", value("ID")), ("id_like", value("ID_LIKE")), ("name", value("NAME"))];
        out.gauge("node_os_version", "The first two numbers of the operating system's version.")
            .push(&labels, version);
    }
    let end = value("SUPPORT_END");
    if !end.is_empty() {
        let date: jiff::civil::Date = end.parse().map_err(|_| {
            CollectError::malformed("os-release", format!("SUPPORT_END is not a date: {end:?}"))
        })?;
        let midnight = jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0));
        let midnight = midnight.map_err(|error| CollectError::malformed("os-release", error.to_string()))?;
        out.gauge("node_os_support_end_timestamp_seconds", "When support for the operating system ends.")
            .push(&[], midnight.as_second() as f64);
    }
    Ok(())
}

/// Assignments as a shell would read them.
fn parse(text: &str) -> Result<BTreeMap<String, String>, CollectError> {
    let mut keys = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let malformed = || CollectError::malformed("os-release", format!("cannot read {line:?}"));
        let (key, value) = line.split_once('=').ok_or_else(malformed)?;
        keys.insert(key.trim().to_owned(), unquote(value.trim()).ok_or_else(malformed)?);
    }
    Ok(keys)
}

/// `None` if a quote is not closed.
fn unquote(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None | Some('"'), '\\') => out.push(chars.next()?),
            (_, c) => out.push(c),
        }
    }
    quote.is_none().then_some(out)
}

/// `22.04` of `22.04.3-x`; 0 if there is no number.
fn major_minor(version: &str) -> f64 {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(version);
    let end = match version[major..].strip_prefix('.') {
        Some(rest) if major > 0 => major + 1 + digits(rest),
        _ => major,
    };
    version[..end].parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted() {
        let text =
            "# comment\n\nNAME=\"Debian GNU/Linux\"\nID=debian\nVERSION='12 \\x'\nPRETTY_NAME=\"a\\\"b\"\n";
        let keys = parse(text).unwrap();
        let expected =
            [("ID", "debian"), ("NAME", "Debian GNU/Linux"), ("PRETTY_NAME", "a\"b"), ("VERSION", "12 \\x")];
        assert_eq!(keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        for line in ["NAME", "NAME=\"x"] {
            assert_eq!(parse(line).unwrap_err().to_string(), format!("os-release: cannot read {line:?}"));
        }
    }

    #[test]
    fn versions_are_cut_after_two_numbers() {
        for (version, expected) in [
            ("12", 12.0),
            ("22.04", 22.04),
            ("22.04.3", 22.04),
            ("3.x", 3.0),
            ("7-rc", 7.0),
            ("", 0.0),
            ("rolling", 0.0),
            (".5", 0.0),
        ] {
            assert_eq!(major_minor(version), expected, "{version}");
        }
    }
}
