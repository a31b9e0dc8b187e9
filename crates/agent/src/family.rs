//! Metric families as collectors build them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::MetricType;

use crate::source::CollectError;

/// Names and values, sorted by name; a value may be empty, which means the same as absence.
pub type SampleLabels = Vec<(Cow<'static, str>, String)>;

/// One sample of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `""`, or `"_bucket"`, `"_sum"` or `"_count"` of a histogram or summary.
    pub suffix: &'static str,
    pub labels: SampleLabels,
    pub value: f64,
}

/// Samples that share name, type and help.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFamily {
    pub name: String,
    pub help: String,
    pub metric_type: MetricType,
    pub samples: Vec<Sample>,
}

impl MetricFamily {
    /// Adds a sample; labels in any order.
    pub(crate) fn push(&mut self, labels: &[(&'static str, &str)], value: f64) -> &mut Self {
        let labels = labels.iter().map(|&(name, value)| (Cow::Borrowed(name), value.to_owned()));
        self.push_sample("", labels.collect(), value)
    }

    pub(crate) fn push_sample(
        &mut self,
        suffix: &'static str,
        mut labels: SampleLabels,
        value: f64,
    ) -> &mut Self {
        labels.sort_unstable();
        self.samples.push(Sample { suffix, labels, value });
        self
    }
}

/// The families of a page under construction, by name.
#[derive(Debug, Default)]
pub(crate) struct Families {
    by_name: BTreeMap<String, MetricFamily>,
    complaints: Vec<CollectError>,
}

impl Families {
    /// Notes what went wrong without failing the collector.
    pub(crate) fn complain(&mut self, errors: impl IntoIterator<Item = CollectError>) {
        self.complaints.extend(errors);
    }

    pub(crate) fn take_complaints(&mut self) -> Vec<CollectError> {
        std::mem::take(&mut self.complaints)
    }

    /// The family of that name, made if there is none; the first type and help stay.
    pub(crate) fn family(&mut self, name: &str, metric_type: MetricType, help: &str) -> &mut MetricFamily {
        if !self.by_name.contains_key(name) {
            let family = MetricFamily {
                name: name.to_owned(),
                help: help.to_owned(),
                metric_type,
                samples: Vec::new(),
            };
            self.by_name.insert(name.to_owned(), family);
        }
        self.by_name.get_mut(name).expect("the lines above put it there")
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str) -> &mut MetricFamily {
        self.family(name, MetricType::Counter, help)
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str) -> &mut MetricFamily {
        self.family(name, MetricType::Gauge, help)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&MetricFamily> {
        self.by_name.get(name)
    }

    /// Families by name, those without samples left out.
    pub(crate) fn into_sorted(self) -> Vec<MetricFamily> {
        self.by_name.into_values().filter(|family| !family.samples.is_empty()).collect()
    }
}
