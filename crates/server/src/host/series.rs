//! From families to a batch: the identities of series are made once and kept, and series that are
//! gone get a staleness marker.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use agent::{MetricFamily, SampleLabels};
use base::TenantId;
use model::labels::METRIC_NAME;
use model::{BatchSeries, FloatSample, LabelsBuilder, Metadata, SeriesBatch};

/// What a scrape says of itself.
const REPORTS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Name of the sample, then labels; a map in a map, so that looking up clones nothing.
type Known = HashMap<String, HashMap<SampleLabels, Entry>>;

#[derive(Debug)]
struct Entry {
    series: BatchSeries,
    /// The collection that had the series last.
    seen_in: u64,
}

/// The series of one host.
#[derive(Debug)]
pub(super) struct HostSeries {
    tenant: TenantId,
    job: String,
    instance: String,
    known: Known,
    reports: Vec<BatchSeries>,
    /// Metadata that the store has been told.
    metadata: BTreeMap<String, Metadata>,
    collection: u64,
}

impl HostSeries {
    pub(super) fn new(tenant: TenantId, job: &str, instance: &str) -> Self {
        let mut builder = LabelsBuilder::new();
        builder.set("job", job).set("instance", instance);
        let reports = REPORTS.map(|name| BatchSeries::new(&tenant, builder.set(METRIC_NAME, name).build()));
        Self {
            tenant,
            job: job.to_owned(),
            instance: instance.to_owned(),
            known: Known::new(),
            reports: reports.into(),
            metadata: BTreeMap::new(),
            collection: 0,
        }
    }

    /// `families` are sorted by name. All samples at `t_ms`, markers for what the last page had and this one has not, `up` and its
    /// companions.
    pub(super) fn batch(&mut self, families: &[MetricFamily], t_ms: i64, duration_s: f64) -> SeriesBatch {
        self.collection += 1;
        let mut batch = SeriesBatch::new(self.tenant.clone());
        let (mut n_samples, mut n_added) = (0_u32, 0_u32);
        for family in families {
            self.push_metadata(family, &mut batch);
            for sample in &family.samples {
                let (series, is_new) = self.series(family, sample);
                n_samples += 1;
                n_added += u32::from(is_new);
                push(&mut batch, series, t_ms, sample.value);
            }
        }
        self.push_stale(&mut batch, t_ms);
        // Text files may name ever new families; what is gone is told again if it returns.
        self.metadata.retain(|name, _| families.binary_search_by(|f| f.name.cmp(name)).is_ok());
        let (n_samples, n_added) = (f64::from(n_samples), f64::from(n_added));
        for (series, value) in self.reports.iter().zip([1.0, duration_s, n_samples, n_samples, n_added]) {
            push(&mut batch, series.clone(), t_ms, value);
        }
        batch
    }

    /// The identity of a sample's series, and whether it is new.
    fn series(&mut self, family: &MetricFamily, sample: &agent::Sample) -> (BatchSeries, bool) {
        let name: Cow<'_, str> = match sample.suffix {
            "" => Cow::Borrowed(&family.name),
            suffix => Cow::Owned(format!("{}{suffix}", family.name)),
        };
        if let Some(entry) = self.known.get_mut(name.as_ref()).and_then(|known| known.get_mut(&sample.labels))
        {
            entry.seen_in = self.collection;
            return (entry.series.clone(), false);
        }
        let mut builder = LabelsBuilder::new();
        for (label, value) in &sample.labels {
            // A text file may bring its own; what the target says of itself moves aside, as in a scrape.
            let exported = matches!(label.as_ref(), "job" | "instance").then(|| format!("exported_{label}"));
            builder.set(exported.as_deref().unwrap_or(label), value);
        }
        builder.set(METRIC_NAME, &name).set("job", &self.job).set("instance", &self.instance);
        let series = BatchSeries::new(&self.tenant, builder.build());
        let entry = Entry { series: series.clone(), seen_in: self.collection };
        self.known.entry(name.into_owned()).or_default().insert(sample.labels.clone(), entry);
        (series, true)
    }

    fn push_metadata(&mut self, family: &MetricFamily, batch: &mut SeriesBatch) {
        let is_told = self
            .metadata
            .get(&family.name)
            .is_some_and(|told| told.metric_type == family.metric_type && told.help == family.help);
        if !is_told {
            let metadata =
                Metadata { metric_type: family.metric_type, unit: String::new(), help: family.help.clone() };
            batch.metadata.push((family.name.clone(), metadata.clone()));
            self.metadata.insert(family.name.clone(), metadata);
        }
    }

    /// Ends and forgets the series that this collection did not have, in the order of their labels.
    fn push_stale(&mut self, batch: &mut SeriesBatch, t_ms: i64) {
        let collection = self.collection;
        let mut gone = Vec::new();
        self.known.retain(|_, by_labels| {
            by_labels.retain(|_, entry| {
                let stays = entry.seen_in == collection;
                if !stays {
                    gone.push(entry.series.clone());
                }
                stays
            });
            !by_labels.is_empty()
        });
        gone.sort_by(|a, b| a.labels.cmp(&b.labels));
        for series in gone {
            push(batch, series, t_ms, model::stale_nan());
        }
    }
}

fn push(batch: &mut SeriesBatch, series: BatchSeries, t_ms: i64, value: f64) {
    let series_idx = batch.add_series(series);
    batch.floats.push(FloatSample { series_idx, st: 0, t: t_ms, v: value });
}

#[cfg(test)]
mod tests {
    use agent::Sample;
    use model::MetricType;

    use super::*;

    /// Suffix, labels, value.
    type Row<'r> = (&'static str, &'r [(&'static str, &'r str)], f64);

    fn family(name: &str, samples: &[Row<'_>]) -> MetricFamily {
        let samples = samples.iter().map(|&(suffix, labels, value)| {
            let labels =
                labels.iter().map(|&(name, value)| (Cow::Borrowed(name), value.to_owned())).collect();
            Sample { suffix, labels, value }
        });
        MetricFamily {
            name: name.to_owned(),
            help: format!("Help of {name}."),
            metric_type: MetricType::Gauge,
            samples: samples.collect(),
        }
    }

    fn shown(batch: &SeriesBatch) -> Vec<(String, String)> {
        let value = |v: f64| if model::is_stale_nan(v) { "stale".to_owned() } else { v.to_string() };
        let series = |sample: &FloatSample| batch.series[sample.series_idx as usize].labels.to_string();
        batch.floats.iter().map(|sample| (series(sample), value(sample.v))).collect()
    }

    fn expected(rows: &[(&str, &str)]) -> Vec<(String, String)> {
        rows.iter().map(|(series, value)| ((*series).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn series_are_named_once_and_end_when_they_vanish() {
        let mut host = HostSeries::new(TenantId::anonymous(), "node", "h");
        let cpu = family("cpu", &[("", &[("cpu", "0")], 1.0), ("_sum", &[("cpu", "1"), ("job", "x")], 2.0)]);
        let first = host.batch(&[cpu], 1000, 0.25);
        let reports = |samples: &str, added: &str| {
            let values = ["1", "0.25", samples, samples, added];
            let named = REPORTS.iter().zip(values);
            named
                .map(|(name, value)| {
                    (format!("{{__name__=\"{name}\", instance=\"h\", job=\"node\"}}"), value.to_owned())
                })
                .collect::<Vec<_>>()
        };
        let mut rows = expected(&[
            ("{__name__=\"cpu\", cpu=\"0\", instance=\"h\", job=\"node\"}", "1"),
            ("{__name__=\"cpu_sum\", cpu=\"1\", exported_job=\"x\", instance=\"h\", job=\"node\"}", "2"),
        ]);
        rows.extend(reports("2", "2"));
        assert_eq!(shown(&first), rows);
        assert_eq!(first.metadata.len(), 1);
        assert!(first.floats.iter().all(|sample| sample.t == 1000));

        let second = host.batch(&[family("cpu", &[("", &[("cpu", "0")], 3.0)])], 2000, 0.25);
        let mut rows = expected(&[
            ("{__name__=\"cpu\", cpu=\"0\", instance=\"h\", job=\"node\"}", "3"),
            ("{__name__=\"cpu_sum\", cpu=\"1\", exported_job=\"x\", instance=\"h\", job=\"node\"}", "stale"),
        ]);
        rows.extend(reports("1", "0"));
        assert_eq!(shown(&second), rows);
        assert!(second.metadata.is_empty(), "told once");
        assert_eq!(second.series[0].id, first.series[0].id);

        let third = host.batch(&[], 3000, 0.25);
        assert_eq!(shown(&third).len(), 1 + REPORTS.len(), "a series ends once");
    }
}
