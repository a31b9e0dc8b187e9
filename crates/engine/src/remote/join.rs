//! Series of the store and of remotes as one set: of samples at the same time the store's counts, then
//! that of the remote configured first.

use std::cmp::Ordering;
use std::ops::Range;

use base::Charge;
use model::Labels;
use ql_promql::source::{SeriesBuffer, SeriesSet, SourceError};

use super::RemoteSeries;

/// Brings series into the order of their labels, and their samples into the order of time.
pub(super) fn by_labels(mut series: Vec<RemoteSeries>, times: (i64, i64)) -> Vec<RemoteSeries> {
    for one in &mut series {
        normalise(&mut one.samples, times);
    }
    // Stable, so that of equal labels the remote configured first comes first.
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

/// Afterwards times ascend, lie within `times`, and none is in both columns.
fn normalise(samples: &mut SeriesBuffer, times: (i64, i64)) {
    order(&mut samples.float_ts, &mut samples.float_values, |t| (times.0..=times.1).contains(&t));
    let floats = &samples.float_ts;
    let free = |t: i64| (times.0..=times.1).contains(&t) && floats.binary_search(&t).is_err();
    order(&mut samples.histogram_ts, &mut samples.histograms, free);
    // The protocol does not carry start timestamps.
    samples.float_st.clear();
    samples.histogram_st.clear();
}

fn order<T: Clone>(ts: &mut Vec<i64>, values: &mut Vec<T>, keep: impl Fn(i64) -> bool) {
    let ascends = ts.windows(2).all(|pair| pair[0] < pair[1]);
    if ascends && ts.iter().all(|t| keep(*t)) {
        return;
    }
    let mut pairs: Vec<(i64, T)> = ts.drain(..).zip(values.drain(..)).filter(|(t, _)| keep(*t)).collect();
    pairs.sort_by_key(|(t, _)| *t);
    pairs.dedup_by_key(|(t, _)| *t);
    (*ts, *values) = pairs.into_iter().unzip();
}

/// One series of the answer: where it is in the store's set, and which remote series belong to it.
#[derive(Debug, PartialEq)]
struct Row {
    local: Option<usize>,
    remotes: Range<usize>,
}

/// The joined set of one selector.
pub(super) struct JoinedSeries {
    local: Box<dyn SeriesSet>,
    remotes: Vec<RemoteSeries>,
    rows: Vec<Row>,
    /// Given back when the set is dropped.
    _charges: Vec<Charge>,
}

impl JoinedSeries {
    /// `remotes` are sorted by labels.
    pub(super) fn new(local: Box<dyn SeriesSet>, remotes: Vec<RemoteSeries>, charges: Vec<Charge>) -> Self {
        let mut rows = Vec::with_capacity(local.len());
        let (mut local_idx, mut from) = (0, 0);
        while local_idx < local.len() || from < remotes.len() {
            let first = remotes.get(from).map(|series| &series.labels);
            let n_equal = remotes[from..].iter().take_while(|series| Some(&series.labels) == first).count();
            let order = match (local_idx < local.len(), first) {
                (true, Some(first)) => local.labels(local_idx).cmp(first),
                (true, None) => Ordering::Less,
                (false, _) => Ordering::Greater,
            };
            let own = (order != Ordering::Greater).then_some(local_idx);
            let to = if order == Ordering::Less { from } else { from + n_equal };
            rows.push(Row { local: own, remotes: from..to });
            local_idx += usize::from(own.is_some());
            from = to;
        }
        Self { local, remotes, rows, _charges: charges }
    }
}

impl SeriesSet for JoinedSeries {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn labels(&self, idx: usize) -> &Labels {
        let row = &self.rows[idx];
        row.local.map_or_else(|| &self.remotes[row.remotes.start].labels, |idx| self.local.labels(idx))
    }

    fn read(&self, idx: usize, buffer: &mut SeriesBuffer) -> Result<(), SourceError> {
        let row = &self.rows[idx];
        match row.local {
            Some(idx) => self.local.read(idx, buffer)?,
            None => buffer.clear(),
        }
        for series in &self.remotes[row.remotes.clone()] {
            add(buffer, &series.samples);
        }
        Ok(())
    }
}

/// Adds the samples at times that the buffer does not have.
fn add(buffer: &mut SeriesBuffer, more: &SeriesBuffer) {
    let SeriesBuffer { float_ts, float_values, float_st, histogram_ts, histograms, histogram_st } = buffer;
    merge((float_ts, float_values, float_st), (&more.float_ts, &more.float_values), histogram_ts);
    merge((histogram_ts, histograms, histogram_st), (&more.histogram_ts, &more.histograms), float_ts);
}

fn merge<T: Clone>(
    (ts, values, st): (&mut Vec<i64>, &mut Vec<T>, &mut Vec<i64>),
    (more_ts, more_values): (&[i64], &[T]),
    taken: &[i64],
) {
    let is_new = |t: &i64| ts.binary_search(t).is_err() && taken.binary_search(t).is_err();
    let new: Vec<usize> = (0..more_ts.len()).filter(|idx| is_new(&more_ts[*idx])).collect();
    if new.is_empty() {
        return;
    }
    let n = ts.len() + new.len();
    let (mut all_ts, mut all_values) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let mut all_st = Vec::with_capacity(if st.is_empty() { 0 } else { n });
    let (mut own, mut new) = (0, new.into_iter().peekable());
    while all_ts.len() < n {
        match new.peek().copied().filter(|idx| ts.get(own).is_none_or(|t| more_ts[*idx] < *t)) {
            Some(idx) => {
                all_ts.push(more_ts[idx]);
                all_values.push(more_values[idx].clone());
                new.next();
                if !st.is_empty() {
                    all_st.push(0);
                }
            }
            None => {
                all_ts.push(ts[own]);
                all_values.push(values[own].clone());
                if !st.is_empty() {
                    all_st.push(st[own]);
                }
                own += 1;
            }
        }
    }
    (*ts, *values, *st) = (all_ts, all_values, all_st);
}
