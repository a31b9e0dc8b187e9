//! The part of URLs that configuration checks need, with the errors of Go's `net/url`.

use thiserror::Error;

/// Why a text is no URL. The texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("parse {url:?}: {reason}")]
pub struct InvalidUrl {
    pub url: String,
    pub reason: String,
}

/// The parts of a URL that configuration looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlParts {
    /// Lower case; empty when the text has none.
    pub scheme: String,
    /// `user:password`, as written.
    pub user_info: Option<String>,
    /// With the port, as written.
    pub host: String,
}

/// Splits and checks a URL or a relative reference.
pub fn parse(text: &str) -> Result<UrlParts, InvalidUrl> {
    let invalid = |reason: &str| InvalidUrl { url: text.to_owned(), reason: reason.to_owned() };
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(invalid("net/url: invalid control character in URL"));
    }
    let without_fragment = text.split('#').next().unwrap_or_default();
    let (scheme, rest) = split_scheme(without_fragment).map_err(|reason| invalid(&reason))?;
    let mut parts = UrlParts { scheme: scheme.to_ascii_lowercase(), ..UrlParts::default() };
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        if scheme.is_empty() {
            let first = rest.split('/').next().unwrap_or_default();
            if first.contains(':') {
                return Err(invalid("first path segment in URL cannot contain colon"));
            }
        }
        check_escapes(rest).map_err(|reason| invalid(&reason))?;
        return Ok(parts);
    }
    let Some(authority_and_path) = rest.strip_prefix("//") else {
        check_escapes(rest).map_err(|reason| invalid(&reason))?;
        return Ok(parts);
    };
    let path_at = authority_and_path.find('/').unwrap_or(authority_and_path.len());
    let (authority, path) = authority_and_path.split_at(path_at);
    check_escapes(path).map_err(|reason| invalid(&reason))?;
    let host = match authority.rsplit_once('@') {
        Some((user_info, host)) => {
            parts.user_info = Some(user_info.to_owned());
            host
        }
        None => authority,
    };
    check_host(host).map_err(|reason| invalid(&reason))?;
    parts.host = host.to_owned();
    Ok(parts)
}

/// The URL with its password replaced, as upstream prints it.
pub fn redacted(text: &str) -> String {
    let Ok(parts) = parse(text) else { return text.to_owned() };
    match parts.user_info.as_deref().and_then(|info| info.split_once(':').map(|(user, _)| (info, user))) {
        Some((info, user)) => text.replacen(&format!("{info}@"), &format!("{user}:xxxxx@"), 1),
        None => text.to_owned(),
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn check_escapes(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let escaped = bytes.get(at + 1..at + 3);
        if *byte == b'%' && !escaped.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            let shown: String = text[at..].chars().take(3).collect();
            return Err(format!("invalid URL escape {shown:?}"));
        }
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("missing ']' in host")?.1,
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    if !port.is_empty() {
        let digits = port.strip_prefix(':').ok_or_else(|| format!("invalid port {port:?} after host"))?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("invalid port {port:?} after host"));
        }
    }
    match host.chars().find(|c| matches!(c, ' ' | '<' | '>' | '"' | '^' | '`' | '{' | '}' | '|' | '\\')) {
        Some(c) => Err(format!("invalid character {:?} in host name", c.to_string())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_split_and_fail_as_go() {
        for (text, scheme, host) in [
            ("http://remote1/push", "http", "remote1"),
            ("https://u:p@host:80/x?q#f", "https", "host:80"),
            ("unix:///var/run/docker.sock", "unix", ""),
            ("localhost/x", "", ""),
            ("http://[::1]:9090/", "http", "[::1]:9090"),
            ("", "", ""),
        ] {
            let parts = parse(text).unwrap();
            assert_eq!((parts.scheme.as_str(), parts.host.as_str()), (scheme, host), "{text}");
        }
        for (text, reason) in [
            ("http://host:port/", "invalid port \":port\" after host"),
            ("://x", "missing protocol scheme"),
            ("1.2.3.4:80", "first path segment in URL cannot contain colon"),
            ("http://a/%zz", "invalid URL escape \"%zz\""),
            ("http://[::1", "missing ']' in host"),
        ] {
            assert_eq!(parse(text).unwrap_err().reason, reason, "{text}");
        }
        assert_eq!(redacted("http://u:secret@h/p"), "http://u:xxxxx@h/p");
        assert_eq!(redacted("http://u@h/p"), "http://u@h/p");
    }
}
