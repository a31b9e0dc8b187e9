//! What of a stored batch goes to one remote: external labels, `write_relabel_configs`, and the kinds
//! of samples it wants.

use std::collections::HashMap;

use base::TenantId;
use config::prometheus::remote::RemoteWriteConfig;
use model::relabel::{self, RelabelConfig};
use model::{BatchSeries, Labels, SeriesBatch, SeriesId};
use parking_lot::Mutex;

use super::round::Counts;

/// Relabelled series that are remembered; all are forgotten when there are more.
const SERIES_REMEMBERED_MAX: usize = 200_000;

/// The rules of one remote, with the series that were met.
#[derive(Debug)]
pub(super) struct Intake {
    external_labels: Labels,
    rules: Vec<RelabelConfig>,
    send_exemplars: bool,
    send_native_histograms: bool,
    /// What a series becomes; `None` if the rules drop it.
    known: Mutex<HashMap<SeriesId, Option<BatchSeries>>>,
}

/// A batch as the remote is to get it, without metadata.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) batch: SeriesBatch,
    /// Dropped by the rules. Kinds that are not sent are not counted.
    pub(super) dropped: Counts,
}

impl Intake {
    pub(super) fn new(config: &RemoteWriteConfig, external_labels: &Labels) -> Self {
        Self {
            external_labels: external_labels.clone(),
            rules: config.relabel.clone(),
            send_exemplars: config.send_exemplars,
            send_native_histograms: config.send_native_histograms,
            known: Mutex::default(),
        }
    }

    pub(super) fn take(&self, batch: &SeriesBatch) -> Taken {
        let mut out = SeriesBatch::new(batch.tenant.clone());
        let mut dropped = Counts::default();
        let mut places: HashMap<SeriesId, u32> = HashMap::new();
        let becomes: Vec<Option<u32>> = {
            let mut known = self.known.lock();
            let series = batch.series.iter().map(|series| {
                let series = self.known_as(&mut known, &batch.tenant, series)?;
                Some(*places.entry(series.id).or_insert_with(|| out.add_series(series)))
            });
            series.collect()
        };
        for sample in &batch.floats {
            match becomes[sample.series_idx as usize] {
                Some(series_idx) => out.floats.push(model::FloatSample { series_idx, ..*sample }),
                None => dropped.samples += 1,
            }
        }
        for sample in batch.histograms.iter().filter(|_| self.send_native_histograms) {
            match becomes[sample.series_idx as usize] {
                Some(series_idx) => {
                    out.histograms.push(model::HistogramSample { series_idx, ..sample.clone() });
                }
                None => dropped.histograms += 1,
            }
        }
        for (series_idx, exemplar) in batch.exemplars.iter().filter(|_| self.send_exemplars) {
            match becomes[*series_idx as usize] {
                Some(series_idx) => out.exemplars.push((series_idx, exemplar.clone())),
                None => dropped.exemplars += 1,
            }
        }
        Taken { batch: out, dropped }
    }

    fn known_as(
        &self,
        known: &mut HashMap<SeriesId, Option<BatchSeries>>,
        tenant: &TenantId,
        series: &BatchSeries,
    ) -> Option<BatchSeries> {
        if let Some(found) = known.get(&series.id) {
            return found.clone();
        }
        if known.len() >= SERIES_REMEMBERED_MAX {
            known.clear();
        }
        let labels = self.outgoing(&series.labels);
        let outgoing = labels.map(|labels| match labels == series.labels {
            true => series.clone(),
            false => BatchSeries::new(tenant, labels),
        });
        known.insert(series.id, outgoing.clone());
        outgoing
    }

    /// A label of the series wins over an external one.
    fn outgoing(&self, labels: &Labels) -> Option<Labels> {
        if self.external_labels.is_empty() && self.rules.is_empty() {
            return Some(labels.clone());
        }
        let mut builder = labels.to_builder();
        for (name, value) in &self.external_labels {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        let kept = relabel::process_builder(&mut builder, &self.rules);
        Some(builder.build()).filter(|labels| kept && !labels.is_empty())
    }
}
