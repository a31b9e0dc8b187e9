//! Expositions read back for comparison.

use std::collections::BTreeMap;
use std::path::Path;

use model::labels::METRIC_NAME;
use model::{LabelsBuilder, MetricType};
use wire_prom::expose::{Entry, Format, Parser, ParserOptions};

/// Types by family, and values by series with sorted labels, those without a value left out.
#[derive(Debug, Default)]
pub(crate) struct ReadPage {
    pub(crate) types: BTreeMap<String, MetricType>,
    pub(crate) samples: BTreeMap<String, f64>,
}

impl ReadPage {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut page = Self::default();
        let mut builder = LabelsBuilder::new();
        let mut parser = Parser::new(text, Format::Text, ParserOptions::default());
        while let Some(entry) = parser.next_entry().unwrap() {
            match entry {
                Entry::Type { name, metric_type } => {
                    page.types.insert(name.into_owned(), metric_type);
                }
                Entry::Series(series) => {
                    series.labels(&mut builder).unwrap();
                    let labels = builder.build();
                    let pairs = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
                    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value:?}")).collect();
                    let key = format!("{}{{{}}}", labels.metric_name(), pairs.join(","));
                    assert_eq!(page.samples.insert(key, series.value), None, "{labels} appears twice");
                }
                _ => {}
            }
        }
        page
    }

    /// Paths below `dir` without it, as in an exporter that was started there.
    pub(crate) fn with_relative_paths(self, dir: &Path) -> Self {
        let prefix = format!("{}/", dir.display());
        let samples = self.samples.into_iter().map(|(series, value)| (series.replace(&prefix, ""), value));
        Self { types: self.types, samples: samples.collect() }
    }

    /// The label `rotational` of disks set to 0.
    pub(crate) fn without_rotation(&self) -> Self {
        let still = |series: &String| series.replace("rotational=\"1\"", "rotational=\"0\"");
        Self {
            types: self.types.clone(),
            samples: self.samples.iter().map(|(series, value)| (still(series), *value)).collect(),
        }
    }
}
