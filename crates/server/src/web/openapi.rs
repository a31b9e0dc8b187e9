//! `/api/v1/openapi.yaml`: the API described for machines.

use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};

use super::reply::with_type;

/// The description, in OpenAPI 3.1; there is no other version of it.
const DOCUMENT: &str = include_str!("openapi.yaml");

pub(crate) async fn openapi() -> Response {
    let mut response = with_type(StatusCode::OK, "application/yaml; charset=utf-8", DOCUMENT);
    let fresh = HeaderValue::from_static("no-cache, no-store, must-revalidate");
    response.headers_mut().insert(CACHE_CONTROL, fresh);
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use config::yaml::{Node, parse};

    use super::*;

    const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

    /// Follows `$ref` once, which is as deep as both documents nest them.
    fn resolve<'a>(document: &'a Node, node: &'a Node) -> &'a Node {
        let Some(target) = node.get("$ref").and_then(Node::scalar_text) else { return node };
        let steps = target.strip_prefix("#/").expect("references stay inside the document").split('/');
        steps.fold(document, |at, step| at.get(step).unwrap_or_else(|| panic!("{target} leads nowhere")))
    }

    /// `METHOD path` to sorted `place name[!]` of its parameters and form fields; `!` if required.
    fn operations(document: &Node) -> BTreeMap<String, Vec<String>> {
        let text =
            |node: &Node, key: &str| node.get(key).and_then(Node::scalar_text).unwrap_or("").to_owned();
        let mut found = BTreeMap::new();
        for (path, item) in document.get("paths").and_then(Node::entries).expect("paths") {
            for (method, operation) in item.entries().expect("operations") {
                let method = method.scalar_text().expect("a method");
                assert!(METHODS.contains(&method), "{method}");
                let mut names = Vec::new();
                for parameter in operation.get("parameters").and_then(Node::items).unwrap_or(&[]) {
                    let parameter = resolve(document, parameter);
                    let mark = if text(parameter, "required") == "true" { "!" } else { "" };
                    names.push(format!("{} {}{mark}", text(parameter, "in"), text(parameter, "name")));
                }
                let content = operation.get("requestBody").and_then(|body| body.get("content"));
                for (media_type, body) in content.and_then(Node::entries).unwrap_or(&[]) {
                    assert_eq!(media_type.scalar_text(), Some("application/x-www-form-urlencoded"));
                    let schema = resolve(document, body.get("schema").expect("a schema"));
                    let required = schema.get("required").and_then(Node::items).unwrap_or(&[]);
                    for (field, _) in schema.get("properties").and_then(Node::entries).expect("fields") {
                        let field = field.scalar_text().expect("a name");
                        let is_required = required.iter().any(|name| name.scalar_text() == Some(field));
                        names.push(format!("form {field}{}", if is_required { "!" } else { "" }));
                    }
                }
                names.sort();
                found.insert(format!("{method} {}", path.scalar_text().expect("a path")), names);
            }
        }
        found
    }

    /// Every `$ref` below `node` leads somewhere.
    fn check_references(document: &Node, node: &Node) {
        resolve(document, node);
        node.entries().unwrap_or(&[]).iter().for_each(|(_, value)| check_references(document, value));
        node.items().unwrap_or(&[]).iter().for_each(|item| check_references(document, item));
    }

    #[test]
    fn references_lead_somewhere() {
        let document = parse(DOCUMENT).unwrap().unwrap();
        check_references(&document, &document);
        assert!(operations(&document).len() > 40);
    }

    #[test]
    fn operations_and_parameters_are_those_of_upstream() {
        let shared = std::env::var_os("SEXTANT_SHARED").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
            PathBuf::from,
        );
        let golden = "conformance/metrics/prometheus/web/api/v1/testdata/openapi_3.1_golden.yaml";
        let Ok(golden) = std::fs::read_to_string(shared.join(golden)) else {
            println!("SKIPPED: needs ../shared (the OpenAPI document of upstream)");
            return;
        };
        let expected = operations(&parse(&golden).unwrap().unwrap());
        assert_eq!(operations(&parse(DOCUMENT).unwrap().unwrap()), expected);
    }
}
