//! Input series and expected samples.

use std::sync::Arc;

use model::{FloatHistogram, Labels};
use ql_promql::parser::parse_metric;
use ql_promql::series_desc::{SequenceValue, parse_series_desc};
use ql_promql::value::SampleValue;

use super::report::{ShownSample, ShownValue, UnitTestFailure};
use super::store::TestStore;
use crate::config::{ExpectedSample, UnitTestGroup};

/// The input series, fed to the store as time goes on, so that no rule sees the future.
pub(super) struct Inputs {
    series: Vec<(Labels, Vec<SequenceValue>)>,
    start_ms: i64,
    step_ms: i64,
    /// Values of each series loaded so far.
    loaded: usize,
}

impl Inputs {
    pub(super) fn parse(test: &UnitTestGroup) -> Result<Self, UnitTestFailure> {
        let mut series = Vec::with_capacity(test.input_series.len());
        for input in &test.input_series {
            let text = format!("{} {}", input.series, input.values);
            let parsed = parse_series_desc(&text).map_err(|error| UnitTestFailure::InputSeries {
                series: input.series.clone(),
                line: input.pos.line,
                error: error.to_string(),
            })?;
            series.push(parsed);
        }
        Ok(Self { series, start_ms: test.start_ms, step_ms: test.interval_ms.max(1), loaded: 0 })
    }

    /// Loads every value up to and including `t_ms`.
    pub(super) fn load_until(&mut self, t_ms: i64, store: &TestStore) {
        let longest = self.series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        while self.loaded < longest {
            let offset_ms = i64::try_from(self.loaded).unwrap_or(i64::MAX).saturating_mul(self.step_ms);
            let at_ms = self.start_ms.saturating_add(offset_ms);
            if at_ms > t_ms {
                return;
            }
            for (labels, values) in &self.series {
                match values.get(self.loaded) {
                    None | Some(SequenceValue::Omitted) => {}
                    Some(SequenceValue::Float(v)) => store.put(labels, at_ms, &SampleValue::Float(*v)),
                    Some(SequenceValue::Histogram { histogram, .. }) => {
                        store.put(labels, at_ms, &SampleValue::Histogram(Arc::clone(histogram)));
                    }
                }
            }
            self.loaded += 1;
        }
    }
}

/// An expected sample, parsed.
pub(super) fn expected(sample: &ExpectedSample) -> Result<ShownSample, String> {
    let in_labels = |error: String| format!("labels {:?}: {error}", sample.labels);
    let labels = if sample.labels.is_empty() {
        Labels::empty()
    } else {
        parse_metric(&sample.labels).map_err(|error| in_labels(error.to_string()))?
    };
    if sample.histogram.is_empty() {
        return Ok(ShownSample { labels, value: ShownValue::Float(sample.value) });
    }
    let histogram = expected_histogram(&sample.histogram).map_err(in_labels)?;
    Ok(ShownSample { labels, value: ShownValue::Histogram(histogram.test_expression()) })
}

fn expected_histogram(text: &str) -> Result<Arc<FloatHistogram>, String> {
    let (_, values) = parse_series_desc(&format!("{{}} {text}")).map_err(|error| error.to_string())?;
    match values.as_slice() {
        [SequenceValue::Histogram { histogram, .. }] => Ok(Arc::clone(histogram)),
        [other] => Err(format!("expected histogram, got {other:?}")),
        many => Err(format!("expected 1 value, got {}", many.len())),
    }
}
