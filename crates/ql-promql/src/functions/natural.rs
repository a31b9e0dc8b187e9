//! Natural order: runs of digits compare as numbers, so that `node2` comes before `node10`.

use std::cmp::Ordering;

/// Compares in natural order; texts that differ only in leading zeros compare byte by byte.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (chunk_a, after_a) = split_chunk(rest_a);
        let (chunk_b, after_b) = split_chunk(rest_b);
        let order = match (chunk_a.parse::<i64>(), chunk_b.parse::<i64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => chunk_a.cmp(chunk_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (rest_a, rest_b) = (after_a, after_b);
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

/// The leading run of digits or of anything else, and what follows.
fn split_chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_texts_compare_as_numbers() {
        for (a, b, expected) in [
            ("node2", "node10", Ordering::Less),
            ("4m5", "4m1000", Ordering::Less),
            ("a", "a", Ordering::Equal),
            ("", "a", Ordering::Less),
            ("1", "01", Ordering::Greater),
            ("b1", "a2", Ordering::Greater),
            ("a1", "a1b", Ordering::Less),
        ] {
            assert_eq!(compare(a, b), expected, "{a} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} {a}");
        }
    }
}
