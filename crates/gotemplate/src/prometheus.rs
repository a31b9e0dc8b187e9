//! The functions of Prometheus's alert annotations, alert labels and consoles, and their expansion.

mod host;
mod humanize;

use model::Labels;
use model::regex::GoRegex;

use crate::escape::escape_url_query;
use crate::exec::Limits;
use crate::function::{CallError, Function, Functions, Param};
use crate::set::{MissingKey, TemplateError, TemplateSet};
use crate::time::GoTime;
use crate::value::{Object, SafeKind, Value};
use humanize::{
    humanize, humanize_1024, humanize_duration, humanize_percentage, humanize_timestamp, timestamp_ms,
    to_float,
};

/// One element of what `query` gives.
#[derive(Debug, Clone)]
pub struct QuerySample {
    pub labels: Labels,
    /// A [`Value::Float`], or an object that prints a histogram.
    pub value: Value,
}

/// The URL under which users reach the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalUrl {
    /// `http://host:9090/prefix`
    pub url: String,
    /// `/prefix`
    pub path: String,
}

impl ExternalUrl {
    /// Takes the path out of an absolute URL.
    pub fn new(url: &str) -> Self {
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let rest = &url[after_scheme..];
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
        Self { url: url.to_owned(), path: path.to_owned() }
    }
}

/// Runs an instant query at the time of the expansion.
pub type QueryFn<'q> = &'q (dyn Fn(&str) -> Result<Vec<QuerySample>, CallError> + Send + Sync);

/// What an expansion may ask for.
#[derive(Clone, Copy)]
pub struct Environment<'q> {
    /// The evaluation time, milliseconds since the Unix epoch.
    pub now_ms: i64,
    pub query: QueryFn<'q>,
    pub external_url: &'q ExternalUrl,
    pub limits: Limits,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("now_ms", &self.now_ms).finish_non_exhaustive()
    }
}

/// What goes before the text of every alert label and annotation.
pub const ALERT_PREAMBLE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// The data of alert labels and annotations.
#[derive(Debug, Clone)]
pub struct AlertData {
    pub labels: Value,
    pub external_labels: Value,
    pub external_url: String,
    pub value: Value,
}

impl Object for AlertData {
    fn type_name(&self) -> &str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Labels", self.labels.clone()),
            ("ExternalLabels", self.external_labels.clone()),
            ("ExternalURL", Value::str(&self.external_url)),
            ("Value", self.value.clone()),
        ]
    }
}

/// A `map[string]string` of labels.
pub fn labels_value(labels: &Labels) -> Value {
    Value::string_map(labels.iter())
}

/// Why an expansion failed, with upstream's texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("error parsing template {name}: {error}")]
    Parse { name: String, error: TemplateError },
    #[error("error parsing template files for {name}: {error}")]
    ParseFiles { name: String, error: TemplateError },
    #[error("error executing template {name}: {error}")]
    Execute { name: String, error: TemplateError },
}

/// A parsed template, to be expanded for many alerts.
#[derive(Debug)]
pub struct Prepared<'q> {
    name: String,
    set: TemplateSet<'q>,
}

impl Prepared<'_> {
    pub fn expand(&self, data: &Value) -> Result<String, ExpandError> {
        let executed = self.set.execute(&self.name, data);
        executed.map_err(|error| ExpandError::Execute { name: self.name.clone(), error })
    }
}

/// Parses `text` for text mode.
pub fn prepare<'q>(
    name: &str,
    text: &str,
    environment: Environment<'q>,
    missing_key: MissingKey,
) -> Result<Prepared<'q>, ExpandError> {
    let mut set = TemplateSet::new(functions(environment), missing_key, environment.limits);
    let name = name.to_owned();
    match set.parse(&name, text) {
        Ok(()) => Ok(Prepared { name, set }),
        Err(error) => Err(ExpandError::Parse { name, error }),
    }
}

/// Expands `text` once in text mode, missing keys giving zero values.
pub fn expand(
    name: &str,
    text: &str,
    data: &Value,
    environment: Environment<'_>,
) -> Result<String, ExpandError> {
    prepare(name, text, environment, MissingKey::Zero)?.expand(data)
}

/// Expands `text` as a console: HTML escaped, with the templates of `libraries` (name, text) at hand.
pub fn expand_html(
    name: &str,
    text: &str,
    libraries: &[(&str, &str)],
    data: &Value,
    environment: Environment<'_>,
) -> Result<String, ExpandError> {
    let mut functions = functions(environment);
    functions.add("tmpl", Function::template());
    let mut set = TemplateSet::new(functions, MissingKey::Zero, environment.limits);
    set.parse(name, text).map_err(|error| ExpandError::Parse { name: name.to_owned(), error })?;
    for (library, text) in libraries {
        let failed = |error| ExpandError::ParseFiles { name: name.to_owned(), error };
        set.parse(library, text).map_err(failed)?;
    }
    set.execute_html(name, data).map_err(|error| ExpandError::Execute { name: name.to_owned(), error })
}

/// The names of all functions of text templates, sorted, as the list of features shows them.
pub fn function_names() -> Vec<&'static str> {
    let url = ExternalUrl::default();
    let query = |_: &str| Ok(Vec::new());
    let environment = Environment { now_ms: 0, query: &query, external_url: &url, limits: Limits::default() };
    functions(environment).names().collect()
}

/// Whether `text` parses as the label or annotation of an alert; for checking rule files.
pub fn parse_test(name: &str, text: &str) -> Result<(), TemplateError> {
    let url = ExternalUrl::default();
    let query = |_: &str| Ok(Vec::new());
    let environment = Environment { now_ms: 0, query: &query, external_url: &url, limits: Limits::default() };
    TemplateSet::new(functions(environment), MissingKey::Zero, Limits::default()).parse(name, text)
}

const SAMPLE: &str = "*template.sample";
const QUERY_RESULT: &str = "template.queryResult";

#[derive(Debug)]
struct SampleObject {
    labels: Value,
    value: Value,
}

impl Object for SampleObject {
    fn type_name(&self) -> &str {
        SAMPLE
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Labels", self.labels.clone()), ("Value", self.value.clone())]
    }
}

fn field(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(object) => object.field(name).unwrap_or_default(),
        _ => Value::Nil,
    }
}

fn sample_label(sample: &Value, label: &str) -> Value {
    match field(sample, "Labels") {
        Value::Map(map) => map.entries.get(label).unwrap_or(&map.zero).clone(),
        _ => Value::str(""),
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(list) => &list.items,
        _ => &[],
    }
}

fn text(args: &[Value], idx: usize) -> &str {
    args.get(idx).and_then(Value::as_str).unwrap_or_default()
}

/// All functions of text templates. Consoles have `tmpl` besides.
pub fn functions(environment: Environment<'_>) -> Functions<'_> {
    let mut functions = Functions::new();
    add_query_functions(&mut functions, environment);
    add_number_functions(&mut functions, environment.now_ms);
    add_text_functions(&mut functions);
    let url = environment.external_url;
    functions
        .add("pathPrefix", Function::new(&[], |_| Ok(Value::str(&url.path))))
        .add("externalURL", Function::new(&[], |_| Ok(Value::str(&url.url))));
    functions
}

fn add_query_functions<'q>(functions: &mut Functions<'q>, environment: Environment<'q>) {
    let query = environment.query;
    functions
        .add(
            "query",
            Function::new(&[Param::Str], move |args| {
                let samples = query(text(args, 0))?;
                let objects = samples.into_iter().map(|sample| {
                    let labels = labels_value(&sample.labels);
                    Value::object(SampleObject { labels, value: sample.value })
                });
                Ok(Value::list(QUERY_RESULT, objects.collect()))
            }),
        )
        .add(
            "first",
            Function::new(&[Param::Named(QUERY_RESULT)], |args| {
                let first = items(&args[0]).first().cloned();
                first.ok_or_else(|| CallError::new("first() called on vector with no elements"))
            }),
        )
        .add(
            "label",
            Function::new(&[Param::Str, Param::Named(SAMPLE)], |args| {
                Ok(sample_label(&args[1], text(args, 0)))
            }),
        )
        .add("value", Function::new(&[Param::Named(SAMPLE)], |args| Ok(field(&args[0], "Value"))))
        .add(
            "strvalue",
            Function::new(&[Param::Named(SAMPLE)], |args| Ok(sample_label(&args[0], "__value__"))),
        )
        .add(
            "sortByLabel",
            Function::new(&[Param::Str, Param::Named(QUERY_RESULT)], |args| {
                let mut sorted = items(&args[1]).to_vec();
                let key = |sample: &Value| {
                    sample_label(sample, text(args, 0)).as_str().unwrap_or_default().to_owned()
                };
                sorted.sort_by_key(key);
                Ok(Value::list(QUERY_RESULT, sorted))
            }),
        );
}

fn add_number_functions(functions: &mut Functions<'_>, now_ms: i64) {
    let numeric = |body: fn(f64) -> Result<String, CallError>| {
        Function::new(&[Param::Any], move |args| body(to_float(&args[0])?).map(Value::from))
    };
    functions
        .add("humanize", numeric(humanize))
        .add("humanize1024", numeric(humanize_1024))
        .add("humanizeDuration", numeric(humanize_duration))
        .add("humanizePercentage", numeric(humanize_percentage))
        .add("humanizeTimestamp", numeric(humanize_timestamp))
        .add(
            "toTime",
            Function::new(&[Param::Any], |args| {
                let v = to_float(&args[0])?;
                if !v.is_finite() {
                    return Err(CallError::new("value is NaN or Inf"));
                }
                Ok(Value::Time(GoTime::from_unix_ms(timestamp_ms(v)?)))
            }),
        )
        .add(
            "toDuration",
            Function::new(&[Param::Any], |args| {
                #[expect(clippy::cast_possible_truncation, reason = "Go truncates and saturates alike")]
                let ns = (to_float(&args[0])? * 1e9) as i64;
                Ok(Value::Duration(ns))
            }),
        )
        .add("now", Function::new(&[], move |_| Ok(Value::Float(humanize::ms_to_seconds(now_ms)))))
        .add(
            "parseDuration",
            Function::new(&[Param::Str], |args| {
                let whole = text(args, 0);
                let (sign, magnitude) = match whole.strip_prefix('-') {
                    Some(magnitude) => (-1, magnitude),
                    None => (1, whole),
                };
                let ms = base::duration::parse_ms(magnitude).map_err(|e| CallError::new(e.to_string()))?;
                Ok(Value::Float(humanize::ms_to_seconds(sign * ms)))
            }),
        );
}

fn add_text_functions(functions: &mut Functions<'_>) {
    let on_text =
        |body: fn(&str) -> String| Function::new(&[Param::Str], move |args| Ok(body(text(args, 0)).into()));
    functions
        .add("title", on_text(title_case))
        .add("toUpper", on_text(str::to_uppercase))
        .add("toLower", on_text(str::to_lowercase))
        .add("graphLink", on_text(|expr| format!("/graph?g0.expr={}&g0.tab=0", escape_url_query(expr))))
        .add("tableLink", on_text(|expr| format!("/graph?g0.expr={}&g0.tab=1", escape_url_query(expr))))
        .add("urlQueryEscape", on_text(escape_url_query))
        .add("stripPort", on_text(host::strip_port))
        .add("stripDomain", on_text(host::strip_domain))
        .add(
            "safeHtml",
            Function::new(&[Param::Str], |args| Ok(Value::Safe(SafeKind::Html, text(args, 0).into()))),
        )
        .add(
            "match",
            Function::new(&[Param::Str, Param::Str], |args| {
                let pattern = GoRegex::new(text(args, 0)).map_err(|error| CallError::new(error.0))?;
                Ok(Value::Bool(pattern.is_match(text(args, 1))))
            }),
        )
        .add(
            "reReplaceAll",
            Function::new(&[Param::Str, Param::Str, Param::Str], |args| {
                let pattern = must_compile(text(args, 0))?;
                Ok(pattern.replace_all(text(args, 2), text(args, 1)).into())
            }),
        )
        .add(
            "args",
            Function::variadic(&[], Param::Any, |args| {
                let named = args.iter().enumerate().map(|(idx, arg)| (format!("arg{idx}"), arg.clone()));
                Ok(Value::any_map(named))
            }),
        );
}

/// Compiles a pattern, refusing with the text of `regexp.MustCompile`'s panic.
pub fn must_compile(pattern: &str) -> Result<GoRegex, CallError> {
    GoRegex::new(pattern).map_err(|error| CallError::new(format!("regexp: Compile(`{pattern}`): {error}")))
}

/// Upper case for the first letter of every word, the rest left as it is.
pub fn title_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside_word = false;
    for c in text.chars() {
        if c.is_alphanumeric() {
            if inside_word {
                out.push(c);
            } else {
                out.extend(c.to_uppercase());
            }
            inside_word = true;
        } else {
            // An apostrophe or underscore joins what is around it.
            inside_word = inside_word && matches!(c, '\'' | '’' | '_' | '.' | ':');
            out.push(c);
        }
    }
    out
}
