//! The conflict rule, and bringing columns into the order that readers are promised.
//!
//! Where one series has several samples of one time, the same one wins wherever and whenever they
//! meet (docs/formats/metrics-part.md): a histogram before a float before a staleness marker;
//! among equals the greater: floats by IEEE total order, histograms by count, sum, then encoded
//! bytes; of equal values the one with the greater start timestamp.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{FloatHistogram, is_stale_nan};

use crate::columns::SampleColumns;
use crate::part::histograms::histogram_bytes;

/// Appends a float; `st` 0 means unknown.
pub(crate) fn push_float(columns: &mut SampleColumns, t: i64, st: i64, v: f64) {
    if st != 0 && columns.float_st.is_empty() {
        columns.float_st.resize(columns.float_ts.len(), 0);
    }
    columns.float_ts.push(t);
    columns.float_values.push(v);
    if st != 0 || !columns.float_st.is_empty() {
        columns.float_st.push(st);
    }
}

/// Appends a histogram; `st` 0 means unknown.
pub(crate) fn push_histogram(columns: &mut SampleColumns, t: i64, st: i64, h: Arc<FloatHistogram>) {
    if st != 0 && columns.histogram_st.is_empty() {
        columns.histogram_st.resize(columns.histogram_ts.len(), 0);
    }
    columns.histogram_ts.push(t);
    columns.histograms.push(h);
    if st != 0 || !columns.histogram_st.is_empty() {
        columns.histogram_st.push(st);
    }
}

/// Which of two floats of one time stays: `Greater` if the first.
fn compare_floats(a: (f64, i64), b: (f64, i64)) -> Ordering {
    let is_value = |v: f64| !is_stale_nan(v);
    is_value(a.0).cmp(&is_value(b.0)).then(a.0.total_cmp(&b.0)).then(a.1.cmp(&b.1))
}

fn compare_histograms(a: (&FloatHistogram, i64), b: (&FloatHistogram, i64)) -> Ordering {
    let by_numbers = a.0.count.total_cmp(&b.0.count).then(a.0.sum.total_cmp(&b.0.sum));
    by_numbers.then_with(|| histogram_bytes(a.0).cmp(&histogram_bytes(b.0))).then(a.1.cmp(&b.1))
}

fn strictly_ascending(ts: &[i64]) -> bool {
    ts.windows(2).all(|w| w[0] < w[1])
}

/// Sorts by time and applies the conflict rule. Cheap when there is nothing to do.
pub(crate) fn normalize(columns: &mut SampleColumns) {
    if !strictly_ascending(&columns.float_ts) {
        sort_floats(columns);
    }
    if !strictly_ascending(&columns.histogram_ts) {
        sort_histograms(columns);
    }
    if !columns.float_ts.is_empty() && !columns.histogram_ts.is_empty() {
        drop_floats_with_histograms(columns);
    }
}

fn st_at(st: &[i64], i: usize) -> i64 {
    st.get(i).copied().unwrap_or(0)
}

fn sort_floats(columns: &mut SampleColumns) {
    let mut rows: Vec<(i64, f64, i64)> = (0..columns.float_ts.len())
        .map(|i| (columns.float_ts[i], columns.float_values[i], st_at(&columns.float_st, i)))
        .collect();
    // The winner of each time comes first.
    rows.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| compare_floats((b.1, b.2), (a.1, a.2))));
    rows.dedup_by_key(|row| row.0);
    columns.float_ts.clear();
    columns.float_values.clear();
    columns.float_st.clear();
    for (t, v, st) in rows {
        push_float(columns, t, st, v);
    }
}

fn sort_histograms(columns: &mut SampleColumns) {
    let histograms = std::mem::take(&mut columns.histograms);
    let mut rows: Vec<(i64, Arc<FloatHistogram>, i64)> = histograms
        .into_iter()
        .enumerate()
        .map(|(i, h)| (columns.histogram_ts[i], h, st_at(&columns.histogram_st, i)))
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| compare_histograms((&b.1, b.2), (&a.1, a.2))));
    rows.dedup_by_key(|row| row.0);
    columns.histogram_ts.clear();
    columns.histogram_st.clear();
    for (t, h, st) in rows {
        push_histogram(columns, t, st, h);
    }
}

fn drop_floats_with_histograms(columns: &mut SampleColumns) {
    let mut next = 0;
    let histogram_ts = &columns.histogram_ts;
    let mut keep = Vec::new();
    for (i, t) in columns.float_ts.iter().enumerate() {
        while next < histogram_ts.len() && histogram_ts[next] < *t {
            next += 1;
        }
        if next == histogram_ts.len() || histogram_ts[next] != *t {
            keep.push(i);
        }
    }
    if keep.len() < columns.float_ts.len() {
        retain_floats(columns, &keep);
    }
}

fn retain_floats(columns: &mut SampleColumns, keep: &[usize]) {
    for (to, from) in keep.iter().enumerate() {
        columns.float_ts[to] = columns.float_ts[*from];
        columns.float_values[to] = columns.float_values[*from];
        if !columns.float_st.is_empty() {
            columns.float_st[to] = columns.float_st[*from];
        }
    }
    columns.float_ts.truncate(keep.len());
    columns.float_values.truncate(keep.len());
    columns.float_st.truncate(keep.len());
}

/// Drops the samples for which `deleted(t)` holds.
pub(crate) fn remove_times(columns: &mut SampleColumns, deleted: impl Fn(i64) -> bool) {
    if columns.float_ts.iter().any(|t| deleted(*t)) {
        let keep: Vec<usize> =
            (0..columns.float_ts.len()).filter(|i| !deleted(columns.float_ts[*i])).collect();
        retain_floats(columns, &keep);
    }
    if columns.histogram_ts.iter().any(|t| deleted(*t)) {
        let old = std::mem::take(columns);
        columns.float_ts = old.float_ts;
        columns.float_values = old.float_values;
        columns.float_st = old.float_st;
        for (i, h) in old.histograms.into_iter().enumerate() {
            if !deleted(old.histogram_ts[i]) {
                push_histogram(columns, old.histogram_ts[i], st_at(&old.histogram_st, i), h);
            }
        }
    }
}

/// The first and last time of the samples, if any.
pub(crate) fn time_bounds(columns: &SampleColumns) -> Option<(i64, i64)> {
    let first = columns.float_ts.first().into_iter().chain(columns.histogram_ts.first()).min()?;
    let last = columns.float_ts.last().into_iter().chain(columns.histogram_ts.last()).max()?;
    Some((*first, *last))
}

/// Appends all of `from`, unsorted.
pub(crate) fn append(columns: &mut SampleColumns, from: &SampleColumns) {
    for i in 0..from.float_ts.len() {
        push_float(columns, from.float_ts[i], st_at(&from.float_st, i), from.float_values[i]);
    }
    for (i, h) in from.histograms.iter().enumerate() {
        push_histogram(columns, from.histogram_ts[i], st_at(&from.histogram_st, i), Arc::clone(h));
    }
}
