//! Sections of configuration files described as tables: names, types, defaults and checks of every
//! field. One table serves the strict decoder, the defaults, the joining of paths and the printer,
//! so that none of them can forget a field.

use crate::decode::Record;

pub(crate) mod alerting;
pub(crate) mod http_client;
pub(crate) mod relabel;
pub(crate) mod remote;
pub(crate) mod rule_file;
pub(crate) mod scrape;
pub(crate) mod sd;
pub(crate) mod sd_aws;
pub(crate) mod sd_cloud;
pub(crate) mod sd_kubernetes;
pub(crate) mod sextant;
pub(crate) mod top;
pub(crate) mod web;

/// A section.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The Go type that upstream's messages name.
    pub(crate) go_type: &'static str,
    pub(crate) fields: &'static [Field],
    /// Rules between fields; may fill in what depends on other fields. Runs after decoding without
    /// type errors, as upstream's `UnmarshalYAML`.
    pub(crate) check: fn(&mut Record) -> Result<(), String>,
}

/// A field of a section.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) preset: Preset,
    /// Printed even when zero (no `omitempty` upstream).
    pub(crate) always: bool,
}

/// What a field has when the section is there and the field is not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Preset {
    Zero,
    Bool(bool),
    Int(i64),
    Str(&'static str),
    DurationMs(i64),
    /// The presets of the section behind the field, not its zeroes.
    Section,
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    /// A bool that may be absent (`*bool`).
    MaybeBool,
    Int,
    Uint,
    Float,
    Str,
    /// Printed as `<secret>`.
    Secret,
    /// A path that is joined with the directory of the configuration.
    Path,
    /// A Prometheus duration.
    Duration,
    /// A duration that may be absent (`*model.Duration`).
    MaybeDuration,
    /// A size with a unit (`units.Base2Bytes`).
    Bytes,
    /// A URL that may be absent, parsed for validity; its password is printed as `xxxxx`.
    MaybeUrl,
    /// One of a few words; the function turns a text into the stored word or an error.
    Word(&'static str, fn(&str) -> Result<String, String>),
    /// A regular expression; absent means the default, null means the empty one.
    Regex,
    /// A label name, refused when it is empty or no UTF-8.
    LabelName,
    List(&'static Kind),
    /// A list printed as `[a, b]`.
    FlowList(&'static Kind),
    /// `map[string]string`.
    StrMap,
    /// A label set; names are checked to be valid UTF-8.
    LabelSet,
    /// `map[string]T`.
    MapOf(&'static Kind),
    /// A section by value: always there, zero when absent.
    Section(&'static Schema),
    /// A section by pointer: may be absent.
    MaybeSection(&'static Schema),
    /// A section whose fields appear among the owner's.
    Inline(&'static Schema),
    /// Anything.
    Any,
}

impl Schema {
    pub(crate) const fn new(go_type: &'static str, fields: &'static [Field]) -> Self {
        Self { go_type, fields, check: |_| Ok(()) }
    }

    pub(crate) const fn checked(mut self, check: fn(&mut Record) -> Result<(), String>) -> Self {
        self.check = check;
        self
    }

    /// Every field name a file may use, inlined sections included.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for field in self.fields {
            match field.kind {
                Kind::Inline(inner) => names.extend(inner.names()),
                _ => names.push(field.name),
            }
        }
        names
    }
}

/// A field that is left out when zero.
pub(crate) const fn opt(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, preset: Preset::Zero, always: false }
}

/// A field that is printed even when zero.
pub(crate) const fn always(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, preset: Preset::Zero, always: true }
}

/// An inlined section.
pub(crate) const fn inline(schema: &'static Schema) -> Field {
    Field { name: "", kind: Kind::Inline(schema), preset: Preset::Section, always: true }
}

impl Field {
    pub(crate) const fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }
}

impl Kind {
    /// The Go type upstream's messages name.
    pub(crate) fn go_type(&self) -> String {
        match self {
            Self::Bool | Self::MaybeBool => "bool".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Uint => "uint".to_owned(),
            Self::Float => "float64".to_owned(),
            Self::Str | Self::Path | Self::Duration | Self::MaybeDuration | Self::MaybeUrl => {
                "string".to_owned()
            }
            Self::LabelName | Self::Bytes | Self::Regex => "string".to_owned(),
            Self::Secret => "config.plain".to_owned(),
            Self::Word(go_type, _) => (*go_type).to_owned(),
            Self::List(inner) | Self::FlowList(inner) => format!("[]{}", inner.go_type()),
            Self::StrMap => "map[string]string".to_owned(),
            Self::LabelSet => "model.LabelSet".to_owned(),
            Self::MapOf(inner) => format!("map[string]{}", inner.go_type()),
            Self::Section(schema) | Self::MaybeSection(schema) | Self::Inline(schema) => {
                schema.go_type.to_owned()
            }
            Self::Any => "interface {}".to_owned(),
        }
    }
}
