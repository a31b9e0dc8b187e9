use super::*;

fn rule(
    action: RelabelAction,
    source: &[&str],
    regex: &str,
    target: &str,
    replacement: &str,
) -> RelabelConfig {
    RelabelConfig {
        action,
        source_labels: source.iter().map(|name| (*name).to_owned()).collect(),
        regex: GoRegex::new_anchored(regex).unwrap(),
        target_label: target.to_owned(),
        replacement: replacement.to_owned(),
        ..RelabelConfig::default()
    }
}

#[test]
fn rules_are_checked_with_upstreams_texts() {
    use RelabelAction::{
        DropEqual, HashMod, Keep, KeepEqual, LabelDrop, LabelMap, Lowercase, Replace, Uppercase,
    };
    let (utf8, legacy) = (NameValidation::Utf8, NameValidation::Legacy);
    for (scheme, rule, expected) in [
        (
            utf8,
            rule(HashMod, &["a"], "(.*)", "b", "$1"),
            "relabel configuration for hashmod requires non-zero modulus",
        ),
        (utf8, rule(Keep, &["a"], "b", "", "$1"), ""),
        (
            utf8,
            rule(Lowercase, &["a"], "(.*)", "", "$1"),
            "relabel configuration for lowercase action requires 'target_label' value",
        ),
        (
            legacy,
            rule(Lowercase, &["a"], "(.*)", "${3}", "$1"),
            r#""${3}" is invalid 'target_label' for lowercase action"#,
        ),
        (utf8, rule(Lowercase, &["a"], "(.*)", "${3}", "$1"), ""),
        (
            legacy,
            rule(Replace, &["a"], "(.*)", "some-${1}", "$1"),
            r#""some-${1}" is invalid 'target_label' for replace action"#,
        ),
        (legacy, rule(Replace, &["a"], "(.*)", "some_${1}", "$1"), ""),
        (
            legacy,
            rule(Replace, &["a"], "(.*)", "0${1}", "$1"),
            r#""0${1}" is invalid 'target_label' for replace action"#,
        ),
        (
            legacy,
            rule(LabelMap, &[], "(.*)", "", "a.$1"),
            r#""a.$1" is invalid 'replacement' for labelmap action"#,
        ),
        (utf8, rule(LabelMap, &[], "(.*)", "", "a.$1"), ""),
        (
            utf8,
            rule(Uppercase, &["a"], "(.*)", "b", "x"),
            "'replacement' can not be set for uppercase action",
        ),
        (
            utf8,
            rule(DropEqual, &["a"], "x", "b", "$1"),
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (utf8, rule(KeepEqual, &["a"], "(.*)", "b", "$1"), ""),
        (
            utf8,
            rule(LabelDrop, &["a"], "x", "", "$1"),
            "labeldrop action requires only 'regex', and no other fields",
        ),
        (utf8, rule(LabelDrop, &[], "x", "", "$1"), ""),
    ] {
        let mut checked = rule.clone();
        let found = checked.validate(scheme).map_or_else(|e| e.to_string(), |()| String::new());
        assert_eq!(found, expected, "{rule:?}");
        if expected.is_empty() {
            assert_eq!(checked.name_validation_scheme, Some(scheme));
        }
    }
}

#[test]
fn letters_are_mapped_one_to_one() {
    for (action, source, expected) in [
        (RelabelAction::Uppercase, "straße é", "STRAßE É"),
        (RelabelAction::Lowercase, "ÀİB", "àib"),
        (RelabelAction::Lowercase, "", ""),
    ] {
        let labels = Labels::from_pairs([("a", source), ("b", "old")]);
        let mut rule = rule(action, &["a"], "(.*)", "b", "$1");
        rule.validate(NameValidation::Utf8).unwrap();
        let found = process(&labels, &[rule]).unwrap();
        assert_eq!(found.get("b").unwrap_or(""), expected);
    }
}

#[test]
fn a_trace_shows_each_step_and_where_labels_were_dropped() {
    let labels = Labels::from_pairs([("a", "x")]);
    let rules = [
        rule(RelabelAction::Replace, &["a"], "(.*)", "b", "$1$1"),
        rule(RelabelAction::Drop, &["b"], "xx", "", "$1"),
        rule(RelabelAction::Replace, &[], "(.*)", "c", "1"),
    ];
    let steps: Vec<(String, bool)> =
        trace(&labels, &rules).into_iter().map(|step| (step.output.to_string(), step.keep)).collect();
    let dropped = ("{}".to_owned(), false);
    assert_eq!(steps, [(r#"{a="x", b="xx"}"#.to_owned(), true), dropped.clone(), dropped]);
    assert_eq!(process(&labels, &rules), None);
    assert_eq!(process(&labels, &[]), Some(labels));
}
