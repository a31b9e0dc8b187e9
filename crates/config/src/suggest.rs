//! "Did you mean": the known word nearest to an unknown one.

/// The nearest word within two edits (one for short words), or none.
pub(crate) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let reach = if unknown.len() < 5 { 1 } else { 2 };
    let scored = known.iter().map(|word| (edits(unknown, word), *word));
    scored.filter(|(distance, _)| *distance <= reach).min().map(|(_, word)| word)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let known = ["listeners", "retention", "log", "query"];
        for (unknown, want) in [
            ("listners", Some("listeners")),
            ("retenttion", Some("retention")),
            ("lgo", Some("log")),
            ("quarry", Some("query")),
            ("zebra", None),
            ("l", None),
        ] {
            assert_eq!(nearest(unknown, &known), want, "{unknown}");
        }
    }
}
