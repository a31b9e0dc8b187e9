//! Upstream's patterns on upstream's values.

use model::regex::{GoRegex, LabelRegex};

use crate::conformance::json;

/// The texts of a list. Four of upstream's values are bytes that are not UTF-8, given in
/// hexadecimal; our labels are text, so no label can have them.
fn texts(value: &serde_json::Value) -> Vec<&str> {
    let all = value.as_array().expect("a list");
    let texts: Vec<&str> = all.iter().filter_map(serde_json::Value::as_str).collect();
    let no_text = all.iter().filter(|v| v["hex"].is_string()).count();
    assert_eq!(texts.len() + no_text, all.len());
    texts
}

/// The table has no results. Upstream compares its matcher with Go's engine; we compare ours with
/// two others, of which the second knows nothing of our translation.
#[test]
fn matchers_agree_with_the_engines() {
    let Some(table) = json("metrics/derived/label_regex_cases.json") else { return };
    let mut n_compared = 0;
    for pattern in texts(&table["regexes"]) {
        let fast = LabelRegex::new(pattern).unwrap_or_else(|e| panic!("{e}"));
        let engine = GoRegex::new_anchored(pattern).unwrap();
        let plain = regex::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        for value in texts(&table["values"]) {
            assert_eq!(fast.is_match(value), plain.is_match(value), "{pattern} on {value:?}");
            assert_eq!(engine.is_match(value), plain.is_match(value), "{pattern} on {value:?}, engine");
            if fast.is_match(value) {
                assert!(value.starts_with(fast.prefix()), "{pattern} has prefix {}", fast.prefix());
            }
            if let Some(literals) = fast.literals() {
                assert_eq!(
                    literals.iter().any(|l| l == value),
                    plain.is_match(value),
                    "{pattern} on {value:?}"
                );
            }
            n_compared += 1;
        }
    }
    assert!(n_compared >= 70 * 13, "{n_compared}");
}
