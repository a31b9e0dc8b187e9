//! Label sets in one allocation: sorted name and value pairs, each length-prefixed.
//!
//! The encoding is the one Prometheus hashes for `limit_ratio` and sharding (its `stringlabels`
//! build): a length is one byte below 255, else the byte 255 and three bytes little endian.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// The longest name or value the encoding can hold.
pub const LABEL_LENGTH_MAX: usize = (1 << 24) - 1;

/// An immutable set of labels, sorted by name, without empty values. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// Sorts, drops empty values, and of equal names keeps the last.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Encodes pairs that are already strictly sorted by name and have no empty value.
    /// The caller has checked both; debug builds check again.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut bytes = Vec::with_capacity(128);
        let mut previous: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(previous.is_none_or(|p| p < name), "labels out of order at {name}");
            debug_assert!(!value.is_empty(), "empty value of {name}");
            push_text(&mut bytes, name);
            push_text(&mut bytes, value);
            previous = Some(name);
        }
        Self(Arc::from(bytes))
    }

    /// Reads back what [`Labels::as_bytes`] gave; `None` if the bytes are not a valid label set.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut previous: Option<&str> = None;
        while !rest.is_empty() {
            let (name, after) = checked_text(rest)?;
            let (value, after) = checked_text(after)?;
            if value.is_empty() || previous.is_some_and(|p| p >= name) {
                return None;
            }
            previous = Some(name);
            rest = after;
        }
        Some(Self(Arc::from(bytes)))
    }

    /// The encoding described at the top of this module.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.0 }
    }

    /// The value of `name`, or `None`; upstream treats a missing label as the empty value.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (n, v) in self {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Upstream's `labels.Hash`: xxhash64 of the encoding.
    pub fn hash64(&self) -> u64 {
        xxhash_rust::xxh64::xxh64(&self.0, 0)
    }

    pub fn to_builder(&self) -> LabelsBuilder {
        let mut builder = LabelsBuilder::new();
        builder.pairs.extend(self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
        builder
    }

    /// A copy without the names for which `drop` holds.
    pub fn without(&self, mut drop: impl FnMut(&str) -> bool) -> Self {
        Self::from_sorted(self.iter().filter(|(n, _)| !drop(n)))
    }

    /// Bytes this set occupies on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() + 16
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// Upstream's `labels.Compare`: by name, then value, pair by pair; a prefix comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Display for Labels {
    /// `{a="b", c="d"}` with the metric name among the labels, names quoted where they must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (idx, (name, value)) in self.iter().enumerate() {
            if idx > 0 {
                f.write_str(", ")?;
            }
            if crate::validation::is_legacy_label_name(name) {
                f.write_str(name)?;
            } else {
                write!(f, "{}", GoQuoted(name))?;
            }
            write!(f, "={}", GoQuoted(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text quoted as Go's `strconv.Quote` does.
#[derive(Debug, Clone, Copy)]
pub struct GoQuoted<'a>(pub &'a str);

impl fmt::Display for GoQuoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\u{b}' => f.write_str("\\v")?,
                c if (c as u32) < 0x20 || c == '\u{7f}' => write!(f, "\\x{:02x}", c as u32)?,
                c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Pairs in name order.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = split_text(self.rest);
        let (value, rest) = split_text(rest);
        self.rest = rest;
        Some((name, value))
    }
}

/// Collects labels in any order; [`LabelsBuilder::build`] sorts them.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets or replaces; an empty value removes the label, as it means absence.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.pairs.retain(|(n, v)| keep(n, v));
        self
    }

    /// The current value, empty if absent.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Pairs in the order they were first set, those with empty values left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.as_str(), v.as_str()))
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    pub fn build(&self) -> Labels {
        let mut sorted: Vec<(&str, &str)> = self.iter().collect();
        sorted.sort_unstable_by_key(|(n, _)| *n);
        Labels::from_sorted(sorted)
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let len = text.len();
    assert!(len <= LABEL_LENGTH_MAX, "a label of {len} bytes must be refused before it is encoded");
    if len < 255 {
        bytes.push(len as u8);
    } else {
        bytes.push(255);
        bytes.extend_from_slice(&(len as u32).to_le_bytes()[..3]);
    }
    bytes.extend_from_slice(text.as_bytes());
}

fn text_bounds(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    let (start, len) = if first < 255 {
        (1, usize::from(first))
    } else {
        let wide = bytes.get(1..4)?;
        let len = usize::from(wide[0]) | usize::from(wide[1]) << 8 | usize::from(wide[2]) << 16;
        // One encoding for each text: equal labels are equal bytes, and have one fingerprint.
        (4, Some(len).filter(|len| *len >= 255)?)
    };
    Some((start, start + len))
}

fn checked_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (start, end) = text_bounds(bytes)?;
    let text = std::str::from_utf8(bytes.get(start..end)?).ok()?;
    Some((text, &bytes[end..]))
}

#[expect(
    unsafe_code,
    reason = "labels are read far more often than built; checking UTF-8 each time costs a third"
)]
fn split_text(bytes: &[u8]) -> (&str, &[u8]) {
    let (start, end) = text_bounds(bytes).expect("labels are encoded by this module");
    // SAFETY: every constructor of `Labels` writes whole `&str`s or checks them in `from_bytes`,
    // and the bytes are immutable afterwards.
    let text = unsafe { std::str::from_utf8_unchecked(&bytes[start..end]) };
    (text, &bytes[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_deduplicated_and_read_back() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!((labels.get("a"), labels.get("c"), labels.len()), (Some("1"), None, 2));
        assert_eq!(Labels::from_bytes(labels.as_bytes()), Some(labels.clone()));
        assert_eq!(Labels::from_bytes(b"\x01b\x012\x01a\x011"), None, "unsorted");
        assert_eq!(Labels::from_bytes(b"\x05b"), None, "truncated");
        assert_eq!(Labels::from_bytes(b"\x01\xff\x01a"), None, "not UTF-8");
        let wide = b"\x01a\xff\x01\x00\x001";
        assert_eq!(Labels::from_bytes(wide), None, "a wide length where a narrow one fits");
    }

    #[test]
    fn long_values_use_the_wide_length() {
        let long = "x".repeat(70_000);
        let labels = Labels::from_pairs([("a", long.as_str()), ("b", "y")]);
        assert_eq!((labels.get("a"), labels.get("b")), (Some(long.as_str()), Some("y")));
        assert!(Labels::from_bytes(labels.as_bytes()).is_some());
    }

    #[test]
    fn labels_compare_pair_by_pair() {
        let order = [
            Labels::empty(),
            Labels::from_pairs([("a", "1")]),
            Labels::from_pairs([("a", "1"), ("b", "1")]),
            Labels::from_pairs([("a", "10")]),
            Labels::from_pairs([("b", "0")]),
        ];
        assert!(order.is_sorted());
    }

    #[test]
    fn odd_names_and_values_are_quoted() {
        let labels = Labels::from_pairs([("http.status", "a\"b\\c\n")]);
        assert_eq!(labels.to_string(), r#"{"http.status"="a\"b\\c\n"}"#);
    }
}
