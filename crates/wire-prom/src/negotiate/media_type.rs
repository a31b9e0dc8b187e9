//! Media types as Go's `mime.ParseMediaType` reads them, as far as the errors go.

use super::ScrapeProtocol;

/// The media type upstream names a protocol by in its warnings.
pub(super) fn of_protocol(protocol: ScrapeProtocol) -> &'static str {
    protocol.header().split(';').next().unwrap_or_default()
}

/// The type and subtype in front of the parameters. Known types come back in lower case.
pub(super) fn parse(text: &str) -> Result<&str, &'static str> {
    let (base, params) = text.split_once(';').unwrap_or((text, ""));
    let base = base.trim();
    check_type(base)?;
    check_params(params)?;
    const KNOWN: [&str; 3] =
        ["application/openmetrics-text", "application/vnd.google.protobuf", "text/plain"];
    Ok(KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(base)).unwrap_or(base))
}

fn is_token(text: &str) -> bool {
    let special = |b| b"()<>@,;:\\\"/[]?=".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !special(b))
}

fn check_type(base: &str) -> Result<(), &'static str> {
    if base.is_empty() {
        return Err("mime: no media type");
    }
    match base.split_once('/') {
        None if is_token(base) => Ok(()),
        None => Err("mime: expected slash after first token"),
        Some((kind, _)) if !is_token(kind) => Err("mime: expected slash after first token"),
        Some((_, "")) => Err("mime: expected token after slash"),
        Some((_, sub)) if !is_token(sub) => Err("mime: unexpected content after media subtype"),
        Some(_) => Ok(()),
    }
}

fn check_params(mut rest: &str) -> Result<(), &'static str> {
    let mut names: Vec<String> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(());
        }
        let (name, after) = rest.split_once('=').ok_or("mime: invalid media parameter")?;
        let name = name.trim_end().to_ascii_lowercase();
        if !is_token(&name) {
            return Err("mime: invalid media parameter");
        }
        rest = skip_value(after.trim_start()).ok_or("mime: invalid media parameter")?.trim_start();
        if names.contains(&name) {
            return Err("mime: duplicate parameter name");
        }
        names.push(name);
        rest = match rest.strip_prefix(';') {
            Some(after) => after,
            None if rest.is_empty() => return Ok(()),
            None => return Err("mime: invalid media parameter"),
        };
    }
}

/// What follows a token or a quoted string.
fn skip_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ';' || c.is_ascii_whitespace()).unwrap_or(text.len());
        return is_token(&text[..end]).then(|| &text[end..]);
    };
    let mut escaped = false;
    for (idx, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&quoted[idx + 1..]),
            _ => {}
        }
    }
    None
}
