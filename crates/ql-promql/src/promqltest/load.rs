//! Putting loaded series into a store.

use std::collections::BTreeMap;

use model::histogram::{ClassicBuckets, ClassicError, ClassicSuffix, HistogramError, split_classic_name};
use model::labels::METRIC_NAME;
use model::{FloatHistogram, Labels};

use super::script::Load;
use crate::memory_source::MemorySource;
use crate::series_desc::SequenceValue;

/// The label with a classic bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// Why series could not be loaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    #[error("classic histogram {labels} at {t_ms} ms: {reason}")]
    Classic { labels: Labels, t_ms: i64, reason: ClassicError },
    #[error("histogram {labels} at {t_ms} ms: {reason}")]
    Invalid { labels: Labels, t_ms: i64, reason: HistogramError },
    #[error("{0} has no label \"le\"")]
    NoBound(Labels),
    #[error("{0} has samples beyond the end of time")]
    TimeOutOfRange(Labels),
}

/// Appends all samples of `load`; sample `i` of a series lies at `i` steps after time 0.
pub(super) fn load(source: &mut MemorySource, load: &Load) -> Result<(), LoadError> {
    let mut classic = ClassicHistograms::default();
    for series in &load.series {
        let mut role = if load.with_nhcb { classic.role_of(&series.labels)? } else { None };
        for (idx, value) in series.values.iter().enumerate() {
            let out_of_range = || LoadError::TimeOutOfRange(series.labels.clone());
            let t_ms = (idx as i64).checked_mul(load.step_ms).ok_or_else(out_of_range)?;
            let start_ms = match series.start_offsets_ms.get(idx).copied().flatten() {
                Some(offset_ms) => t_ms.checked_add(offset_ms).ok_or_else(out_of_range)?,
                None => 0,
            };
            match value {
                SequenceValue::Omitted => {}
                SequenceValue::Float(value) => {
                    source.append_float(&series.labels, t_ms, *value, start_ms);
                    if let Some(role) = &mut role {
                        classic.take(role, t_ms, *value);
                    }
                }
                SequenceValue::Histogram { histogram, .. } => {
                    source.append_histogram(&series.labels, t_ms, (**histogram).clone(), start_ms);
                }
            }
        }
    }
    for (labels, by_time) in classic.by_labels {
        for (t_ms, collected) in by_time {
            let histogram = convert(&collected).map_err(|e| match e {
                Refused::Classic(reason) => LoadError::Classic { labels: labels.clone(), t_ms, reason },
                Refused::Invalid(reason) => LoadError::Invalid { labels: labels.clone(), t_ms, reason },
            })?;
            source.append_histogram(&labels, t_ms, histogram, 0);
        }
    }
    Ok(())
}

/// What one series of a classic histogram says.
#[derive(Debug, Clone)]
enum Role {
    Bucket { le: f64 },
    Count,
    Sum,
}

/// The classic histograms among the loaded series, by their labels without `le`.
#[derive(Debug, Default)]
struct ClassicHistograms {
    by_labels: BTreeMap<Labels, BTreeMap<i64, Collected>>,
}

/// One classic histogram at one time; the first contradiction sticks.
#[derive(Debug, Default)]
struct Collected {
    buckets: ClassicBuckets,
    error: Option<ClassicError>,
}

impl ClassicHistograms {
    fn role_of(&self, labels: &Labels) -> Result<Option<(Labels, Role)>, LoadError> {
        let Some((base, suffix)) = split_classic_name(labels.metric_name()) else {
            return Ok(None);
        };
        let role = match suffix {
            ClassicSuffix::Sum => Role::Sum,
            ClassicSuffix::Count => Role::Count,
            ClassicSuffix::Bucket => {
                let le = labels.get(BUCKET_LABEL).ok_or_else(|| LoadError::NoBound(labels.clone()))?;
                match base::gofloat::parse(le).filter(|le| !le.is_nan()) {
                    Some(le) => Role::Bucket { le },
                    None => return Ok(None),
                }
            }
        };
        let labels = labels.to_builder().set(METRIC_NAME, base).remove(BUCKET_LABEL).build();
        Ok(Some((labels, role)))
    }

    fn take(&mut self, (labels, role): &(Labels, Role), t_ms: i64, value: f64) {
        let by_time = self.by_labels.entry(labels.clone()).or_default();
        let collected = by_time.entry(t_ms).or_default();
        if collected.error.is_some() {
            return;
        }
        collected.error = match role {
            Role::Bucket { le } => collected.buckets.set_bucket(*le, value).err(),
            Role::Count => collected.buckets.set_count(value).err(),
            Role::Sum => {
                collected.buckets.set_sum(value);
                None
            }
        };
    }
}

enum Refused {
    Classic(ClassicError),
    Invalid(HistogramError),
}

fn convert(collected: &Collected) -> Result<FloatHistogram, Refused> {
    if let Some(error) = &collected.error {
        return Err(Refused::Classic(error.clone()));
    }
    let histogram = collected.buckets.to_histogram().map_err(Refused::Classic)?;
    histogram.validate().map_err(Refused::Invalid)?;
    Ok(histogram)
}
