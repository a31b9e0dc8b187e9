//! Accurate sums and means of many histograms.

use super::{FloatHistogram, IncompatibleSchemas, MergeNotes};

/// A Kahan sum of histograms.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    sum: FloatHistogram,
    compensation: Option<FloatHistogram>,
}

impl HistogramSum {
    pub fn new(first: FloatHistogram) -> Self {
        Self { sum: first, compensation: None }
    }

    pub fn add(&mut self, h: &FloatHistogram) -> Result<MergeNotes, IncompatibleSchemas> {
        self.sum.add_kahan(h, &mut self.compensation)
    }

    /// Adds all that another sum has added up.
    pub fn merge(&mut self, other: Self) -> Result<MergeNotes, IncompatibleSchemas> {
        let notes = self.add(&other.sum)?;
        if let Some(mut lost) = other.compensation {
            // It is no histogram of its own, so it has nothing to say about resets.
            lost.counter_reset_hint = self.sum.counter_reset_hint;
            self.add(&lost)?;
        }
        Ok(notes)
    }

    /// The sum; it may have empty buckets.
    pub fn finish(mut self) -> FloatHistogram {
        if let Some(c) = &self.compensation {
            self.sum.add(c).expect("the compensation has the schema of the sum");
        }
        self.sum
    }
}

/// The mean of histograms: their Kahan sum divided by their number, as long as the sum does not
/// overflow, and from then on an incremental mean.
#[derive(Debug, Clone)]
pub struct HistogramMean {
    state: HistogramSum,
    n: f64,
    incremental: bool,
}

/// Below this, a sum of two numbers is far from overflowing, so nothing must be kept to go back to.
const SAFE_MAX: f64 = 1e300;

impl HistogramMean {
    pub fn new(first: FloatHistogram) -> Self {
        Self { state: HistogramSum::new(first), n: 1.0, incremental: false }
    }

    /// The number of histograms so far.
    pub fn n(&self) -> f64 {
        self.n
    }

    /// After an error the mean must not be used.
    pub fn add(&mut self, h: &FloatHistogram) -> Result<MergeNotes, IncompatibleSchemas> {
        self.n += 1.0;
        if !self.incremental {
            if is_safe(&self.state.sum) && is_safe(h) {
                return self.state.add(h);
            }
            let before = self.state.clone();
            let notes = self.state.add(h)?;
            if !self.state.sum.has_overflow() {
                return Ok(notes);
            }
            self.state = before;
            self.scale(FloatHistogram::div, self.n - 1.0);
            self.incremental = true;
        }
        self.scale(FloatHistogram::mul, (self.n - 1.0) / self.n);
        let mut share = h.clone();
        share.div(self.n);
        self.state.add(&share)
    }

    /// Adds all histograms of another mean. After an error the mean must not be used.
    pub fn merge(&mut self, mut other: Self) -> Result<MergeNotes, IncompatibleSchemas> {
        let n = self.n + other.n;
        if !self.incremental && !other.incremental {
            let before = self.state.clone();
            let notes = self.state.merge(other.state.clone())?;
            if !self.state.sum.has_overflow() {
                self.n = n;
                return Ok(notes);
            }
            self.state = before;
        }
        for mean in [&mut *self, &mut other] {
            let share = if mean.incremental { mean.n / n } else { 1.0 / n };
            mean.scale(FloatHistogram::mul, share);
        }
        (self.n, self.incremental) = (n, true);
        self.state.merge(other.state)
    }

    fn scale(&mut self, operation: impl Fn(&mut FloatHistogram, f64), by: f64) {
        operation(&mut self.state.sum, by);
        if let Some(c) = &mut self.state.compensation {
            operation(c, by);
        }
    }

    /// The mean; it may have empty buckets.
    pub fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            self.scale(FloatHistogram::div, self.n);
        }
        self.state.finish()
    }
}

fn is_safe(h: &FloatHistogram) -> bool {
    h.numbers().all(|v| v.abs() < SAFE_MAX)
}
