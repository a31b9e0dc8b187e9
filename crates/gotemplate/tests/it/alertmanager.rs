//! The data and functions of Alertmanager 0.25's templates, enough to run its default templates.

use std::fmt;
use std::sync::Arc;

use gotemplate::{CallError, Function, Functions, GoTime, Object, Param, SafeKind, Value};
use model::regex::GoRegex;
use serde_json::Value as Json;

#[derive(Debug)]
struct Struct {
    type_name: &'static str,
    fields: Vec<(&'static str, Value)>,
}

impl Object for Struct {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        self.fields.clone()
    }
}

/// A named slice or map and its methods.
struct Named {
    type_name: &'static str,
    plain: Value,
    methods: &'static [(&'static str, &'static [Param])],
    call: fn(&Value, &str, &[Value]) -> Value,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}

impl Object for Named {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        self.methods.iter().find(|(known, _)| *known == name).map(|(_, params)| *params)
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, CallError> {
        Ok((self.call)(&self.plain, name, args))
    }

    fn underlying(&self) -> Option<Value> {
        Some(self.plain.clone())
    }
}

fn strings(json: &Json) -> Vec<(String, String)> {
    let Json::Object(map) = json else { return Vec::new() };
    map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

pub(crate) fn kv(pairs: Vec<(String, String)>) -> Value {
    Value::object(Named {
        type_name: "template.KV",
        plain: Value::string_map(pairs),
        methods: &[
            ("SortedPairs", &[]),
            ("Names", &[]),
            ("Values", &[]),
            ("Remove", &[Param::Named("[]string")]),
        ],
        call: call_kv,
    })
}

fn call_kv(plain: &Value, name: &str, args: &[Value]) -> Value {
    let Value::Map(map) = plain else { return Value::Nil };
    let mut pairs: Vec<(String, String)> =
        map.entries.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
    if name == "Remove" {
        let Some(Value::List(removed)) = args.first() else { return Value::Nil };
        pairs.retain(|(k, _)| !removed.items.iter().any(|item| item.as_str() == Some(k)));
        return kv(pairs);
    }
    pairs.sort_by_key(|(k, _)| (k != "alertname", k.clone()));
    match name {
        "Names" => Value::strings(pairs.into_iter().map(|(k, _)| k)),
        "Values" => Value::strings(pairs.into_iter().map(|(_, v)| v)),
        _ => sorted_pairs(pairs),
    }
}

fn sorted_pairs(pairs: Vec<(String, String)>) -> Value {
    let items = pairs.into_iter().map(|(name, value)| {
        Value::object(Struct {
            type_name: "template.Pair",
            fields: vec![("Name", name.into()), ("Value", value.into())],
        })
    });
    Value::object(Named {
        type_name: "template.Pairs",
        plain: Value::list("template.Pairs", items.collect()),
        methods: &[("Names", &[]), ("Values", &[])],
        call: |plain, name, _| {
            let Value::List(list) = plain else { return Value::Nil };
            let field = if name == "Names" { "Name" } else { "Value" };
            Value::strings(list.items.iter().filter_map(|item| match item {
                Value::Object(object) => object.field(field).and_then(|v| v.as_str().map(str::to_owned)),
                _ => None,
            }))
        },
    })
}

fn alert(json: &Json) -> Value {
    let text = |key: &str| Value::str(json[key].as_str().unwrap_or_default());
    let time =
        |key: &str| Value::Time(json[key].as_str().and_then(GoTime::parse_rfc3339).unwrap_or(GoTime::ZERO));
    Value::object(Struct {
        type_name: "template.Alert",
        fields: vec![
            ("Status", text("status")),
            ("Labels", kv(strings(&json["labels"]))),
            ("Annotations", kv(strings(&json["annotations"]))),
            ("StartsAt", time("startsAt")),
            ("EndsAt", time("endsAt")),
            ("GeneratorURL", text("generatorURL")),
            ("Fingerprint", text("fingerprint")),
        ],
    })
}

fn alerts(json: &Json) -> Value {
    let items = json.as_array().map(|all| all.iter().map(alert).collect()).unwrap_or_default();
    Value::object(Named {
        type_name: "template.Alerts",
        plain: Value::list("template.Alerts", items),
        methods: &[("Firing", &[]), ("Resolved", &[])],
        call: |plain, name, _| {
            let Value::List(list) = plain else { return Value::Nil };
            let wanted = if name == "Firing" { "firing" } else { "resolved" };
            let is_wanted = |item: &&Value| match item {
                Value::Object(object) => {
                    object.field("Status").is_some_and(|status| status.as_str() == Some(wanted))
                }
                _ => false,
            };
            Value::list("[]template.Alert", list.items.iter().filter(is_wanted).cloned().collect())
        },
    })
}

/// `template.Data` from its JSON.
pub(crate) fn data(json: &Json) -> Value {
    let text = |key: &str| Value::str(json[key].as_str().unwrap_or_default());
    Value::object(Struct {
        type_name: "template.Data",
        fields: vec![
            ("Receiver", text("receiver")),
            ("Status", text("status")),
            ("Alerts", alerts(&json["alerts"])),
            ("GroupLabels", kv(strings(&json["groupLabels"]))),
            ("CommonLabels", kv(strings(&json["commonLabels"]))),
            ("CommonAnnotations", kv(strings(&json["commonAnnotations"]))),
            ("ExternalURL", text("externalURL")),
        ],
    })
}

fn text(args: &[Value], idx: usize) -> &str {
    args[idx].as_str().unwrap_or_default()
}

/// The functions of Alertmanager 0.25, and the list and dictionary functions of later ones.
pub(crate) fn functions() -> Functions<'static> {
    let mut functions = Functions::new();
    let on_text =
        |body: fn(&str) -> String| Function::new(&[Param::Str], move |args| Ok(body(text(args, 0)).into()));
    functions
        .add("toUpper", on_text(str::to_uppercase))
        .add("toLower", on_text(str::to_lowercase))
        .add("title", on_text(|s| gotemplate::prometheus::title_case(&s.to_lowercase())))
        .add("trimSpace", on_text(|s| s.trim().to_owned()))
        .add(
            "join",
            Function::new(&[Param::Str, Param::Named("[]string")], |args| {
                let Value::List(list) = &args[1] else { return Ok(Value::Nil) };
                let all: Vec<&str> = list.items.iter().filter_map(Value::as_str).collect();
                Ok(all.join(text(args, 0)).into())
            }),
        )
        .add(
            "match",
            Function::new(&[Param::Str, Param::Str], |args| {
                let pattern = GoRegex::new(text(args, 0)).map_err(|e| CallError::new(e.to_string()))?;
                Ok(Value::Bool(pattern.is_match(text(args, 1))))
            }),
        )
        .add("safeHtml", Function::new(&[Param::Str], |args| Ok(safe(SafeKind::Html, text(args, 0)))))
        .add("safeUrl", Function::new(&[Param::Str], |args| Ok(safe(SafeKind::Url, text(args, 0)))))
        .add(
            "reReplaceAll",
            Function::new(&[Param::Str, Param::Str, Param::Str], |args| {
                let pattern = gotemplate::prometheus::must_compile(text(args, 0))?;
                Ok(pattern.replace_all(text(args, 2), text(args, 1)).into())
            }),
        )
        .add(
            "stringSlice",
            Function::variadic(&[], Param::Str, |args| Ok(Value::list("[]string", args.to_vec()))),
        );
    add_collections(&mut functions);
    functions
}

fn add_collections(functions: &mut Functions<'static>) {
    functions
        .add(
            "list",
            Function::variadic(&[], Param::Any, |args| Ok(Value::list("[]interface {}", args.to_vec()))),
        )
        .add(
            "append",
            Function::variadic(&[Param::Named("[]interface {}")], Param::Any, |args| {
                let Value::List(list) = &args[0] else { return Ok(Value::Nil) };
                let items = list.items.iter().chain(&args[1..]).cloned().collect();
                Ok(Value::list("[]interface {}", items))
            }),
        )
        .add(
            "dict",
            Function::variadic(&[], Param::Any, |args| {
                if !args.len().is_multiple_of(2) {
                    return Err(CallError::new("dict requires an even number of arguments"));
                }
                let mut pairs = Vec::new();
                for pair in args.chunks(2) {
                    let Value::Str(key) = &pair[0] else {
                        return Err(CallError::new("dict keys must be strings"));
                    };
                    pairs.push((key.to_string(), pair[1].clone()));
                }
                Ok(Value::any_map(pairs))
            }),
        );
}

fn safe(kind: SafeKind, text: &str) -> Value {
    Value::Safe(kind, Arc::from(text))
}
