//! Paths in configuration files are relative to the file that names them.

/// Joins as upstream's `JoinDir`: an empty or absolute path stays as it is; the joined path is
/// cleaned of `.`, `..` and doubled slashes, lexically.
pub fn join(directory: &str, path: &str) -> String {
    if path.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    clean(&format!("{directory}/{path}"), directory.is_empty())
}

fn clean(path: &str, relative: bool) -> String {
    let rooted = path.starts_with('/') && !relative;
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// The directory part of a path, as Go's `filepath.Dir`: `.` when there is none.
pub fn directory_of(path: &str) -> String {
    match path.rfind('/') {
        Some(0) => "/".to_owned(),
        Some(at) => clean(&path[..at], false),
        None => ".".to_owned(),
    }
}

/// Whether a path matches a pattern whose last element may hold `*`, `?` and `[…]` (Go's
/// `filepath.Match` on the file name). For callers that list a directory themselves.
pub fn file_name_matches(pattern: &str, name: &str) -> bool {
    matches_bytes(pattern.as_bytes(), name.as_bytes())
}

fn matches_bytes(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => match_class(&pattern[p..], name[n]),
            Some(b'\\') if pattern.get(p + 1) == Some(&name[n]) => Some(2),
            Some(byte) if *byte == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(width), _) => {
                p += width;
                n += 1;
            }
            (None, Some((star_p, star_n))) => {
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The width of a class such as `[a-z]` when the byte is in it.
fn match_class(pattern: &[u8], byte: u8) -> Option<usize> {
    let close = 2 + pattern.iter().skip(2).position(|b| *b == b']')?;
    let (negated, set) = match pattern[1] {
        b'^' => (true, &pattern[2..close]),
        _ => (false, &pattern[1..close]),
    };
    let mut found = false;
    let mut at = 0;
    while at < set.len() {
        if set.get(at + 1) == Some(&b'-') && at + 2 < set.len() {
            found |= (set[at]..=set[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= set[at] == byte;
            at += 1;
        }
    }
    (found != negated).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_and_match_as_go() {
        for (directory, path, want) in [
            ("testdata", "first.rules", "testdata/first.rules"),
            ("testdata", "/abs", "/abs"),
            ("testdata", "", ""),
            ("/etc/p", "../x/./y", "/etc/x/y"),
            (".", "x", "x"),
            ("", "x", "x"),
            ("a", "../..", ".."),
            ("/", "../x", "/x"),
        ] {
            assert_eq!(join(directory, path), want, "{directory} + {path}");
        }
        for (path, want) in [("a/b.yml", "a"), ("b.yml", "."), ("/b.yml", "/"), ("a/../c/d", "c")] {
            assert_eq!(directory_of(path), want);
        }
        for (pattern, name, want) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a?c", "abc", true),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
        ] {
            assert_eq!(file_name_matches(pattern, name), want, "{pattern} {name}");
        }
    }
}
