//! Function calls: which kernel, over which arguments.

use crate::annotations::Annotation;
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::plan::{CallNode, Node};
use crate::eval::selector::Take;
use crate::eval::windows::absent_labels;
use crate::functions::CallContext;
use crate::functions::date::DatePart;
use crate::functions::elementwise::float_function;
use crate::functions::histogram::{
    HistogramStatistic, histogram_fraction, histogram_quantile, histogram_quantiles, histogram_statistic,
};
use crate::functions::math::{go_max, go_min};

impl Evaluator<'_> {
    pub(crate) fn call(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        if let (name @ ("timestamp" | "start_timestamp"), [Node::Vector(selector)]) =
            (call.name, &call.args[..])
        {
            return self.sample_times(name, selector, grid);
        }
        let range_idx = call.args.iter().position(|arg| matches!(arg, Node::Matrix(_) | Node::Subquery(_)));
        if let Some(range_idx) = range_idx {
            return self.window_call(call, range_idx, grid);
        }
        let mut block = match call.name {
            "label_replace" => return self.label_replace(call, grid),
            "label_join" => return self.label_join(call, grid),
            "info" => return self.info(call, grid),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => return self.sorted(call, grid),
            "time" => Block::scalar_steps(grid.times().map(|t_ms| t_ms as f64 / 1000.0).collect()),
            "pi" => Block::scalar(grid.n_steps, std::f64::consts::PI),
            "min_of" | "max_of" => self.extreme_of(call, grid)?,
            "scalar" => self.scalar_of_vector(call, grid)?,
            "vector" => Block::scalar_steps(self.scalar(&call.args[0], grid)?),
            "absent" => self.absent(call, grid)?,
            "timestamp" => self.evaluation_times(call, grid)?,
            "start_timestamp" => {
                self.eval(&call.args[0], grid)?;
                Block::new(grid.n_steps)
            }
            name if name.starts_with("histogram_") => self.histogram_call(call, grid)?,
            _ => self.float_call(call, grid)?,
        };
        self.finish_steps(&mut block, grid)?;
        Ok(block)
    }

    /// The times of the samples that a selector finds, in seconds.
    fn sample_times(
        &mut self,
        name: &str,
        selector: &crate::eval::plan::Selector<'_>,
        grid: Grid,
    ) -> Result<Block, EvalError> {
        let take = if name == "timestamp" { Take::Timestamp } else { Take::StartTimestamp };
        let mut block = self.latest_samples(selector, grid, take)?;
        if take == Take::StartTimestamp && !self.options.use_start_timestamps {
            return Ok(Block::new(grid.n_steps));
        }
        // Upstream holds the samples of the last step beside the result.
        let last = grid.n_steps - 1;
        let n_last = (0..block.n_rows()).filter(|row| block.has_float(*row, last)).count();
        self.held.touch(block.n_samples() + n_last)?;
        self.drop_names(&mut block);
        self.finish_steps(&mut block, grid)?;
        Ok(block)
    }

    /// `timestamp()` of what is computed: the time of the evaluation.
    fn evaluation_times(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut block = self.eval(&call.args[0], grid)?;
        for row in 0..block.n_rows() {
            for (step, _) in block.take_histograms(row) {
                block.set_float(row, step as usize, 0.0);
            }
            for (value, t_ms) in block.values_mut(row).iter_mut().zip(grid.times()) {
                *value = t_ms as f64 / 1000.0;
            }
        }
        self.drop_names(&mut block);
        Ok(block)
    }

    fn extreme_of(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let (a, b) = (self.scalar(&call.args[0], grid)?, self.scalar(&call.args[1], grid)?);
        let extreme = if call.name == "min_of" { go_min } else { go_max };
        Ok(Block::scalar_steps(a.into_iter().zip(b).map(|(a, b)| extreme(a, b)).collect()))
    }

    /// The only float at each step; NaN if there is none or several.
    fn scalar_of_vector(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let block = self.eval(&call.args[0], grid)?;
        let mut values = vec![f64::NAN; grid.n_steps];
        let mut n_found = vec![0u8; grid.n_steps];
        for row in 0..block.n_rows() {
            let row_values = block.values(row);
            for step in (0..grid.n_steps).filter(|step| block.has_float(row, *step)) {
                n_found[step] = n_found[step].saturating_add(1);
                values[step] = if n_found[step] == 1 { row_values[step] } else { f64::NAN };
            }
        }
        Ok(Block::scalar_steps(values))
    }

    fn absent(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let block = self.eval(&call.args[0], grid)?;
        let mut present = vec![0u64; grid.n_steps.div_ceil(64)];
        for row in 0..block.n_rows() {
            for (all, word) in present.iter_mut().zip(block.occupied(row)) {
                *all |= word;
            }
        }
        let mut out = Block::new(grid.n_steps);
        let row = out.push_row(absent_labels(&call.args[0]), false);
        for step in (0..grid.n_steps).filter(|step| present[step / 64] >> (step % 64) & 1 == 0) {
            out.set_float(row, step, 1.0);
        }
        Ok(out)
    }

    /// Functions that map each float by itself; histograms are left out.
    fn float_call(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        if let Some(part) = date_part(call.name) {
            return self.date_call(call, part, grid);
        }
        let mut block = self.eval(&call.args[0], grid)?;
        match call.name {
            "clamp" => {
                let (low, high) = (self.scalar(&call.args[1], grid)?, self.scalar(&call.args[2], grid)?);
                clamp(&mut block, &low, &high);
            }
            "clamp_min" => {
                let low = self.scalar(&call.args[1], grid)?;
                clamp(&mut block, &low, &vec![f64::INFINITY; grid.n_steps]);
            }
            "clamp_max" => {
                let high = self.scalar(&call.args[1], grid)?;
                clamp(&mut block, &vec![f64::NEG_INFINITY; grid.n_steps], &high);
            }
            "round" => {
                let nearest = match call.args.get(1) {
                    Some(arg) => self.scalar(arg, grid)?,
                    None => vec![1.0; grid.n_steps],
                };
                map_floats(&mut block, |step, value| {
                    let inverse = 1.0 / nearest[step];
                    (value * inverse + 0.5).floor() / inverse
                });
            }
            name => {
                let function = float_function(name)
                    .ok_or_else(|| EvalError::Execution(format!("unknown function {name}")))?;
                map_floats(&mut block, |_, value| function(value));
            }
        }
        self.drop_names(&mut block);
        Ok(block)
    }

    fn date_call(&mut self, call: &CallNode<'_>, part: DatePart, grid: Grid) -> Result<Block, EvalError> {
        let Some(arg) = call.args.first() else {
            let parts = grid.times().map(|t_ms| part.of_unix_seconds((t_ms / 1000) as f64)).collect();
            return Ok(Block::scalar_steps(parts));
        };
        let mut block = self.eval(arg, grid)?;
        map_floats(&mut block, |_, value| part.of_unix_seconds(value));
        self.drop_names(&mut block);
        Ok(block)
    }

    fn histogram_call(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let statistic = match call.name {
            "histogram_avg" => Some(HistogramStatistic::Avg),
            "histogram_count" => Some(HistogramStatistic::Count),
            "histogram_stddev" => Some(HistogramStatistic::Stddev),
            "histogram_stdvar" => Some(HistogramStatistic::Stdvar),
            "histogram_sum" => Some(HistogramStatistic::Sum),
            _ => None,
        };
        let mut scalars = Vec::new();
        let mut vector = None;
        let mut label = "";
        for (idx, arg) in call.args.iter().enumerate() {
            match (call.name, idx, arg) {
                (_, _, Node::String(literal)) => label = &literal.value,
                ("histogram_quantile", 0, _) | ("histogram_fraction", 0 | 1, _) => {
                    scalars.push(self.scalar(arg, grid)?);
                }
                ("histogram_quantiles", 2.., _) => scalars.push(self.scalar(arg, grid)?),
                _ => vector = Some(self.eval(arg, grid)?),
            }
        }
        let input = vector.ok_or_else(|| EvalError::Execution(format!("{} needs a vector", call.name)))?;
        let mut context = CallContext {
            grid,
            annotations: &mut self.annotations,
            arg_positions: &call.arg_positions,
            delayed_name_removal: self.options.delayed_name_removal,
        };
        Ok(match (call.name, statistic) {
            (_, Some(statistic)) => histogram_statistic(&mut context, statistic, &input),
            ("histogram_quantile", _) => histogram_quantile(&mut context, &scalars[0], &input),
            ("histogram_quantiles", _) => histogram_quantiles(&mut context, &input, label, &scalars),
            ("histogram_fraction", _) => histogram_fraction(&mut context, &scalars[0], &scalars[1], &input),
            (name, None) => return Err(EvalError::Execution(format!("unknown function {name}"))),
        })
    }

    fn sorted(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut block = self.eval(&call.args[0], grid)?;
        if !grid.is_instant() {
            self.annotations.add(Annotation::SortInRangeQuery, call.position);
        }
        let labels: Vec<&str> = call.args[1..]
            .iter()
            .filter_map(
                |arg| if let Node::String(literal) = arg { Some(literal.value.as_str()) } else { None },
            )
            .collect();
        match call.name {
            "sort" => sort_by_value(&mut block, false),
            "sort_desc" => sort_by_value(&mut block, true),
            "sort_by_label" => sort_by_label(&mut block, &labels, false),
            _ => sort_by_label(&mut block, &labels, true),
        }
        self.finish_steps(&mut block, grid)?;
        Ok(block)
    }
}

/// Maps every present float and removes histograms.
pub(crate) fn map_floats(block: &mut Block, f: impl Fn(usize, f64) -> f64) {
    for row in 0..block.n_rows() {
        block.take_histograms(row);
        for (step, value) in block.values_mut(row).iter_mut().enumerate() {
            *value = f(step, *value);
        }
    }
}

/// Clamps floats; where the bounds are the wrong way round there is no result.
fn clamp(block: &mut Block, low: &[f64], high: &[f64]) {
    map_floats(block, |step, value| go_max(low[step], go_min(high[step], value)));
    for row in 0..block.n_rows() {
        for step in (0..low.len()).filter(|step| high[*step] < low[*step]) {
            block.clear_float(row, step);
        }
    }
}

/// Sorts the rows of a single step by their floats, NaN last; histograms are left out.
fn sort_by_value(block: &mut Block, descending: bool) {
    for row in 0..block.n_rows() {
        block.take_histograms(row);
    }
    if block.n_steps() != 1 {
        return;
    }
    let mut order: Vec<usize> = (0..block.n_rows()).filter(|row| block.has_float(*row, 0)).collect();
    order.sort_by(|a, b| {
        let (a, b) = (block.values(*a)[0], block.values(*b)[0]);
        let by_value = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
        by_value.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    });
    block.reorder(&order);
}

fn sort_by_label(block: &mut Block, labels: &[&str], descending: bool) {
    let mut order: Vec<usize> = (0..block.n_rows()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (block.labels(*a), block.labels(*b));
        let by_labels = labels
            .iter()
            .map(|name| {
                crate::functions::natural::compare(a.get(name).unwrap_or(""), b.get(name).unwrap_or(""))
            })
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.cmp(b));
        if descending { by_labels.reverse() } else { by_labels }
    });
    block.reorder(&order);
}

fn date_part(name: &str) -> Option<DatePart> {
    Some(match name {
        "minute" => DatePart::Minute,
        "hour" => DatePart::Hour,
        "day_of_week" => DatePart::DayOfWeek,
        "day_of_month" => DatePart::DayOfMonth,
        "day_of_year" => DatePart::DayOfYear,
        "days_in_month" => DatePart::DaysInMonth,
        "month" => DatePart::Month,
        "year" => DatePart::Year,
        _ => return None,
    })
}
