//! How well a name matches what was typed. The scores are upstream's, since clients sort by them.

/// Which algorithm decides about names that do not contain the term as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FuzzyAlgorithm {
    Subsequence,
    JaroWinkler,
}

/// The terms of a request; a name passes if it matches any.
#[derive(Debug, Clone)]
pub(super) struct NameFilter {
    terms: Vec<String>,
    algorithm: FuzzyAlgorithm,
    /// 0 to 1.
    threshold: f64,
    case_sensitive: bool,
}

/// An inexact match never scores as an exact one does.
const INEXACT_SCALE: f64 = 0.999;

impl NameFilter {
    /// Empty terms are left out; without any the filter passes everything with a score of 1.
    pub(super) fn new<'a>(
        terms: impl Iterator<Item = &'a str>,
        algorithm: FuzzyAlgorithm,
        threshold: f64,
        case_sensitive: bool,
    ) -> Self {
        let fold = |term: &str| if case_sensitive { term.to_owned() } else { term.to_lowercase() };
        let terms = terms.filter(|term| !term.is_empty()).map(fold).collect();
        Self { terms, algorithm, threshold, case_sensitive }
    }

    /// The best score over all terms, `None` if no term matches.
    pub(super) fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let folded;
        let name = if self.case_sensitive {
            name
        } else {
            folded = name.to_lowercase();
            &folded
        };
        self.terms.iter().filter_map(|term| self.score_of(term, name)).reduce(f64::max)
    }

    fn score_of(&self, term: &str, name: &str) -> Option<f64> {
        match self.algorithm {
            FuzzyAlgorithm::Subsequence => {
                if name.starts_with(term) {
                    return Some(1.0);
                }
                let score = subsequence_score(term, name);
                (score > 0.0 && score >= self.threshold).then_some(score)
            }
            FuzzyAlgorithm::JaroWinkler => {
                let contained = substring_score(term, name);
                let fuzzy = (self.threshold > 0.0)
                    .then(|| strsim::jaro_winkler(term, name))
                    .filter(|score| *score >= self.threshold);
                match (contained, fuzzy) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    (a, b) => a.or(b),
                }
            }
        }
    }
}

/// 1 at the start of the name, falling to 0.1 at its end.
fn substring_score(term: &str, name: &str) -> Option<f64> {
    let at = name.find(term)?;
    let (before, _) = name.split_at(at);
    let position = before.chars().count();
    let room = name.chars().count().saturating_sub(term.chars().count());
    if position == 0 || room == 0 {
        return Some(1.0);
    }
    Some(1.0 - 0.9 * position as f64 / room as f64)
}

/// The characters of the term in order: runs count by their square, gaps against them.
fn subsequence_score(term: &str, name: &str) -> f64 {
    if term == name {
        return 1.0;
    }
    let (term, name): (Vec<char>, Vec<char>) = (term.chars().collect(), name.chars().collect());
    if term.is_empty() || term.len() > name.len() {
        return 0.0;
    }
    let best = (0..=name.len() - term.len())
        .filter(|start| name[*start] == term[0])
        .map_while(|start| score_from(&term, &name, start))
        .fold(-1.0, f64::max);
    if best < 0.0 {
        return 0.0;
    }
    (INEXACT_SCALE * best / (term.len() * term.len()) as f64).clamp(0.0, INEXACT_SCALE)
}

/// `None` when the term cannot be completed from here, and so from no later start either.
fn score_from(term: &[char], name: &[char], start: usize) -> Option<f64> {
    let per_char = 1.0 / name.len() as f64;
    let (mut score, mut matched, mut at, mut behind) = (0.0, 0, start, 0);
    while matched < term.len() {
        let from = at + name[at..].iter().position(|c| *c == term[matched])?;
        let run = name[from..].iter().zip(&term[matched..]).take_while(|(a, b)| a == b).count();
        score += (run * run) as f64 - (from - behind) as f64 * per_char;
        matched += run;
        at = from + run;
        behind = at;
    }
    Some(score - (name.len() - behind) as f64 * per_char * 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_score_by_how_they_match() {
        let filter = |term: &'static str, algorithm, threshold| {
            NameFilter::new(std::iter::once(term), algorithm, threshold, false)
        };
        use FuzzyAlgorithm::{JaroWinkler, Subsequence};
        for (term, algorithm, threshold, name, expected) in [
            ("http", Subsequence, 0.0, "http_requests_total", Some(1.0)),
            ("HTTP", Subsequence, 0.0, "http_requests_total", Some(1.0)),
            ("zzz", Subsequence, 0.0, "http_requests_total", None),
            ("total", JaroWinkler, 0.0, "total", Some(1.0)),
            ("b", JaroWinkler, 0.0, "ab", Some(0.1)),
            ("xyz", JaroWinkler, 0.9, "http", None),
        ] {
            let score = filter(term, algorithm, threshold).score(name);
            assert_eq!(
                score.map(|s| (s * 1000.0).round()),
                expected.map(|s: f64| (s * 1000.0).round()),
                "{term}"
            );
        }
        let spread = filter("hrt", Subsequence, 0.0).score("http_requests_total").unwrap();
        let dense = filter("requests", Subsequence, 0.0).score("http_requests_total").unwrap();
        assert!(spread > 0.0 && spread < dense && dense < 1.0);
    }
}
