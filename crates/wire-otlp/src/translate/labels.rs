//! The labels of a point: its attributes, and what resource and scope add.

use model::labels::{LABEL_LENGTH_MAX, METRIC_NAME};
use model::{Labels, LabelsBuilder, Metadata, MetricType};
use thiserror::Error;

use super::{OtlpOptions, PromotedAttributes};
use crate::naming::{LabelNamer, NameError, unit_name};
use crate::request::{Attributes, ScopeMetrics, Value, attribute};

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE_ID: &str = "service.instance.id";
const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE_ID];

/// The metric that carries a resource's attributes.
pub(super) const TARGET_INFO: &str = "target_info";

/// Why a point's labels cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum LabelError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("label of {length_bytes} bytes is longer than any label may be")]
    TooLong { length_bytes: usize },
    #[error("more than {limit} attributes")]
    TooMany { limit: usize },
}

/// Attributes of one point, resource or scope; finding those that collide takes the square of it.
const ATTRIBUTES_MAX: usize = 4096;

fn check_count(attributes: &Attributes) -> Result<(), LabelError> {
    if attributes.len() > ATTRIBUTES_MAX {
        Err(LabelError::TooMany { limit: ATTRIBUTES_MAX })
    } else {
        Ok(())
    }
}

/// Labels with the attributes whose names became one.
#[derive(Debug)]
pub(super) struct BuiltLabels {
    pub(super) labels: Labels,
    pub(super) collisions: Vec<Collision>,
}

/// Attributes that have the same label name once it is sanitised.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collision {
    pub(super) label: String,
    pub(super) keys: Vec<String>,
}

/// What resource and scope give every point.
#[derive(Debug, Clone)]
pub(super) struct LabelContext<'o> {
    options: &'o OtlpOptions,
    namer: LabelNamer,
    job: String,
    instance: String,
    promoted: Vec<(String, String)>,
    scope: Vec<(String, String)>,
}

impl<'o> LabelContext<'o> {
    pub(super) fn of_resource(attributes: &Attributes, options: &'o OtlpOptions) -> Result<Self, LabelError> {
        check_count(attributes)?;
        let text = |key| attribute(attributes, key).map(Value::to_text);
        let job = match (text(SERVICE_NAMESPACE), text(SERVICE_NAME)) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (None, Some(name)) => name,
            (_, None) => String::new(),
        };
        let namer = LabelNamer {
            utf8_allowed: !options.strategy.escapes(),
            underscore_sanitization: options.label_name_underscore_sanitization,
            preserve_multiple_underscores: options.label_name_preserve_multiple_underscores,
        };
        let is_promoted = |key: &String| match &options.promoted {
            PromotedAttributes::None => false,
            PromotedAttributes::Listed(keys) => keys.contains(key),
            PromotedAttributes::AllExcept(keys) => !keys.contains(key),
        };
        let mut promoted = Vec::new();
        for (key, value) in attributes.iter().filter(|(key, _)| is_promoted(key)) {
            promoted.push((namer.build(key)?, value.to_text()));
        }
        let instance = text(SERVICE_INSTANCE_ID).unwrap_or_default();
        Ok(Self { options, namer, job, instance, promoted, scope: Vec::new() })
    }

    pub(super) fn with_scope(&self, scope: &ScopeMetrics) -> Result<Self, LabelError> {
        let mut scoped = self.clone();
        if !self.options.promote_scope_metadata || scope.name.is_empty() {
            return Ok(scoped);
        }
        check_count(&scope.attributes)?;
        for (key, value) in &scope.attributes {
            scoped.scope.push((self.namer.build(&format!("otel_scope_{key}"))?, value.to_text()));
        }
        for (name, value) in
            [("name", &scope.name), ("version", &scope.version), ("schema_url", &scope.schema_url)]
        {
            scoped.scope.push((format!("otel_scope_{name}"), value.clone()));
        }
        Ok(scoped)
    }

    /// The labels of a point without the metric name.
    pub(super) fn build(
        &self,
        attributes: &Attributes,
        metadata: &Metadata,
    ) -> Result<BuiltLabels, LabelError> {
        let (mut builder, collisions) = self.of_attributes(attributes, &[METRIC_NAME])?;
        for (name, value) in &self.promoted {
            if builder.get(name).is_empty() {
                set(&mut builder, name, value)?;
            }
        }
        self.add_identity(&mut builder)?;
        for (name, value) in &self.scope {
            set(&mut builder, name, value)?;
        }
        if self.options.type_and_unit_labels {
            if metadata.metric_type != MetricType::Unknown {
                builder.set("__type__", metadata.metric_type.as_str());
            }
            if !metadata.unit.is_empty() {
                set(&mut builder, "__unit__", &unit_name(&metadata.unit, self.namer.utf8_allowed))?;
            }
        }
        Ok(BuiltLabels { labels: builder.build(), collisions })
    }

    /// The labels of `target_info`; `None` if it would say nothing or of nobody.
    pub(super) fn target_info(&self, attributes: &Attributes) -> Result<Option<BuiltLabels>, LabelError> {
        let identifying = IDENTIFYING.iter().filter(|key| attribute(attributes, key).is_some()).count();
        if attributes.len() == identifying {
            return Ok(None);
        }
        let ignored: &[&str] =
            if self.options.keep_identifying_resource_attributes { &[] } else { &IDENTIFYING };
        let (mut builder, collisions) = self.of_attributes(attributes, ignored)?;
        self.add_identity(&mut builder)?;
        if builder.get("job").is_empty() && builder.get("instance").is_empty() {
            return Ok(None);
        }
        builder.set(METRIC_NAME, TARGET_INFO);
        Ok(Some(BuiltLabels { labels: builder.build(), collisions }))
    }

    fn add_identity(&self, builder: &mut LabelsBuilder) -> Result<(), LabelError> {
        for (name, value) in [("job", &self.job), ("instance", &self.instance)] {
            if !value.is_empty() {
                set(builder, name, value)?;
            }
        }
        Ok(())
    }

    /// Attributes in the order of their keys; values whose names become one are joined.
    fn of_attributes(
        &self,
        attributes: &Attributes,
        ignored: &[&str],
    ) -> Result<(LabelsBuilder, Vec<Collision>), LabelError> {
        check_count(attributes)?;
        let mut sorted: Vec<_> =
            attributes.iter().filter(|(key, _)| !ignored.contains(&key.as_str())).collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut builder = LabelsBuilder::new();
        let mut collisions: Vec<Collision> = Vec::new();
        for (key, value) in &sorted {
            if self.namer.utf8_allowed {
                if key.is_empty() {
                    return Err(NameError::EmptyLabel.into());
                }
                set(&mut builder, key, &value.to_text())?;
                continue;
            }
            let label = self.namer.build(key)?;
            let existing = builder.get(&label).to_owned();
            if existing.is_empty() {
                set(&mut builder, &label, &value.to_text())?;
                continue;
            }
            set(&mut builder, &label, &format!("{existing};{}", value.to_text()))?;
            if !collisions.iter().any(|c| c.label == label) {
                let same = |key: &&str| self.namer.build(key).is_ok_and(|l| l == label);
                let keys =
                    sorted.iter().map(|(key, _)| key.as_str()).filter(same).map(str::to_owned).collect();
                collisions.push(Collision { label, keys });
            }
        }
        Ok((builder, collisions))
    }
}

fn set(builder: &mut LabelsBuilder, name: &str, value: &str) -> Result<(), LabelError> {
    let length_bytes = name.len().max(value.len());
    if length_bytes > LABEL_LENGTH_MAX {
        return Err(LabelError::TooLong { length_bytes });
    }
    builder.set(name, value);
    Ok(())
}
