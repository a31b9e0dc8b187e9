//! `go_template_golden.json`: 335 templates as Go's engine rendered them through amtool, and the
//! expansion vectors of Alertmanager.

use std::path::Path;

use gotemplate::{Limits, MissingKey, TemplateSet, Value};
use serde_json::Value as Json;

use crate::{alertmanager, shared, skipped};

/// Cases in which the recorded engine is older than the one upstream ships today: since Go 1.22
/// `range` counts to an integer.
const OUTDATED: [&str; 1] = ["{{ range 3 }}x{{ end }}"];

/// Alertmanager's own default templates, which the conformance data does not hold.
fn default_templates() -> Option<Vec<String>> {
    let dir = std::env::var_os("SEXTANT_ALERTMANAGER_TEMPLATES")?;
    let read = |name: &str| std::fs::read_to_string(Path::new(&dir).join(name)).ok();
    Some(vec![read("default.tmpl")?, read("email.tmpl")?])
}

fn needs_defaults(template: &str) -> bool {
    template.contains(".default.") || template.contains("{{ template \"__")
}

fn text_set() -> TemplateSet<'static> {
    TemplateSet::new(alertmanager::functions(), MissingKey::Zero, Limits::default())
}

fn render(defaults: Option<&[String]>, template: &str, data: &Value, html: bool) -> Result<String, String> {
    let mut set = text_set();
    for text in defaults.unwrap_or_default() {
        set.parse("defaults", text).map_err(|e| e.to_string())?;
    }
    set.parse("", template).map_err(|e| e.to_string())?;
    if html { set.execute_html("", data) } else { set.execute("", data) }.map_err(|e| e.to_string())
}

#[test]
fn templates_render_as_go_renders_them() {
    let Some(file) = shared("alerting/derived/go_template_golden.json") else {
        return skipped("../shared (go_template_golden.json)");
    };
    let golden: Json = serde_json::from_str(&file).unwrap();
    let data = alertmanager::data(&golden["data"]);
    let defaults = default_templates();
    let mut without_defaults = 0;
    let mut failures = Vec::new();
    let mut run = 0;
    for case in golden["cases"].as_array().unwrap() {
        let html = case["type"] == "html";
        let template = case["template"].as_str().unwrap();
        if defaults.is_none() && needs_defaults(template) {
            without_defaults += 1;
            continue;
        }
        if OUTDATED.contains(&template) {
            assert_eq!(render(None, template, &data, html).as_deref(), Ok("xxx"));
            continue;
        }
        run += 1;
        let expected = match (case["out"].as_str(), case["error"].as_str()) {
            (Some(out), _) => Ok(out.to_owned()),
            (None, error) => Err(error.unwrap_or_default().to_owned()),
        };
        // The recording lost one newline at the end, as its note says.
        let got = render(defaults.as_deref(), template, &data, html)
            .map(|out| out.strip_suffix('\n').map_or(out.clone(), str::to_owned));
        if got != expected {
            failures.push(format!("{template}\n  want {expected:?}\n  got  {got:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {run} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(run > 100, "only {run} cases");
    if without_defaults > 0 {
        skipped(&format!("Alertmanager's default.tmpl ({without_defaults} cases)"));
    }
}

fn vector_data(case: &Json) -> Option<Value> {
    let Some(go) = case["data_go"].as_str() else { return Some(Value::Nil) };
    match go {
        r#"[]string{"a", "b", "c"}"# => Some(Value::strings(["a", "b", "c"])),
        go if go.contains("GroupLabels") && !go.contains("RouteLabels") => {
            let keys = ["key1", "key2", "key3", "key4"];
            let labels = alertmanager::kv(keys.iter().map(|k| ((*k).to_owned(), (*k).to_owned())).collect());
            Some(Value::any_map([("GroupLabels", labels)]))
        }
        _ => None,
    }
}

#[test]
fn alertmanager_expansions_hold() {
    let Some(file) = shared("alerting/derived/template_expansion_vectors.json") else {
        return skipped("../shared (template_expansion_vectors.json)");
    };
    let vectors: Json = serde_json::from_str(&file).unwrap();
    // These functions belong to Alertmanager's notifier, which is a later crate.
    let later = ["toJson", "routeLabels", "base64", "urlUnescape"];
    let (mut run, mut left) = (0, 0);
    for case in vectors["cases"].as_array().unwrap() {
        let template = case["in"].as_str().unwrap();
        let data = vector_data(case);
        if later.iter().any(|name| template.contains(name)) || data.is_none() {
            left += 1;
            continue;
        }
        run += 1;
        let got = render(None, template, &data.unwrap(), case["html"] == true);
        match case["exp"].as_str() {
            Some(expected) => assert_eq!(got.as_deref(), Ok(expected), "{}", case["title"]),
            None => assert!(got.is_err(), "{}: {got:?}", case["title"]),
        }
    }
    assert!(run >= 20, "only {run} cases");
    skipped(&format!("Alertmanager's notifier functions ({left} vectors)"));
}
