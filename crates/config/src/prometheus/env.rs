//! `$NAME` and `${NAME}` in external labels, by the rules of Go's `os.Expand`.

use super::Environment;

/// What became of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expansion {
    pub(super) text: String,
    /// Variables that were empty or not set.
    pub(super) empty_names: Vec<String>,
}

pub(super) fn expand(text: &str, environment: Environment<'_>) -> Expansion {
    let mut out = Expansion { text: String::with_capacity(text.len()), empty_names: Vec::new() };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, tail) = split_name(after);
        match name {
            // A lone `$` at the end or before something that is no name stays.
            None if after.len() == tail.len() => out.text.push('$'),
            // Bad syntax such as `${}` is swallowed.
            None => {}
            Some("$") => out.text.push('$'),
            Some(name) => match environment(name).filter(|value| !value.is_empty()) {
                Some(value) => out.text.push_str(&value),
                None => out.empty_names.push(name.to_owned()),
            },
        }
        rest = tail;
    }
    out.text.push_str(rest);
    out
}

/// The name after a `$` and what follows it.
fn split_name(after: &str) -> (Option<&str>, &str) {
    let is_special = |c: char| matches!(c, '*' | '#' | '$' | '@' | '!' | '?' | '-' | '0'..='9');
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let Some(first) = after.chars().next() else { return (None, after) };
    if first == '{' {
        let inner = &after[1..];
        if inner.starts_with(is_special) && inner[1..].starts_with('}') {
            return (Some(&inner[..1]), &inner[2..]);
        }
        return match inner.find('}') {
            Some(0) => (None, &inner[1..]),
            Some(end) => (Some(&inner[..end]), &inner[end + 1..]),
            None => (None, inner),
        };
    }
    if is_special(first) {
        return (Some(&after[..1]), &after[1..]);
    }
    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
    if end == 0 { (None, after) } else { (Some(&after[..end]), &after[end..]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_go() {
        let environment = |name: &str| (name == "FOO").then(|| "bar".to_owned());
        for (text, want, empty) in [
            ("foo", "foo", &[][..]),
            ("foo${FOO}", "foobar", &[]),
            ("$FOO-x", "bar-x", &[]),
            ("foo$$bar", "foo$bar", &[]),
            ("${NONE}", "", &["NONE"]),
            ("end$", "end$", &[]),
            ("a${}b", "ab", &[]),
            ("$ x", "$ x", &[]),
        ] {
            let got = expand(text, &environment);
            assert_eq!(
                (got.text.as_str(), got.empty_names.as_slice()),
                (want, &empty.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }
}
