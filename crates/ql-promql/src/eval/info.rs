//! `info`: labels of info series (`target_info` and the like) for the series they describe.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};
use ql_core::Span;

use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::plan::{CallNode, Node, Selector};
use crate::eval::selector::Take;
use crate::query::EvalContext;

/// The info metric that is meant if none is named.
const TARGET_INFO: &str = "target_info";

/// The labels by which an info series belongs to a series.
const IDENTIFYING_LABELS: [&str; 2] = ["instance", "job"];

/// What the second argument asks for.
struct Wanted {
    /// Conditions on the labels to add, by label.
    data: BTreeMap<String, Vec<Matcher>>,
    /// Which info metrics to take labels from.
    names: Vec<Matcher>,
}

impl Wanted {
    fn of(node: Option<&Node<'_>>) -> Result<Self, EvalError> {
        let mut wanted = Self { data: BTreeMap::new(), names: Vec::new() };
        match node {
            Some(Node::Vector(selector)) => {
                for matcher in selector.matchers {
                    if matcher.name == METRIC_NAME {
                        wanted.names.push(matcher.clone());
                    } else {
                        wanted.data.entry(matcher.name.clone()).or_default().push(matcher.clone());
                    }
                }
            }
            Some(Node::StepInvariant(inner)) => return Self::of(Some(inner)),
            Some(_) => return Err(EvalError::Execution("info needs a label selector".to_owned())),
            None => {}
        }
        wanted.names = effective_names(wanted.names)?;
        Ok(wanted)
    }

    /// Whether a series that no info series describes is given all the same.
    fn allows_none(&self) -> bool {
        self.data.values().flatten().all(Matcher::matches_empty)
    }
}

/// Conditions that only exclude are joined by one for everything that is called an info metric.
fn effective_names(names: Vec<Matcher>) -> Result<Vec<Matcher>, EvalError> {
    if names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex)) {
        return Ok(names);
    }
    if names.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, TARGET_INFO)]);
    }
    let mut all = vec![matcher(MatchOp::Regex, METRIC_NAME, ".+_info")?];
    all.extend(names);
    Ok(all)
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Result<Matcher, EvalError> {
    Matcher::new(op, name, value).map_err(|error| EvalError::Execution(error.to_string()))
}

/// A pattern that matches just `text`.
fn quote_pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The labels by which info series of one metric are found.
fn signature(name: &str, labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::new();
    builder.set(METRIC_NAME, name);
    for label in IDENTIFYING_LABELS {
        builder.set(label, labels.get(label).unwrap_or(""));
    }
    builder.build()
}

impl Evaluator<'_> {
    pub(crate) fn info(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let (at_ms, offset_ms) = call.args[0].first_selector_time().unwrap_or((None, 0));
        let base = self.eval(&call.args[0], grid)?;
        let wanted = Wanted::of(call.args.get(1))?;
        // Info series are not described by others.
        let described: Vec<bool> = (0..base.n_rows())
            .map(|row| !wanted.names.iter().all(|matcher| matcher.matches(base.labels(row).metric_name())))
            .collect();
        let infos = self.info_series(&base, &described, &wanted, (at_ms, offset_ms), grid)?;
        let mut out = enrich(&base, &described, &infos, &wanted, self.context)?;
        out.retain_rows(|block, row| !block.row_is_empty(row));
        out.merge_duplicates()?;
        Ok(out)
    }

    /// The info series that may describe any of the base series; each value is the time of the sample.
    fn info_series(
        &mut self,
        base: &Block,
        described: &[bool],
        wanted: &Wanted,
        (at_ms, offset_ms): (Option<i64>, i64),
        grid: Grid,
    ) -> Result<Block, EvalError> {
        let mut matchers = Vec::new();
        for label in IDENTIFYING_LABELS {
            let values: BTreeSet<&str> = (0..base.n_rows())
                .filter(|row| described[*row])
                .filter_map(|row| base.labels(row).get(label))
                .collect();
            if !values.is_empty() {
                let escaped: Vec<String> = values.into_iter().map(quote_pattern).collect();
                matchers.push(matcher(MatchOp::Regex, label, &escaped.join("|"))?);
            }
        }
        if matchers.is_empty() {
            return Ok(Block::new(grid.n_steps));
        }
        matchers.extend(wanted.data.values().flatten().cloned());
        matchers.extend(wanted.names.iter().cloned());
        let selector = Selector {
            matchers: &matchers,
            at_ms,
            offset_ms,
            anchored: false,
            smoothed: false,
            statistics_only: false,
            position: Span::default(),
        };
        self.latest_samples(&selector, grid, Take::InfoTimestamp)
    }
}

/// The info series by signature, with the names they go by.
struct InfoIndex<'a> {
    block: &'a Block,
    names: BTreeSet<&'a str>,
    by_signature: HashMap<Labels, Vec<usize>>,
}

impl<'a> InfoIndex<'a> {
    fn new(block: &'a Block) -> Self {
        let mut names = BTreeSet::new();
        let mut by_signature: HashMap<Labels, Vec<usize>> = HashMap::new();
        for row in 0..block.n_rows() {
            let labels = block.labels(row);
            names.insert(labels.metric_name());
            by_signature.entry(signature(labels.metric_name(), labels)).or_default().push(row);
        }
        Self { block, names, by_signature }
    }

    /// The row with the newest sample at a step; an error if two are equally new.
    fn newest(&self, rows: &[usize], step: usize) -> Result<Option<usize>, EvalError> {
        let mut newest: Option<usize> = None;
        for row in rows.iter().copied().filter(|row| self.block.has_float(*row, step)) {
            let t_ms = |row: usize| self.block.values(row)[step];
            match newest {
                Some(known) if t_ms(known) == t_ms(row) => {
                    let (at, text) = (t_ms(row) as i64, "found duplicate series for info metric");
                    return Err(EvalError::Execution(format!(
                        "{text}: existing {} @ {at}, new {} @ {at}",
                        self.block.labels(known),
                        self.block.labels(row)
                    )));
                }
                Some(known) if t_ms(known) > t_ms(row) => {}
                _ => newest = Some(row),
            }
        }
        Ok(newest)
    }

    /// All rows that conflict at a step make the query fail, whether a base series needs them or not.
    fn check_step(&self, step: usize) -> Result<(), EvalError> {
        let mut groups: Vec<&Vec<usize>> = self.by_signature.values().filter(|rows| rows.len() > 1).collect();
        groups.sort_unstable();
        groups.into_iter().try_for_each(|rows| self.newest(rows, step).map(|_| ()))
    }
}

fn enrich(
    base: &Block,
    described: &[bool],
    infos: &Block,
    wanted: &Wanted,
    context: &EvalContext,
) -> Result<Block, EvalError> {
    let index = InfoIndex::new(infos);
    let mut out = Block::new(base.n_steps());
    for step in 0..base.n_steps() {
        if (0..base.n_rows()).any(|row| base.has_cell(row, step)) {
            index.check_step(step)?;
        }
    }
    for (row, described) in described.iter().enumerate() {
        if !described {
            out.copy_row(base, row);
            continue;
        }
        enrich_row(&mut out, base, row, &index, wanted, context)?;
    }
    Ok(out)
}

/// Adds the rows that one base series becomes: one for each set of info series that describes it.
fn enrich_row(
    out: &mut Block,
    base: &Block,
    row: usize,
    index: &InfoIndex<'_>,
    wanted: &Wanted,
    context: &EvalContext,
) -> Result<(), EvalError> {
    let labels = base.labels(row);
    let candidates: Vec<&[usize]> = index
        .names
        .iter()
        .filter_map(|name| index.by_signature.get(&signature(name, labels)))
        .map(Vec::as_slice)
        .collect();
    let mut rows: HashMap<Vec<usize>, Option<usize>> = HashMap::new();
    for step in (0..base.n_steps()).filter(|step| base.has_cell(row, *step)) {
        let mut described_by = Vec::with_capacity(candidates.len());
        for rows in &candidates {
            described_by.extend(index.newest(rows, step)?);
        }
        let to = match rows.get(&described_by) {
            Some(to) => *to,
            None => {
                let to = if described_by.is_empty() && !wanted.allows_none() {
                    None
                } else {
                    let enriched = enriched_labels(labels, &described_by, index.block, wanted)?;
                    let to = out.push_built_row(enriched, base.drop_name(row));
                    context.pace(out, to)?;
                    Some(to)
                };
                rows.insert(described_by, to);
                to
            }
        };
        match (to, base.cell(row, step)) {
            (Some(to), Some(crate::eval::block::Cell::Float(value))) => out.set_float(to, step, value),
            (Some(to), Some(crate::eval::block::Cell::Histogram(histogram))) => {
                out.set_histogram(to, step, std::sync::Arc::clone(histogram));
            }
            _ => {}
        }
    }
    Ok(())
}

fn enriched_labels(
    labels: &Labels,
    described_by: &[usize],
    infos: &Block,
    wanted: &Wanted,
) -> Result<Labels, EvalError> {
    let mut added = LabelsBuilder::new();
    for row in described_by {
        for (name, value) in infos.labels(*row) {
            if name == METRIC_NAME || (!wanted.data.is_empty() && !wanted.data.contains_key(name)) {
                continue;
            }
            let before = added.get(name);
            if !before.is_empty() && before != value {
                return Err(EvalError::Execution(format!("conflicting label: {name}")));
            }
            if labels.get(name).is_none() {
                added.set(name, value);
            }
        }
    }
    let mut builder = labels.to_builder();
    for (name, value) in added.iter() {
        builder.set(name, value);
    }
    Ok(builder.build())
}
