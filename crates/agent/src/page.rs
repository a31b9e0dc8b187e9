//! What one collection gave.

use std::collections::HashSet;

use wire_prom::expose_text::{FamilyHeader, TextEncoder, TextSample};
use wire_prom::negotiate::{EscapingScheme, ExposeFormat};

use crate::family::{Families, MetricFamily, SampleLabels};
use crate::source::CollectError;

/// A collector, or a file of the textfile collector, that did not give everything.
#[derive(Debug)]
pub struct Failure {
    pub collector: &'static str,
    pub error: CollectError,
}

/// Families by name, and what went wrong. No sample appears twice.
#[derive(Debug, Default)]
pub struct Page {
    pub families: Vec<MetricFamily>,
    pub failures: Vec<Failure>,
}

impl Page {
    pub(crate) fn new(families: Families, mut failures: Vec<Failure>) -> Self {
        let mut families = families.into_sorted();
        for family in &mut families {
            let mut seen: HashSet<(&str, SampleLabels)> = HashSet::new();
            family.samples.retain(|sample| {
                let fresh = seen.insert((sample.suffix, sample.labels.clone()));
                if !fresh {
                    let series = format!("{}{} {:?}", family.name, sample.suffix, sample.labels);
                    failures.push(Failure { collector: "page", error: CollectError::Duplicate(series) });
                }
                fresh
            });
        }
        Self { families, failures }
    }

    /// The page in the text exposition format 0.0.4.
    pub fn to_text(&self) -> Vec<u8> {
        let mut encoder = TextEncoder::new(ExposeFormat::Text, EscapingScheme::default());
        for family in &self.families {
            encoder.family(&FamilyHeader {
                name: &family.name,
                help: Some(&family.help),
                metric_type: family.metric_type,
                unit: None,
            });
            for sample in &family.samples {
                let labels: Vec<(&str, &str)> =
                    sample.labels.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect();
                encoder
                    .sample(&TextSample { suffix: sample.suffix, ..TextSample::new(&labels, sample.value) });
            }
        }
        encoder.finish()
    }
}
