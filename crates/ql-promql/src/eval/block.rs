//! The columns an expression evaluates to: rows of series, one cell per step.

use std::sync::Arc;

use base::{Budget, BudgetExceeded, Charge};
use hashbrown::HashMap;
use model::{FloatHistogram, Labels};

use crate::eval::error::EvalError;

/// Charges are taken in pieces of this size, so that rows do not each touch the shared counters.
const CHARGE_STEP_BYTES: u64 = 64 * 1024;

/// One cell that holds a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// What is known of the labels of a row.
#[derive(Debug, Clone, Copy, Default)]
struct RowNotes {
    /// Whether the metric name is to be dropped when the query ends (delayed name removal).
    drop_name: bool,
    /// Whether the evaluation made the labels, so that they are its own to charge.
    built: bool,
}

/// Histogram samples of one row: (step, histogram), ascending by step.
pub(crate) type HistogramCells = Vec<(u32, Arc<FloatHistogram>)>;

/// An instant vector over all steps: `rows × n_steps` floats with a presence bitmap, and sparse
/// histograms. No cell is both. The order of rows is the order of the vector.
#[derive(Debug, Default)]
pub(crate) struct Block {
    n_steps: usize,
    words_per_row: usize,
    labels: Vec<Labels>,
    notes: Vec<RowNotes>,
    /// Bytes of labels that the evaluation made.
    built_bytes: u64,
    /// In a fragment of a query, the labels of the series that each row was made from, by which the rows
    /// of all fragments find back into the order of a whole evaluation. Else `None`.
    origins: Option<Vec<Labels>>,
    values: Vec<f64>,
    present: Vec<u64>,
    /// Empty while no row has a histogram, else one list per row.
    histograms: Vec<HistogramCells>,
    charges: Vec<Charge>,
    /// Rows whose histograms are part of `histogram_bytes`.
    settled_rows: usize,
    histogram_bytes: u64,
}

impl Block {
    pub(crate) fn new(n_steps: usize) -> Self {
        Self { n_steps, words_per_row: n_steps.div_ceil(64), ..Self::default() }
    }

    /// As [`Block::new`], with rows that remember their origin if `tracked`.
    pub(crate) fn tracking(n_steps: usize, tracked: bool) -> Self {
        Self { origins: tracked.then(Vec::new), ..Self::new(n_steps) }
    }

    /// An empty block for rows made from those of this one.
    pub(crate) fn sibling(&self, n_steps: usize) -> Self {
        Self::tracking(n_steps, self.origins.is_some())
    }

    /// One row without labels and a value at every step.
    pub(crate) fn scalar(n_steps: usize, value: f64) -> Self {
        Self::scalar_steps(vec![value; n_steps])
    }

    /// One row without labels, from its value at each step.
    pub(crate) fn scalar_steps(values: Vec<f64>) -> Self {
        let mut block = Self::new(values.len());
        let row = block.push_row(Labels::empty(), false);
        block.values = values;
        block.fill_present(row);
        block
    }

    pub(crate) fn n_steps(&self) -> usize {
        self.n_steps
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Appends a row without samples.
    pub(crate) fn push_row(&mut self, labels: Labels, drop_name: bool) -> usize {
        if let Some(origins) = &mut self.origins {
            origins.push(labels.clone());
        }
        self.labels.push(labels);
        self.notes.push(RowNotes { drop_name, built: false });
        self.values.resize(self.values.len() + self.n_steps, 0.0);
        self.present.resize(self.present.len() + self.words_per_row, 0);
        if !self.histograms.is_empty() {
            self.histograms.push(Vec::new());
        }
        self.labels.len() - 1
    }

    /// As [`Block::push_row`], with labels that were made for the row and not shared with a series.
    pub(crate) fn push_built_row(&mut self, labels: Labels, drop_name: bool) -> usize {
        let row = self.push_row(labels, drop_name);
        self.mark_built(row);
        row
    }

    fn mark_built(&mut self, row: usize) {
        self.notes[row].built = true;
        self.built_bytes += self.labels[row].heap_bytes() as u64;
    }

    fn unmark_built(&mut self, row: usize) {
        if std::mem::take(&mut self.notes[row].built) {
            self.built_bytes -= self.labels[row].heap_bytes() as u64;
        }
    }

    /// Takes back the last row.
    pub(crate) fn pop_row(&mut self) {
        if let Some(last) = self.labels.len().checked_sub(1) {
            self.unmark_built(last);
        }
        self.notes.pop();
        if let Some(origins) = &mut self.origins {
            origins.pop();
        }
        self.labels.pop();
        self.values.truncate(self.labels.len() * self.n_steps);
        self.present.truncate(self.labels.len() * self.words_per_row);
        self.histograms.truncate(self.labels.len());
    }

    pub(crate) fn labels(&self, row: usize) -> &Labels {
        &self.labels[row]
    }

    /// Gives a row labels that were made for it, or the same again.
    pub(crate) fn set_labels(&mut self, row: usize, labels: Labels) {
        if std::ptr::eq(labels.as_bytes(), self.labels[row].as_bytes()) {
            return;
        }
        self.unmark_built(row);
        self.labels[row] = labels;
        self.mark_built(row);
    }

    /// The labels of the series that a row was made from, if the block tracks them.
    pub(crate) fn origin(&self, row: usize) -> Option<&Labels> {
        Some(&self.origins.as_ref()?[row])
    }

    /// Says which series a row was made from; without that it is one of the row's own labels.
    pub(crate) fn set_origin(&mut self, row: usize, origin: Option<&Labels>) {
        if let (Some(origins), Some(origin)) = (&mut self.origins, origin) {
            origins[row] = origin.clone();
        }
    }

    /// Brings the rows into the order of the series they were made from, and forgets those.
    pub(crate) fn order_by_origin(&mut self) {
        let Some(origins) = self.origins.take() else { return };
        if !origins.is_sorted() {
            let mut order: Vec<usize> = (0..self.n_rows()).collect();
            order.sort_by(|a, b| origins[*a].cmp(&origins[*b]));
            self.reorder(&order);
        }
    }

    pub(crate) fn drop_name(&self, row: usize) -> bool {
        self.notes[row].drop_name
    }

    pub(crate) fn set_drop_name(&mut self, row: usize, drop_name: bool) {
        self.notes[row].drop_name = drop_name;
    }

    /// All cells of a row; those that are not present hold arbitrary floats.
    pub(crate) fn values(&self, row: usize) -> &[f64] {
        &self.values[row * self.n_steps..(row + 1) * self.n_steps]
    }

    pub(crate) fn values_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.n_steps..(row + 1) * self.n_steps]
    }

    /// The presence bits of the floats of a row, step 0 in the lowest bit of the first word.
    pub(crate) fn present(&self, row: usize) -> &[u64] {
        &self.present[row * self.words_per_row..(row + 1) * self.words_per_row]
    }

    pub(crate) fn present_mut(&mut self, row: usize) -> &mut [u64] {
        &mut self.present[row * self.words_per_row..(row + 1) * self.words_per_row]
    }

    pub(crate) fn has_float(&self, row: usize, step: usize) -> bool {
        self.present[row * self.words_per_row + step / 64] >> (step % 64) & 1 == 1
    }

    pub(crate) fn set_float(&mut self, row: usize, step: usize, value: f64) {
        self.values[row * self.n_steps + step] = value;
        self.present[row * self.words_per_row + step / 64] |= 1 << (step % 64);
    }

    pub(crate) fn clear_float(&mut self, row: usize, step: usize) {
        self.present[row * self.words_per_row + step / 64] &= !(1 << (step % 64));
    }

    fn fill_present(&mut self, row: usize) {
        for step in 0..self.n_steps {
            self.present[row * self.words_per_row + step / 64] |= 1 << (step % 64);
        }
    }

    pub(crate) fn has_histograms(&self) -> bool {
        self.histograms.iter().any(|cells| !cells.is_empty())
    }

    /// The histogram samples of a row, ascending by step.
    pub(crate) fn histograms(&self, row: usize) -> &[(u32, Arc<FloatHistogram>)] {
        self.histograms.get(row).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn take_histograms(&mut self, row: usize) -> HistogramCells {
        self.histograms.get_mut(row).map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn set_histograms(&mut self, row: usize, cells: HistogramCells) {
        if self.histograms.is_empty() {
            if cells.is_empty() {
                return;
            }
            self.histograms.resize_with(self.labels.len(), Vec::new);
        }
        self.histograms[row] = cells;
    }

    /// Sets a histogram; the cell must hold no float.
    pub(crate) fn set_histogram(&mut self, row: usize, step: usize, histogram: Arc<FloatHistogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize_with(self.labels.len(), Vec::new);
        }
        let step = step as u32;
        let cells = &mut self.histograms[row];
        if cells.last().is_none_or(|(last, _)| *last < step) {
            cells.push((step, histogram));
            return;
        }
        match cells.binary_search_by_key(&step, |(at, _)| *at) {
            Ok(idx) => cells[idx].1 = histogram,
            Err(idx) => cells.insert(idx, (step, histogram)),
        }
    }

    pub(crate) fn histogram(&self, row: usize, step: usize) -> Option<&Arc<FloatHistogram>> {
        let cells = self.histograms(row);
        let idx = cells.binary_search_by_key(&(step as u32), |(at, _)| *at).ok()?;
        Some(&cells[idx].1)
    }

    pub(crate) fn cell(&self, row: usize, step: usize) -> Option<Cell<'_>> {
        if self.has_float(row, step) {
            return Some(Cell::Float(self.values(row)[step]));
        }
        self.histogram(row, step).map(Cell::Histogram)
    }

    pub(crate) fn has_cell(&self, row: usize, step: usize) -> bool {
        self.has_float(row, step) || self.histogram(row, step).is_some()
    }

    pub(crate) fn row_is_empty(&self, row: usize) -> bool {
        self.histograms(row).is_empty() && self.present(row).iter().all(|word| *word == 0)
    }

    /// Presence of floats or histograms, as [`Block::present`].
    pub(crate) fn occupied(&self, row: usize) -> Vec<u64> {
        let mut words = self.present(row).to_vec();
        for (step, _) in self.histograms(row) {
            words[*step as usize / 64] |= 1 << (step % 64);
        }
        words
    }

    /// Samples as upstream counts them: one per float, a histogram by its size.
    pub(crate) fn n_samples(&self) -> usize {
        let floats: usize = self.present.iter().map(|word| word.count_ones() as usize).sum();
        let histograms: usize = self.histograms.iter().flatten().map(|(_, h)| h.sample_weight()).sum();
        floats + histograms
    }

    /// Appends the rows of `other`, which has as many steps.
    pub(crate) fn append(&mut self, mut other: Self) {
        debug_assert_eq!(self.n_steps, other.n_steps);
        if self.labels.is_empty() {
            *self = other;
            return;
        }
        if !other.histograms.is_empty() || !self.histograms.is_empty() {
            self.histograms.resize_with(self.labels.len(), Vec::new);
            other.histograms.resize_with(other.labels.len(), Vec::new);
            self.histograms.append(&mut other.histograms);
        }
        if let (Some(origins), Some(others)) = (&mut self.origins, &mut other.origins) {
            origins.append(others);
        }
        self.labels.append(&mut other.labels);
        self.notes.append(&mut other.notes);
        self.built_bytes += other.built_bytes;
        self.values.append(&mut other.values);
        self.present.append(&mut other.present);
        self.charges.append(&mut other.charges);
        self.histogram_bytes += other.histogram_bytes;
        self.settled_rows += other.settled_rows;
    }

    /// Charges what the block holds; cheap when it has hardly grown.
    pub(crate) fn settle(&mut self, budget: &Budget) -> Result<(), BudgetExceeded> {
        let row_bytes = self.n_steps * 8 + self.words_per_row * 8 + 32;
        for row in self.settled_rows..self.labels.len() {
            self.histogram_bytes += distinct_bytes(self.histograms(row));
        }
        self.settled_rows = self.labels.len();
        let bytes = (self.labels.len() * row_bytes) as u64 + self.histogram_bytes + self.built_bytes;
        let held: u64 = self.charges.iter().map(Charge::bytes).sum();
        if bytes <= held {
            return Ok(());
        }
        let more = (bytes - held).max(CHARGE_STEP_BYTES).max(held / 2);
        match self.charges.last_mut() {
            Some(charge) => charge.grow(more)?,
            None => self.charges.push(budget.charge(more)?),
        }
        Ok(())
    }

    /// Keeps the rows for which `keep` holds, in order.
    pub(crate) fn retain_rows(&mut self, mut keep: impl FnMut(&Self, usize) -> bool) {
        let kept: Vec<usize> = (0..self.n_rows()).filter(|row| keep(self, *row)).collect();
        if kept.len() < self.n_rows() {
            self.reorder(&kept);
        }
    }

    /// Makes row `i` what was row `order[i]`; rows that `order` does not name are dropped.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        let mut out = self.sibling(self.n_steps);
        for row in order {
            out.copy_row(self, *row);
        }
        out.charges = std::mem::take(&mut self.charges);
        *self = out;
    }

    /// Appends a copy of a row of `other`.
    pub(crate) fn copy_row(&mut self, other: &Self, row: usize) -> usize {
        if let (Some(origins), Some(origin)) = (&mut self.origins, other.origin(row)) {
            origins.push(origin.clone());
        }
        self.labels.push(other.labels[row].clone());
        self.notes.push(RowNotes { built: false, ..other.notes[row] });
        if other.notes[row].built {
            self.mark_built(self.labels.len() - 1);
        }
        self.values.extend_from_slice(other.values(row));
        self.present.extend_from_slice(other.present(row));
        let cells = other.histograms(row);
        if !cells.is_empty() || !self.histograms.is_empty() {
            self.histograms.resize_with(self.labels.len(), Vec::new);
            self.histograms[self.labels.len() - 1] = cells.to_vec();
        }
        self.labels.len() - 1
    }

    /// The same values repeated at `n_steps` steps; the block has one step.
    pub(crate) fn broadcast(&self, n_steps: usize) -> Self {
        debug_assert_eq!(self.n_steps, 1);
        let mut out = self.sibling(n_steps);
        for row in 0..self.n_rows() {
            let to = out.push_row(self.labels[row].clone(), self.notes[row].drop_name);
            out.set_origin(to, self.origin(row));
            if self.notes[row].built {
                out.mark_built(to);
            }
            match self.cell(row, 0) {
                Some(Cell::Float(value)) => {
                    out.values_mut(to).fill(value);
                    out.fill_present(to);
                }
                Some(Cell::Histogram(histogram)) => {
                    let cells = (0..n_steps as u32).map(|step| (step, Arc::clone(histogram))).collect();
                    out.set_histograms(to, cells);
                }
                None => out.pop_row(),
            }
        }
        out
    }

    /// Whether two rows have equal labels.
    pub(crate) fn has_duplicate_labels(&self) -> bool {
        if self.n_rows() < 2 {
            return false;
        }
        let mut seen: HashMap<&Labels, ()> = HashMap::with_capacity(self.n_rows());
        self.labels.iter().any(|labels| seen.insert(labels, ()).is_some())
    }

    /// Joins rows of equal labels into the first of them; an error if they overlap in time.
    pub(crate) fn merge_duplicates(&mut self) -> Result<(), EvalError> {
        if !self.has_duplicate_labels() {
            return Ok(());
        }
        let mut first_row: HashMap<Labels, usize> = HashMap::with_capacity(self.n_rows());
        let mut out = self.sibling(self.n_steps);
        for row in 0..self.n_rows() {
            match first_row.get(self.labels(row)) {
                None => {
                    let to = out.copy_row(self, row);
                    first_row.insert(self.labels(row).clone(), to);
                }
                Some(to) => out.overlay(*to, self, row)?,
            }
        }
        out.charges = std::mem::take(&mut self.charges);
        *self = out;
        Ok(())
    }

    fn overlay(&mut self, to: usize, other: &Self, row: usize) -> Result<(), EvalError> {
        let (mine, theirs) = (self.occupied(to), other.occupied(row));
        if mine.iter().zip(&theirs).any(|(a, b)| a & b != 0) {
            return Err(EvalError::duplicate_labelset());
        }
        for step in 0..self.n_steps {
            if other.has_float(row, step) {
                self.set_float(to, step, other.values(row)[step]);
            }
        }
        for (step, histogram) in other.histograms(row) {
            self.set_histogram(to, *step as usize, Arc::clone(histogram));
        }
        Ok(())
    }
}

/// Bytes of the histograms of a row. Steps in a row that show the same sample share it.
fn distinct_bytes(cells: &[(u32, Arc<FloatHistogram>)]) -> u64 {
    let mut bytes = size_of_val(cells);
    let mut previous: Option<&Arc<FloatHistogram>> = None;
    for (_, histogram) in cells {
        if !previous.is_some_and(|previous| Arc::ptr_eq(previous, histogram)) {
            bytes += histogram.size_bytes();
        }
        previous = Some(histogram);
    }
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &str) -> Labels {
        Labels::from_pairs([("a", value)])
    }

    #[test]
    fn rows_of_equal_labels_merge_unless_they_overlap() {
        let mut block = Block::new(70);
        let (first, other, second) = (
            block.push_row(labels("1"), false),
            block.push_row(labels("2"), true),
            block.push_row(labels("1"), false),
        );
        block.set_float(first, 0, 1.0);
        block.set_float(other, 0, 2.0);
        block.set_float(second, 69, 3.0);
        block.set_histogram(second, 5, Arc::new(FloatHistogram::default()));
        block.merge_duplicates().unwrap();
        assert_eq!(block.n_rows(), 2);
        assert!(block.has_float(0, 0) && block.has_float(0, 69) && block.histogram(0, 5).is_some());
        assert!(!block.has_cell(0, 1) && block.drop_name(1));

        let again = block.push_row(labels("2"), false);
        block.set_float(again, 0, 1.0);
        assert!(block.merge_duplicates().is_err());
    }

    #[test]
    fn a_single_step_is_broadcast_and_blocks_append() {
        let mut block = Block::new(1);
        let row = block.push_row(labels("1"), false);
        block.set_float(row, 0, 4.0);
        let row = block.push_row(labels("2"), false);
        block.set_histogram(row, 0, Arc::new(FloatHistogram::default()));
        let wide = block.broadcast(3);
        assert_eq!(wide.values(0), [4.0; 3]);
        assert_eq!(wide.histograms(1).len(), 3);
        let mut all = Block::scalar(3, 1.0);
        all.append(wide);
        assert_eq!((all.n_rows(), all.histograms(0).len(), all.histograms(2).len()), (3, 0, 3));
    }

    #[test]
    fn shared_histograms_are_charged_once() {
        let budget = Budget::new("query", 1 << 20);
        let used_by = |distinct: bool| {
            let mut block = Block::new(2000);
            let row = block.push_row(labels("1"), false);
            let shared = Arc::new(FloatHistogram::default());
            for step in 0..2000 {
                let histogram = if distinct { Arc::new((*shared).clone()) } else { Arc::clone(&shared) };
                block.set_histogram(row, step, histogram);
            }
            block.settle(&budget).unwrap();
            budget.used_bytes()
        };
        assert_eq!(used_by(false), CHARGE_STEP_BYTES);
        assert!(used_by(true) > 2000 * 168);
        assert_eq!(budget.used_bytes(), 0);
    }
}
