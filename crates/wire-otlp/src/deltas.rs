//! Deltas to running totals, as the collector's deltatocumulative processor adds them up. The totals
//! of a sender's streams live longer than a request, so they are the caller's: see [`DeltaStreams`].

mod exponential;
mod stream_id;

use std::mem::size_of;

use thiserror::Error;

use crate::request::{
    Data, ExponentialPoint, ExportRequest, HistogramPoint, Metric, Number, NumberPoint, Point, Temporality,
};
use stream_id::IdWriter;

pub use stream_id::StreamId;

/// Why a delta was not added to the total of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeltaDrop {
    #[error(
        "dropped a delta that starts at {delta_ns} ns, because its stream only starts at {start_ns} ns; \
         do several processes send the same stream?"
    )]
    OlderStart { start_ns: u64, delta_ns: u64 },
    #[error("out of order: dropped a delta of {delta_ns} ns, because its stream is already at {last_ns} ns")]
    OutOfOrder { last_ns: u64, delta_ns: u64 },
    #[error("dropped a delta of a new stream, because {max} streams are kept already")]
    TooManyStreams { max: usize },
    #[error("dropped a delta, because there is no memory for its stream")]
    NoMemory,
}

impl DeltaDrop {
    /// For counting.
    pub fn reason(self) -> &'static str {
        match self {
            Self::OlderStart { .. } => "older start",
            Self::OutOfOrder { .. } => "out of order",
            Self::TooManyStreams { .. } => "stream limit",
            Self::NoMemory => "memory",
        }
    }
}

/// A data point that was taken out of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedDelta {
    pub metric: String,
    pub cause: DeltaDrop,
}

/// Whoever remembers the totals of one tenant's streams between requests.
pub trait DeltaStreams {
    /// Adds a delta to its stream, or begins the stream with it, and gives the total.
    fn add(&mut self, id: StreamId, delta: RunningTotal) -> Result<&RunningTotal, DeltaDrop>;

    /// The sender says that the stream has ended: a later delta begins anew.
    fn end(&mut self, id: StreamId);
}

/// What the deltas of a stream have come to. A delta is one too, of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningTotal {
    /// Where the stream began.
    start_ns: u64,
    /// Of the last delta.
    time_ns: u64,
    value: Total,
}

#[derive(Debug, Clone, PartialEq)]
enum Total {
    Number(Number),
    // Of these points only the values are used; they are large, and most streams are numbers.
    Histogram(Box<HistogramPoint>),
    Exponential(Box<ExponentialPoint>),
}

impl RunningTotal {
    /// Memory it takes.
    pub fn size_bytes(&self) -> u64 {
        let on_heap = match &self.value {
            Total::Number(_) => 0,
            Total::Histogram(p) => {
                size_of::<HistogramPoint>() + 8 * (p.bucket_counts.capacity() + p.explicit_bounds.capacity())
            }
            Total::Exponential(p) => {
                let buckets = p.positive.counts.capacity() + p.negative.counts.capacity();
                size_of::<ExponentialPoint>() + 8 * buckets
            }
        };
        (size_of::<Self>() + on_heap) as u64
    }

    /// Adds a delta of the same stream. One that cannot be added to what there is, a histogram with
    /// other bounds, begins the stream anew.
    pub fn add(&mut self, delta: Self) -> Result<(), DeltaDrop> {
        if self.time_ns != 0 {
            if delta.start_ns < self.start_ns {
                return Err(DeltaDrop::OlderStart { start_ns: self.start_ns, delta_ns: delta.start_ns });
            }
            if delta.time_ns <= self.time_ns {
                return Err(DeltaDrop::OutOfOrder { last_ns: self.time_ns, delta_ns: delta.time_ns });
            }
        }
        let is_added = self.time_ns != 0
            && match (&mut self.value, &delta.value) {
                (Total::Number(total), Total::Number(delta)) => {
                    *total = total.plus(*delta);
                    true
                }
                (Total::Histogram(total), Total::Histogram(delta)) => add_explicit(total, delta),
                (Total::Exponential(total), Total::Exponential(delta)) => {
                    exponential::add(total, (**delta).clone());
                    true
                }
                _ => false,
            };
        if is_added {
            self.time_ns = delta.time_ns;
        } else {
            *self = delta;
        }
        Ok(())
    }
}

/// Whether the bounds were the same and so the histograms could be added.
fn add_explicit(total: &mut HistogramPoint, delta: &HistogramPoint) -> bool {
    if total.explicit_bounds != delta.explicit_bounds {
        return false;
    }
    for (total, delta) in total.bucket_counts.iter_mut().zip(&delta.bucket_counts) {
        *total = total.saturating_add(*delta);
    }
    total.count = total.count.saturating_add(delta.count);
    total.sum = add_sums(total.sum, delta.sum);
    true
}

/// A sum that one of them lacks is not known for both.
fn add_sums(total: Option<f64>, delta: Option<f64>) -> Option<f64> {
    Some(total? + delta?)
}

/// The kinds of points that have a temporality.
trait DeltaPoint {
    fn point(&mut self) -> &mut Point;
    fn value(&self) -> Total;
    fn set(&mut self, total: &Total);
}

impl DeltaPoint for NumberPoint {
    fn point(&mut self) -> &mut Point {
        &mut self.point
    }

    fn value(&self) -> Total {
        Total::Number(self.value)
    }

    fn set(&mut self, total: &Total) {
        if let Total::Number(total) = total {
            self.value = *total;
        }
    }
}

impl DeltaPoint for HistogramPoint {
    fn point(&mut self) -> &mut Point {
        &mut self.point
    }

    fn value(&self) -> Total {
        Total::Histogram(Box::new(Self {
            point: Point::default(),
            count: self.count,
            sum: self.sum,
            bucket_counts: self.bucket_counts.clone(),
            explicit_bounds: self.explicit_bounds.clone(),
        }))
    }

    fn set(&mut self, total: &Total) {
        if let Total::Histogram(total) = total {
            (self.count, self.sum) = (total.count, total.sum);
            self.bucket_counts.clone_from(&total.bucket_counts);
        }
    }
}

impl DeltaPoint for ExponentialPoint {
    fn point(&mut self) -> &mut Point {
        &mut self.point
    }

    fn value(&self) -> Total {
        Total::Exponential(Box::new(Self {
            point: Point::default(),
            positive: self.positive.clone(),
            negative: self.negative.clone(),
            ..*self
        }))
    }

    fn set(&mut self, total: &Total) {
        if let Total::Exponential(total) = total {
            let point = std::mem::take(&mut self.point);
            *self = Self { point, ..(**total).clone() };
        }
    }
}

impl ExportRequest {
    /// Replaces the deltas of the request by the totals of their streams, which are cumulative.
    /// What cannot be added is taken out.
    pub fn accumulate(&mut self, streams: &mut dyn DeltaStreams) -> Vec<DroppedDelta> {
        let mut accumulation = Accumulation { streams, id: IdWriter::default(), dropped: Vec::new() };
        for resource in &mut self.resources {
            accumulation.id.truncate(0);
            accumulation.id.attributes(&resource.attributes);
            let of_resource = accumulation.id.len();
            for scope in &mut resource.scopes {
                accumulation.id.truncate(of_resource);
                accumulation.id.text(&scope.name);
                accumulation.id.text(&scope.version);
                accumulation.id.attributes(&scope.attributes);
                let of_scope = accumulation.id.len();
                scope.metrics.retain_mut(|metric| {
                    accumulation.id.truncate(of_scope);
                    accumulation.metric(metric)
                });
            }
        }
        accumulation.dropped
    }
}

struct Accumulation<'s> {
    streams: &'s mut dyn DeltaStreams,
    /// What names the stream at hand, as far as it is known.
    id: IdWriter,
    dropped: Vec<DroppedDelta>,
}

impl Accumulation<'_> {
    /// Whether anything is left of the metric.
    fn metric(&mut self, metric: &mut Metric) -> bool {
        if metric.data.temporality() != Some(Temporality::Delta) {
            return true;
        }
        self.id.text(&metric.name);
        self.id.text(&metric.unit);
        match &mut metric.data {
            Data::None | Data::Gauge(_) | Data::Summary(_) => {}
            Data::Sum { points, temporality, is_monotonic } => {
                self.id.tag(u8::from(*is_monotonic));
                *temporality = Temporality::Cumulative;
                self.points(&metric.name, points);
            }
            Data::Histogram { points, temporality } => {
                self.id.tag(2);
                *temporality = Temporality::Cumulative;
                self.points(&metric.name, points);
            }
            Data::Exponential { points, temporality } => {
                self.id.tag(3);
                *temporality = Temporality::Cumulative;
                self.points(&metric.name, points);
            }
        }
        metric.data.n_points() > 0
    }

    fn points<P: DeltaPoint>(&mut self, metric: &str, points: &mut Vec<P>) {
        let of_metric = self.id.len();
        points.retain_mut(|delta| {
            self.id.truncate(of_metric);
            self.id.attributes(&delta.point().attributes);
            let id = self.id.finish();
            if delta.point().is_stale() {
                self.streams.end(id);
                return true;
            }
            let (start_ns, time_ns) = (delta.point().start_ns, delta.point().time_ns);
            match self.streams.add(id, RunningTotal { start_ns, time_ns, value: delta.value() }) {
                Ok(total) => {
                    delta.set(&total.value);
                    delta.point().start_ns = total.start_ns;
                    true
                }
                Err(cause) => {
                    self.dropped.push(DroppedDelta { metric: metric.to_owned(), cause });
                    false
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
