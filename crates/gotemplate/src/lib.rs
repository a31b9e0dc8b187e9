//! Go's `text/template`, as Prometheus, Alertmanager and Loki use it: the same grammar, the same
//! functions and verbs, the same error texts, with limits on output, depth and work.
//!
//! Knows nothing of alerts, series or HTTP. Data comes in as [`Value`]s; types with methods
//! implement [`Object`]; functions are given by the caller ([`Functions`]).

mod builtins;
mod compare;
mod escape;
mod exec;
mod format;
mod function;
mod html;
mod lex;
mod literal;
mod node;
mod parse;
pub mod prometheus;
mod set;
mod time;
mod value;

pub use escape::{escape_html, escape_js, escape_url_query};
pub use exec::{LimitExceeded, Limits};
pub use format::{sprint, sprintf};
pub use function::{CallError, Function, Functions, Param};
pub use set::{MissingKey, TemplateError, TemplateSet};
pub use time::GoTime;
pub use value::{List, Map, Object, SafeKind, Value};
