//! The labels of a scraped sample: the target's joined in, conflicts resolved, relabelled, limited.

use model::labels::{GoQuoted, METRIC_NAME};
use model::{Labels, relabel};

use crate::config::{ScrapeConfig, ScrapeLimits};
use crate::cycle::ScrapeFailure;

/// Texts in limit errors are cut to this many characters.
const QUOTED_CHARS_MAX: usize = 50;

/// `None` when metric relabelling drops the sample.
pub(crate) fn final_labels(exposed: &Labels, target: &Labels, config: &ScrapeConfig) -> Option<Labels> {
    let mut labels = exposed.to_builder();
    let mut displaced: Vec<(&str, &str)> = Vec::new();
    for (name, value) in target {
        match exposed.get(name) {
            Some(_) if config.honor_labels => {}
            Some(existing) => {
                displaced.push((name, existing));
                labels.set(name, value);
            }
            None => {
                labels.set(name, value);
            }
        }
    }
    displaced.sort_by_key(|(name, _)| name.len());
    for (name, value) in displaced {
        let mut renamed = format!("exported_{name}");
        while !labels.get(&renamed).is_empty() {
            renamed.insert_str(0, "exported_");
        }
        labels.set(&renamed, value);
    }
    if !relabel::process_builder(&mut labels, &config.metric_relabel) {
        return None;
    }
    Some(labels.build()).filter(|labels| !labels.is_empty())
}

/// `label_limit`, `label_name_length_limit`, `label_value_length_limit`.
pub(crate) fn check_limits(labels: &Labels, limits: &ScrapeLimits) -> Result<(), ScrapeFailure> {
    let metric = shortened(labels.get(METRIC_NAME).unwrap_or(""));
    let over = |limit: u64, length: usize| limit > 0 && length as u64 > limit;
    if over(limits.labels, labels.len()) {
        return Err(ScrapeFailure::LabelLimit(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {}, limit: {})",
            labels.len(),
            limits.labels
        )));
    }
    for (name, value) in labels {
        if over(limits.label_name_bytes, name.len()) {
            return Err(ScrapeFailure::LabelLimit(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {}, limit: {})",
                shortened(name),
                name.len(),
                limits.label_name_bytes
            )));
        }
        if over(limits.label_value_bytes, value.len()) {
            return Err(ScrapeFailure::LabelLimit(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {}, length: {}, limit: {})",
                shortened(name),
                GoQuoted(&shortened(value)),
                value.len(),
                limits.label_value_bytes
            )));
        }
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}
