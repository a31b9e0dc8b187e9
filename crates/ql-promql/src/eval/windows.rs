//! Functions of range vectors: windows slide over the columns of each series, for all steps.

use std::sync::Arc;

use model::histogram::CounterResetHint;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};
use ql_core::Span;

use crate::annotations::{Annotation, Annotations};
use crate::eval::block::Block;
use crate::eval::drop_stale_markers;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::plan::{CallNode, MatrixNode, Node, SubqueryNode};
use crate::eval::selector::{Take, read};
use crate::eval::shard::{BatchSink, Delivery, Shard};
use crate::eval::tally::{HeldSamples, Tally};
use crate::functions::window::{
    Extension, Window, WindowContext, WindowFunction, WindowValue, window_function,
};
use crate::query::EngineOptions;
use crate::source::SeriesBuffer;

/// Functions that accept `anchored` ranges, sorted.
const ANCHORED_FUNCTIONS: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
/// Functions that accept `smoothed` ranges, sorted.
const SMOOTHED_FUNCTIONS: [&str; 3] = ["delta", "increase", "rate"];
/// Functions that read start timestamps, if the engine does.
const START_TIMESTAMP_FUNCTIONS: [&str; 4] = ["increase", "irate", "rate", "resets"];

/// One call of a window function over all steps.
struct WindowCall<'a> {
    name: &'a str,
    function: WindowFunction,
    grid: Grid,
    range_ms: i64,
    extension: Extension,
    lookback_ms: i64,
    /// The end of the range at a step of the grid is this far before the step, unless fixed.
    offset_ms: i64,
    fixed_end_ms: Option<i64>,
    /// The scalar arguments: for each step, all of them in order.
    scalars: Vec<f64>,
    n_scalars: usize,
    position: Span,
    /// Whether the series come from a subquery, whose reading has been counted.
    from_subquery: bool,
}

impl WindowCall<'_> {
    fn end_ms(&self, step: usize) -> i64 {
        self.fixed_end_ms.unwrap_or_else(|| self.grid.time_ms(step)).saturating_sub(self.offset_ms)
    }

    /// How far before and after the range samples are shown to the function.
    fn margins_ms(&self) -> (i64, i64) {
        match self.extension {
            Extension::None => (0, 0),
            Extension::Anchored => (self.lookback_ms, 0),
            Extension::Smoothed => (self.lookback_ms, self.lookback_ms),
        }
    }
}

/// The part of a column within a window that moves forward.
#[derive(Debug, Default, Clone, Copy)]
struct Slider {
    start: usize,
    end: usize,
}

impl Slider {
    /// Moves to the times in `(after_ms, until_ms]`.
    fn advance(&mut self, times: &[i64], after_ms: i64, until_ms: i64) {
        while times.get(self.end).is_some_and(|t_ms| *t_ms <= until_ms) {
            self.end += 1;
        }
        while self.start < self.end && times[self.start] <= after_ms {
            self.start += 1;
        }
    }

    fn of<'a, T>(&self, column: &'a [T]) -> &'a [T] {
        column.get(self.start..self.end).unwrap_or(&[])
    }
}

/// The windows of one series, step by step.
struct Windows<'a> {
    call: &'a WindowCall<'a>,
    buffer: &'a SeriesBuffer,
    floats: Slider,
    histograms: Slider,
}

impl<'a> Windows<'a> {
    fn new(call: &'a WindowCall<'a>, buffer: &'a SeriesBuffer) -> Self {
        Self { call, buffer, floats: Slider::default(), histograms: Slider::default() }
    }

    /// The window at a step, which must not fall from call to call.
    fn at(&mut self, step: usize) -> Window<'a> {
        let Self { call, buffer, floats, histograms } = self;
        let (before_ms, after_ms) = call.margins_ms();
        let end_ms = call.end_ms(step);
        let start_ms = end_ms.saturating_sub(call.range_ms);
        let (from_ms, until_ms) = (start_ms.saturating_sub(before_ms), end_ms.saturating_add(after_ms));
        floats.advance(&buffer.float_ts, from_ms, until_ms);
        histograms.advance(&buffer.histogram_ts, from_ms, until_ms);
        Window {
            first_float: floats.start,
            float_ts: floats.of(&buffer.float_ts),
            floats: floats.of(&buffer.float_values),
            float_st: floats.of(&buffer.float_st),
            histogram_ts: histograms.of(&buffer.histogram_ts),
            histograms: histograms.of(&buffer.histograms),
            histogram_st: histograms.of(&buffer.histogram_st),
            start_ms,
            end_ms,
            eval_ms: call.grid.time_ms(step),
        }
    }
}

impl Evaluator<'_> {
    /// A call with a range vector among its arguments, at `range_idx`.
    pub(crate) fn window_call(
        &mut self,
        call: &CallNode<'_>,
        range_idx: usize,
        grid: Grid,
    ) -> Result<Block, EvalError> {
        let range_arg = &call.args[range_idx];
        let mut block = Block::new(grid.n_steps);
        match range_arg {
            Node::Matrix(matrix) => {
                let windows = self.windows_over_selector(call, range_idx, matrix, grid)?;
                self.selector_windows(&windows, matrix, Delivery::Whole(&mut block))?;
            }
            Node::Subquery(subquery) => {
                // Upstream evaluates subqueries before the other arguments.
                let (inner, inner_grid) = self.subquery(subquery, grid, true)?;
                let windows = self.windows_over_subquery(call, range_idx, subquery, grid)?;
                block = self.block_windows(&windows, &inner, inner_grid)?;
            }
            _ => return Err(EvalError::Execution("a range vector is needed".to_owned())),
        }
        if call.name == "absent_over_time" {
            return Ok(absent_over_time(range_arg, &block, grid));
        }
        if !self.options.delayed_name_removal && block.has_duplicate_labels() {
            return Err(EvalError::duplicate_labelset());
        }
        Ok(block)
    }

    /// Evaluates a selector, or a window function of one, and hands its rows over in batches. False
    /// if `node` is nothing of the kind, or must be seen as a whole.
    pub(crate) fn stream(
        &mut self,
        node: &Node<'_>,
        grid: Grid,
        sink: &mut BatchSink<'_>,
    ) -> Result<bool, EvalError> {
        let held_before = self.held.current();
        let n_samples = match node {
            Node::Vector(selector) if !selector.smoothed => {
                self.latest_rows(selector, grid, Take::Value, Delivery::Batches(sink))?
            }
            Node::Call(call) if call.name != "absent_over_time" => {
                let range_idx = call.args.iter().position(|arg| matches!(arg, Node::Matrix(_)));
                let Some((range_idx, Node::Matrix(matrix))) = range_idx.map(|idx| (idx, &call.args[idx]))
                else {
                    return Ok(false);
                };
                // Series of one name stay distinct without it; others must be compared with each other.
                if !self.options.delayed_name_removal && !names_one_metric(matrix.selector.matchers) {
                    return Ok(false);
                }
                let windows = self.windows_over_selector(call, range_idx, matrix, grid)?;
                self.selector_windows(&windows, matrix, Delivery::Batches(sink))?
            }
            _ => return Ok(false),
        };
        self.held.set(held_before + n_samples)?;
        Ok(true)
    }

    fn windows_over_selector<'c>(
        &mut self,
        call: &CallNode<'c>,
        range_idx: usize,
        matrix: &MatrixNode<'_>,
        grid: Grid,
    ) -> Result<WindowCall<'c>, EvalError> {
        let selector = &matrix.selector;
        Ok(WindowCall {
            range_ms: matrix.range_ms,
            extension: extension_of(matrix, call.name)?,
            offset_ms: selector.offset_ms,
            fixed_end_ms: selector.at_ms,
            ..self.windows(call, range_idx, grid)?
        })
    }

    fn windows_over_subquery<'c>(
        &mut self,
        call: &CallNode<'c>,
        range_idx: usize,
        subquery: &SubqueryNode<'_>,
        grid: Grid,
    ) -> Result<WindowCall<'c>, EvalError> {
        let windows = self.windows(call, range_idx, grid)?;
        // Upstream puts the evaluated subquery in place of the argument, which then has no position
        // of its own.
        let position = if range_idx == 0 { Span::default() } else { windows.position };
        Ok(WindowCall {
            range_ms: subquery.range_ms,
            offset_ms: subquery.offset_ms,
            fixed_end_ms: subquery.at_ms,
            position,
            from_subquery: true,
            ..windows
        })
    }

    /// The parts of a window call that do not depend on its range, which is left empty.
    fn windows<'c>(
        &mut self,
        call: &CallNode<'c>,
        range_idx: usize,
        grid: Grid,
    ) -> Result<WindowCall<'c>, EvalError> {
        let function = window_function(call.name).ok_or_else(|| {
            EvalError::Execution(format!("function {} does not take a range vector", call.name))
        })?;
        let mut columns = Vec::new();
        for (idx, arg) in call.args.iter().enumerate() {
            if idx != range_idx {
                columns.push(self.scalar(arg, grid)?);
            }
        }
        let scalars =
            (0..grid.n_steps).flat_map(|step| columns.iter().map(move |column| column[step])).collect();
        Ok(WindowCall {
            name: call.name,
            function,
            grid,
            range_ms: 0,
            extension: Extension::None,
            lookback_ms: self.lookback_ms,
            offset_ms: 0,
            fixed_end_ms: None,
            scalars,
            n_scalars: columns.len(),
            position: call.arg_positions[0],
            from_subquery: false,
        })
    }

    /// Slides over the series of a selector; gives the samples in all.
    fn selector_windows(
        &mut self,
        call: &WindowCall<'_>,
        matrix: &MatrixNode<'_>,
        delivery: Delivery<'_, '_>,
    ) -> Result<usize, EvalError> {
        let with_start = self.options.use_start_timestamps && START_TIMESTAMP_FUNCTIONS.contains(&call.name);
        let (before_ms, after_ms) = call.margins_ms();
        let set =
            self.select(&matrix.selector, call.grid, before_ms + call.range_ms, after_ms, with_start)?;
        let held = HeldSamples::new(self.options.samples_max.saturating_sub(self.held.current()));
        let options = self.options;
        let work = |idx: usize, shard: &mut Shard| {
            read(&*set, idx, &matrix.selector, &mut shard.buffer)?;
            drop_stale_markers(&mut shard.buffer);
            let labels = set.labels(idx);
            slide(call, &Row { labels, origin: Some(labels), drop_name: false }, shard, &held, options)
        };
        self.deliver(set.len(), call.grid.n_steps, work, delivery)?;
        self.held.touch(held.peak())?;
        Ok(held.current())
    }

    fn block_windows(
        &mut self,
        call: &WindowCall<'_>,
        inner: &Block,
        inner_grid: Grid,
    ) -> Result<Block, EvalError> {
        let held = HeldSamples::new(self.options.samples_max.saturating_sub(self.held.current()));
        let options = self.options;
        let block = self.for_each_series(inner.n_rows(), call.grid.n_steps, |row, shard| {
            fill_from_row(&mut shard.buffer, inner, row, inner_grid);
            let (labels, drop_name) = (inner.labels(row), inner.drop_name(row));
            let row = Row { labels, origin: inner.origin(row), drop_name };
            slide(call, &row, shard, &held, options)
        })?;
        self.held.touch(held.peak())?;
        Ok(block)
    }
}

/// Whether all series that match have the same name.
pub(crate) fn names_one_metric(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|matcher| {
        matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal && !matcher.value.is_empty()
    })
}

fn extension_of(matrix: &MatrixNode<'_>, function: &str) -> Result<Extension, EvalError> {
    let refuse = |modifier: &str, allowed: &[&str]| {
        EvalError::Execution(format!(
            "{modifier} modifier can only be used with: {} - not with {function}",
            allowed.join(", ")
        ))
    };
    match (matrix.selector.anchored, matrix.selector.smoothed) {
        (true, _) if ANCHORED_FUNCTIONS.contains(&function) => Ok(Extension::Anchored),
        (true, _) => Err(refuse("anchored", &ANCHORED_FUNCTIONS)),
        (_, true) if SMOOTHED_FUNCTIONS.contains(&function) => Ok(Extension::Smoothed),
        (_, true) => Err(refuse("smoothed", &SMOOTHED_FUNCTIONS)),
        (false, false) => Ok(Extension::None),
    }
}

/// The samples of a row as those of a series. Whether a counter was reset between samples of a
/// subquery must be found anew, since it may show others than were stored.
fn fill_from_row(buffer: &mut SeriesBuffer, block: &Block, row: usize, grid: Grid) {
    buffer.clear();
    let values = block.values(row);
    for (step, value) in values.iter().enumerate() {
        if block.has_float(row, step) {
            buffer.float_ts.push(grid.time_ms(step));
            buffer.float_values.push(*value);
        }
    }
    for (step, histogram) in block.histograms(row) {
        buffer.histogram_ts.push(grid.time_ms(*step as usize));
        let hinted =
            matches!(histogram.counter_reset_hint, CounterResetHint::Reset | CounterResetHint::NotReset);
        buffer.histograms.push(if hinted {
            let mut histogram = (**histogram).clone();
            histogram.counter_reset_hint = CounterResetHint::Unknown;
            Arc::new(histogram)
        } else {
            Arc::clone(histogram)
        });
    }
}

/// The series in the shard's buffer.
struct Row<'a> {
    labels: &'a Labels,
    /// Of [`Block::origin`].
    origin: Option<&'a Labels>,
    drop_name: bool,
}

/// Evaluates the call for the series in the shard's buffer and appends its row, if it has samples.
fn slide(
    call: &WindowCall<'_>,
    input: &Row<'_>,
    shard: &mut Shard,
    held: &HeldSamples,
    options: &EngineOptions,
) -> Result<(), EvalError> {
    // `first_over_time` and `last_over_time` give samples as they are, name included.
    let Row { labels, origin, .. } = *input;
    let drop_name = input.drop_name || !matches!(call.name, "first_over_time" | "last_over_time");
    let out_labels = if drop_name && !options.delayed_name_removal {
        crate::functions::drop_metric_name(labels)
    } else {
        labels.clone()
    };
    let Shard { block, annotations, tally, buffer, scratch, carry } = shard;
    carry.clear();
    let row = block.push_row(out_labels, drop_name);
    block.set_origin(row, origin);
    let mut windows = Windows::new(call, buffer);
    let mut any_float = false;
    let (mut n_out, mut shown) = (0, 0);
    for step in 0..call.grid.n_steps {
        let window = windows.at(step);
        if window.n_samples() == 0 {
            shown = 0;
            continue;
        }
        shown = count_window(call, &window, step, tally);
        held.touch(shown)?;
        let mut context = WindowContext {
            labels,
            scalars: &call.scalars[step * call.n_scalars..(step + 1) * call.n_scalars],
            extension: call.extension,
            annotations,
            position: call.position,
            scratch,
            carry,
        };
        match (call.function)(&window, &mut context)? {
            Some(WindowValue::Float(value)) => {
                block.set_float(row, step, value);
                any_float = true;
                n_out += 1;
            }
            Some(WindowValue::Histogram(histogram)) => {
                n_out += histogram.sample_weight();
                block.set_histogram(row, step, histogram);
            }
            None => {}
        }
    }
    if n_out == 0 {
        block.pop_row();
    }
    if any_float && matches!(call.name, "rate" | "increase") {
        annotate_non_counter(labels, call.position, annotations, options.type_and_unit_labels);
    }
    held.add(n_out)?;
    held.touch(shown)
}

/// Counts the samples of a window, and those that no earlier window showed.
fn count_window(call: &WindowCall<'_>, window: &Window<'_>, step: usize, tally: &mut Tally) -> usize {
    let weight_of = |histograms: &[Arc<model::FloatHistogram>]| -> usize {
        histograms.iter().map(|histogram| histogram.sample_weight()).sum()
    };
    let weight = window.floats.len() + weight_of(window.histograms);
    let read = if call.from_subquery || (step > 0 && call.fixed_end_ms.is_some()) {
        0
    } else if step == 0 {
        weight
    } else {
        let seen_until_ms = window.end_ms.saturating_add(call.margins_ms().1) - call.grid.step_ms;
        let new_floats =
            window.float_ts.len() - window.float_ts.partition_point(|t_ms| *t_ms <= seen_until_ms);
        let first_new = window.histogram_ts.partition_point(|t_ms| *t_ms <= seen_until_ms);
        new_floats + weight_of(&window.histograms[first_new..])
    };
    tally.count(step, weight, read);
    weight
}

fn annotate_non_counter(labels: &Labels, position: Span, annotations: &mut Annotations, by_type: bool) {
    let metric = labels.metric_name();
    if metric.is_empty() {
        return;
    }
    if by_type {
        let type_label = labels.get("__type__").unwrap_or("");
        if !matches!(type_label, "counter" | "histogram") {
            let (metric, type_label) = (metric.to_owned(), type_label.to_owned());
            annotations.add(Annotation::PossibleNonCounterLabel { metric, type_label }, position);
        }
    } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix)) {
        annotations.add(Annotation::PossibleNonCounter { metric: metric.to_owned() }, position);
    }
}

/// 1 at each step at which no series has a sample.
fn absent_over_time(arg: &Node<'_>, block: &Block, grid: Grid) -> Block {
    let mut out = Block::new(grid.n_steps);
    let row = out.push_row(absent_labels(arg), true);
    for step in 0..grid.n_steps {
        if !(0..block.n_rows()).any(|row| block.has_cell(row, step)) {
            out.set_float(row, step, 1.0);
        }
    }
    if out.row_is_empty(row) {
        out.pop_row();
    }
    out
}

/// The labels that a selector fixes: those with exactly one condition, an equality.
pub(crate) fn absent_labels(arg: &Node<'_>) -> Labels {
    let matchers = match arg {
        Node::Vector(selector) => selector.matchers,
        Node::Matrix(matrix) => matrix.selector.matchers,
        Node::Fragment(fragment) => return absent_labels(&fragment.node),
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
            builder.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            builder.remove(&matcher.name);
        }
    }
    builder.build()
}
