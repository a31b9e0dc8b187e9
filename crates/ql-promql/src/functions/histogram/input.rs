//! Finding the histograms among the rows of a vector.

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{FloatHistogram, Labels};
use ql_core::Span;

use super::classic::ClassicBucket;
use crate::annotations::{Annotation, ForcedMonotonicity};
use crate::eval::block::Block;
use crate::functions::{CallContext, drop_metric_name};

/// The label with the upper bound of a classic bucket.
const BUCKET_LABEL: &str = "le";

/// One histogram at one step.
#[derive(Debug)]
pub(super) enum Sample<'a> {
    Native(&'a FloatHistogram),
    /// Not empty, ascending by bound; of equal bounds, counts are already added up. The function
    /// may change it.
    Classic(&'a mut Vec<ClassicBucket>),
}

/// What a computation remarks about the histograms of one row.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    pub(super) quantile_nan: bool,
    pub(super) quantile_skewed: bool,
    pub(super) fraction_nans: bool,
    forced: Option<ForcedMonotonicity>,
    ts_ms: i64,
}

impl Remarks {
    /// Buckets from `bucket_min` to `bucket_max` decreased, by at most `diff_max`.
    pub(super) fn forced_monotonicity(&mut self, bucket_min: f64, bucket_max: f64, diff_max: f64) {
        let now = ForcedMonotonicity {
            ts_min_ms: self.ts_ms,
            ts_max_ms: self.ts_ms,
            bucket_min,
            bucket_max,
            diff_max,
            n_more: 0,
        };
        self.forced = Some(match self.forced {
            None => now,
            Some(before) => ForcedMonotonicity {
                ts_min_ms: before.ts_min_ms.min(now.ts_min_ms),
                ts_max_ms: before.ts_max_ms.max(now.ts_max_ms),
                bucket_min: before.bucket_min.min(bucket_min),
                bucket_max: before.bucket_max.max(bucket_max),
                diff_max: before.diff_max.max(diff_max),
                n_more: before.n_more + 1,
            },
        });
    }

    fn publish(self, context: &mut CallContext<'_>, metric: &str, position: Span) {
        let metric = || metric.to_owned();
        if self.quantile_nan {
            context
                .annotations
                .add(Annotation::NativeHistogramQuantileNanResult { metric: metric() }, position);
        }
        if self.quantile_skewed {
            context
                .annotations
                .add(Annotation::NativeHistogramQuantileNanSkew { metric: metric() }, position);
        }
        if self.fraction_nans {
            context.annotations.add(Annotation::NativeHistogramFractionNans { metric: metric() }, position);
        }
        if let Some(extent) = self.forced {
            let annotation = Annotation::ForcedMonotonicity { metric: metric(), extent };
            context.annotations.add(annotation, position);
        }
    }
}

/// The rows that make one classic histogram.
#[derive(Debug)]
struct Classic {
    /// Without `le`.
    labels: Labels,
    /// (upper bound, row), ascending by bound.
    members: Vec<(f64, usize)>,
    /// The row of a native histogram with these labels.
    native_row: Option<usize>,
}

/// The histograms of a vector.
#[derive(Debug)]
pub(super) struct Histograms<'a> {
    block: &'a Block,
    /// Rows with native histograms, and which classic histogram has the same labels.
    natives: Vec<(usize, Option<usize>)>,
    classics: Vec<Classic>,
}

impl<'a> Histograms<'a> {
    /// Groups the rows, warning of malformed bounds and of histograms that are native and classic.
    pub(super) fn of(context: &mut CallContext<'_>, block: &'a Block, position: Span) -> Self {
        let mut by_labels: HashMap<Labels, usize> = HashMap::new();
        let mut classics: Vec<Classic> = Vec::new();
        let metric_name = |context: &CallContext<'_>, labels: &Labels| {
            if context.delayed_name_removal { labels.metric_name().to_owned() } else { String::new() }
        };
        for row in (0..block.n_rows()).filter(|row| has_floats(block, *row)) {
            let labels = block.labels(row);
            let text = labels.get(BUCKET_LABEL).unwrap_or("");
            let Some(bound) = base::gofloat::parse(text) else {
                let metric = metric_name(context, labels);
                let annotation = Annotation::BadBucketLabel { metric, label: text.to_owned() };
                context.annotations.add(annotation, position);
                continue;
            };
            let labels = labels.without(|name| name == BUCKET_LABEL);
            let idx = *by_labels.entry(labels.clone()).or_insert_with(|| {
                classics.push(Classic { labels, members: Vec::new(), native_row: None });
                classics.len() - 1
            });
            classics[idx].members.push((bound, row));
        }
        for classic in &mut classics {
            classic.members.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
        }
        let mut natives = Vec::new();
        for row in (0..block.n_rows()).filter(|row| !block.histograms(*row).is_empty()) {
            let classic = by_labels.get(block.labels(row)).copied();
            natives.push((row, classic));
            let Some(classic) = classic.map(|idx| &mut classics[idx]) else {
                continue;
            };
            classic.native_row = Some(row);
            let meets = |step: u32| classic.members.iter().any(|(_, r)| block.has_float(*r, step as usize));
            if block.histograms(row).iter().any(|(step, _)| meets(*step)) {
                let metric = metric_name(context, block.labels(row));
                context.annotations.add(Annotation::MixedClassicNativeHistograms { metric }, position);
            }
        }
        Self { block, natives, classics }
    }

    /// One row for each histogram, of what `value` gives for its samples. `extra` is a label to set.
    pub(super) fn map(
        &self,
        context: &mut CallContext<'_>,
        position: Span,
        extra: Option<(&str, &str)>,
        mut value: impl FnMut(Sample<'_>, usize, &mut Remarks) -> Option<f64>,
    ) -> Block {
        let mut out = Block::new(self.block.n_steps());
        for (row, classic) in &self.natives {
            let labels = self.block.labels(*row);
            let classic = classic.map(|idx| &self.classics[idx]);
            self.map_row(context, position, extra, labels, &mut out, |out, to, remarks, _| {
                for (step, h) in self.block.histograms(*row) {
                    let step = *step as usize;
                    let meets = |c: &Classic| c.members.iter().any(|(_, r)| self.block.has_float(*r, step));
                    if classic.is_some_and(meets) {
                        continue;
                    }
                    if let Some(v) = value(Sample::Native(h), step, remarks) {
                        out.set_float(to, step, v);
                    }
                }
            });
        }
        let mut buckets = Vec::new();
        for classic in &self.classics {
            self.map_row(context, position, extra, &classic.labels, &mut out, |out, to, remarks, context| {
                for step in 0..self.block.n_steps() {
                    self.collect(classic, step, &mut buckets);
                    if buckets.is_empty() {
                        continue;
                    }
                    remarks.ts_ms = context.grid.time_ms(step);
                    if let Some(v) = value(Sample::Classic(&mut buckets), step, remarks) {
                        out.set_float(to, step, v);
                    }
                }
            });
        }
        out
    }

    fn map_row(
        &self,
        context: &mut CallContext<'_>,
        position: Span,
        extra: Option<(&str, &str)>,
        labels: &Labels,
        out: &mut Block,
        fill: impl FnOnce(&mut Block, usize, &mut Remarks, &CallContext<'_>),
    ) {
        let named = if context.delayed_name_removal { labels.clone() } else { drop_metric_name(labels) };
        let labels = match extra {
            Some((name, value)) => named.to_builder().set(name, value).build(),
            None => named.clone(),
        };
        let to = out.push_row(labels, true);
        let mut remarks = Remarks::default();
        fill(out, to, &mut remarks, context);
        remarks.publish(context, named.get(METRIC_NAME).unwrap_or(""), position);
        if out.row_is_empty(to) {
            out.pop_row();
        }
    }

    /// The buckets of a classic histogram at one step; none where a native one has the same labels.
    fn collect(&self, classic: &Classic, step: usize, buckets: &mut Vec<ClassicBucket>) {
        buckets.clear();
        if classic.native_row.is_some_and(|row| self.block.histogram(row, step).is_some()) {
            return;
        }
        for (upper, row) in &classic.members {
            if !self.block.has_float(*row, step) {
                continue;
            }
            let count = self.block.values(*row)[step];
            match buckets.last_mut() {
                Some(last) if last.upper == *upper => last.count += count,
                _ => buckets.push(ClassicBucket { upper: *upper, count }),
            }
        }
    }
}

fn has_floats(block: &Block, row: usize) -> bool {
    block.present(row).iter().any(|word| *word != 0)
}
