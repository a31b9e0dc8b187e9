//! What attributes hold, judged by their names.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttrKind {
    Plain,
    Css,
    Html,
    Js,
    Srcset,
    Unsafe,
    Url,
}

const URLS: [&str; 17] = [
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xmlns",
];

/// Attributes that change how other content is read or sent.
const UNSAFE: [&str; 22] = [
    "accept-charset",
    "async",
    "challenge",
    "charset",
    "content",
    "crossorigin",
    "defer",
    "enctype",
    "form",
    "formenctype",
    "formmethod",
    "formnovalidate",
    "http-equiv",
    "keytype",
    "language",
    "method",
    "novalidate",
    "pattern",
    "rel",
    "sandbox",
    "type",
    "value",
];

/// Attributes that are plain although their names look like something else.
const PLAIN: [&str; 2] = ["srclang", "open"];

/// The kind of an attribute by its name in lower case; doubt falls on the dangerous side.
pub(super) fn attr_kind(name: &str) -> AttrKind {
    let name = if let Some(custom) = name.strip_prefix("data-") {
        custom
    } else if let Some((space, local)) = name.split_once(':') {
        if space == "xmlns" {
            return AttrKind::Url;
        }
        local
    } else {
        name
    };
    match name {
        "style" => AttrKind::Css,
        "srcdoc" => AttrKind::Html,
        "srcset" => AttrKind::Srcset,
        name if PLAIN.contains(&name) => AttrKind::Plain,
        name if UNSAFE.contains(&name) => AttrKind::Unsafe,
        name if URLS.contains(&name) => AttrKind::Url,
        name if name.starts_with("on") => AttrKind::Js,
        name if ["src", "uri", "url"].iter().any(|part| name.contains(part)) => AttrKind::Url,
        _ => AttrKind::Plain,
    }
}

/// Whether a script of this MIME type is run.
pub(super) fn is_js_type(mime: &str) -> bool {
    let mime = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((family, subtype)) = mime.split_once('/') else { return mime == "module" };
    let subtype = subtype.strip_prefix("x-").unwrap_or(subtype);
    match family {
        "application" => matches!(subtype, "ecmascript" | "javascript" | "json" | "ld+json"),
        "text" => {
            matches!(subtype, "ecmascript" | "jscript" | "livescript") || subtype.starts_with("javascript")
        }
        _ => false,
    }
}
