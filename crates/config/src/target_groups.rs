//! Lists of target groups as `file_sd_configs` files and `http_sd_configs` answers hold them, JSON
//! or YAML alike, since JSON is YAML.

use scrape::sd_config::TargetGroup;

use crate::decode::{decode_node, parse_text};
use crate::error::ConfigError;
use crate::prometheus::job::target_group;
use crate::schema::sd::TARGET_GROUP;

/// Reads a list of groups. Sources are the positions in the list; the caller names them fully.
pub fn parse_target_groups(text: &str) -> Result<Vec<TargetGroup>, ConfigError> {
    let Some(node) = parse_text(text).map_err(|err| err.prefixed("target groups"))? else {
        return Ok(Vec::new());
    };
    let items = match node.items() {
        Some(items) => items,
        None if node.is_null() => &[],
        // A single group is not a list; the decoder words the refusal.
        None => std::slice::from_ref(&node),
    };
    let mut groups = Vec::with_capacity(items.len());
    for (idx, item) in items.iter().enumerate() {
        let record = decode_node(item, &TARGET_GROUP).map_err(|err| err.prefixed("target groups"))?;
        groups.push(target_group(&record, &idx.to_string()));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_as_json_or_yaml() {
        for text in [
            r#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x"}}]"#,
            "- targets: ['a:1', 'b:2']\n  labels:\n    env: x\n",
        ] {
            let groups = parse_target_groups(text).unwrap();
            assert_eq!(groups.len(), 1);
            assert_eq!((groups[0].targets.len(), groups[0].labels.get("env")), (2, Some("x")));
            assert_eq!(groups[0].targets[1].get("__address__"), Some("b:2"));
        }
        assert!(parse_target_groups("").unwrap().is_empty());
        for bad in ["[{\"target\": []}]", "[1, 2", "- targets: {a: b}"] {
            assert!(parse_target_groups(bad).is_err(), "{bad}");
        }
    }
}
