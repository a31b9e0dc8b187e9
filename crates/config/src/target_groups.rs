//! Files and HTTP answers of target groups, as `file_sd_configs` and `http_sd_configs` deliver them.

use rules::config::SourcePos;
use scrape::sd_config::TargetGroup;

use crate::decode::{decode_node, parse_text};
use crate::error::{ConfigError, DecodeError, Problem};
use crate::prometheus::job::target_group;
use crate::schema::sd::TARGET_GROUP;

/// Reads a list of target groups (YAML; JSON is YAML too). The i-th group has source `i`; errors name
/// no file.
pub fn parse_target_groups(text: &str) -> Result<Vec<TargetGroup>, ConfigError> {
    parse(text).map_err(DecodeError::bare)
}

/// The same with a path: the i-th group has source `path:i`, and errors name the file.
pub fn parse_target_file(text: &str, path: &str) -> Result<Vec<TargetGroup>, ConfigError> {
    let mut groups = parse(text).map_err(|err| err.prefixed(path))?;
    for group in &mut groups {
        group.source = format!("{path}:{}", group.source);
    }
    Ok(groups)
}

fn parse(text: &str) -> Result<Vec<TargetGroup>, DecodeError> {
    let Some(node) = parse_text(text)?.filter(|node| !node.is_null()) else { return Ok(Vec::new()) };
    let at = |pos: SourcePos, message: String| Problem { pos: Some(pos), message };
    let Some(items) = node.items() else {
        let message =
            "cannot unmarshal the document into []*targetgroup.Group: a list is expected".to_owned();
        return Err(DecodeError::Types(vec![at(node.pos, message)]));
    };
    let mut groups = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if item.is_null() {
            let message = format!("nil target group item found (index {index})");
            return Err(DecodeError::Semantic(at(item.pos, message)));
        }
        groups.push(target_group(&decode_node(item, &TARGET_GROUP)?, &index.to_string()));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_groups_are_read_strictly() {
        for text in [
            r#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x"}}]"#,
            "- targets: ['a:1', 'b:2']\n  labels:\n    env: x\n",
        ] {
            let groups = parse_target_groups(text).unwrap();
            assert_eq!(
                (groups.len(), groups[0].targets.len(), groups[0].labels.get("env")),
                (1, 2, Some("x"))
            );
        }
        let json = r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}, {"targets": []}]"#;
        let groups = parse_target_file(json, "t.json").unwrap();
        assert_eq!((groups.len(), groups[0].targets.len(), groups[1].source.as_str()), (2, 2, "t.json:1"));
        assert_eq!(groups[0].targets[1].get("__address__"), Some("b:2"));
        assert_eq!(parse_target_groups("").unwrap(), []);
        for (text, want) in [
            ("{}", "a list is expected"),
            ("[null]", "nil target group item found (index 0)"),
            ("- targets: [a]\n  lables: {}", "line 2: field lables not found in type"),
            ("- targets: a", "cannot unmarshal !!str `a` into []string"),
            ("- targets: [a]\n  labels: {a: [b]}", "cannot unmarshal !!seq into string"),
        ] {
            let err = parse_target_groups(text).unwrap_err().to_string();
            assert!(err.contains(want), "{text}: {err}");
        }
    }
}
