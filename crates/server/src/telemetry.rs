//! The server's own metrics: counters, gauges and histograms behind cheap handles.
//!
//! Components receive the handles they need when they are built; the registry only renders. The same
//! value may be shown under two names (`sextant_*` and the `prometheus_*` name that dashboards
//! read): see [`Registry::alias`].

mod handles;
mod summary;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Clock;
use model::MetricType;
use parking_lot::{Mutex, RwLock};

pub use handles::{Counter, Gauge, Histogram};
pub use summary::Summary;

/// Label sets one family may hold; more are refused into the series labelled `overflow`, since the
/// metrics of a server under attack must not grow with the attack.
const SERIES_PER_FAMILY_MAX: usize = 10_000;

/// A rendered family, ready for an exposition writer.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilySnapshot {
    pub name: String,
    pub help: &'static str,
    pub metric_type: MetricType,
    pub series: Vec<SeriesSnapshot>,
}

/// One series of a family. Labels are sorted by name.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSnapshot {
    /// Appended to the family's name: empty, `_bucket`, `_sum` or `_count`.
    pub suffix: &'static str,
    pub labels: Vec<(String, String)>,
    /// The label that is a number: `le` of a `_bucket`, `quantile` of a summary.
    pub bound: Option<(&'static str, f64)>,
    pub value: f64,
}

/// All families of the process.
#[derive(Debug, Default)]
pub struct Registry {
    families: RwLock<BTreeMap<&'static str, Arc<Family>>>,
    aliases: RwLock<BTreeMap<&'static str, &'static str>>,
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    metric_type: MetricType,
    label_names: &'static [&'static str],
    /// Of buckets, or the quantiles of a summary.
    bounds: &'static [f64],
    /// Summaries forget by it.
    clock: Option<Arc<dyn Clock>>,
    series: Mutex<BTreeMap<Vec<String>, Handle>>,
}

#[derive(Debug, Clone)]
enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Summary(Summary),
}

/// A family whose series are told apart by labels.
#[derive(Debug, Clone)]
pub struct Labelled<T> {
    family: Arc<Family>,
    make: fn(&Family) -> Handle,
    unwrap: fn(&Handle) -> Option<T>,
}

impl<T> Labelled<T> {
    /// The series with these label values, in the order the family was declared with.
    pub fn with(&self, values: &[&str]) -> T {
        let family = &*self.family;
        assert_eq!(values.len(), family.label_names.len(), "label values of {}", family.help);
        let mut series = family.series.lock();
        let mut key: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        if series.len() >= SERIES_PER_FAMILY_MAX && !series.contains_key(&key) {
            key = vec!["overflow".to_owned(); values.len()];
        }
        let handle = series.entry(key).or_insert_with(|| (self.make)(family));
        (self.unwrap)(handle).expect("a family holds one kind of handle")
    }

    /// Forgets a series, for example of a scrape pool that is gone.
    pub fn remove(&self, values: &[&str]) {
        let key: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        self.family.series.lock().remove(&key);
    }
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help, &[]).with(&[])
    }

    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauges(name, help, &[]).with(&[])
    }

    pub fn histogram(&self, name: &'static str, help: &'static str, bounds: &'static [f64]) -> Histogram {
        self.histograms(name, help, &[], bounds).with(&[])
    }

    pub fn counters(
        &self,
        name: &'static str,
        help: &'static str,
        label_names: &'static [&'static str],
    ) -> Labelled<Counter> {
        Labelled {
            family: self.family(name, help, MetricType::Counter, label_names, &[], None),
            make: |_| Handle::Counter(Counter::default()),
            unwrap: |handle| match handle {
                Handle::Counter(counter) => Some(counter.clone()),
                _ => None,
            },
        }
    }

    pub fn gauges(
        &self,
        name: &'static str,
        help: &'static str,
        label_names: &'static [&'static str],
    ) -> Labelled<Gauge> {
        Labelled {
            family: self.family(name, help, MetricType::Gauge, label_names, &[], None),
            make: |_| Handle::Gauge(Gauge::default()),
            unwrap: |handle| match handle {
                Handle::Gauge(gauge) => Some(gauge.clone()),
                _ => None,
            },
        }
    }

    pub fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        label_names: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Labelled<Histogram> {
        Labelled {
            family: self.family(name, help, MetricType::Histogram, label_names, bounds, None),
            make: |family| Handle::Histogram(Histogram::new(family.bounds)),
            unwrap: |handle| match handle {
                Handle::Histogram(histogram) => Some(histogram.clone()),
                _ => None,
            },
        }
    }

    /// Quantiles of what was observed in the last ten minutes.
    pub fn summaries(
        &self,
        name: &'static str,
        help: &'static str,
        label_names: &'static [&'static str],
        quantiles: &'static [f64],
        clock: &Arc<dyn Clock>,
    ) -> Labelled<Summary> {
        Labelled {
            family: self.family(name, help, MetricType::Summary, label_names, quantiles, Some(clock)),
            make: |family| {
                let clock = family.clock.as_ref().expect("a family of summaries was given a clock");
                Handle::Summary(Summary::new(family.bounds, Arc::clone(clock)))
            },
            unwrap: |handle| match handle {
                Handle::Summary(summary) => Some(summary.clone()),
                _ => None,
            },
        }
    }

    /// Shows the family `name` a second time under `also`.
    pub fn alias(&self, name: &'static str, also: &'static str) {
        self.aliases.write().insert(also, name);
    }

    fn family(
        &self,
        name: &'static str,
        help: &'static str,
        metric_type: MetricType,
        label_names: &'static [&'static str],
        bounds: &'static [f64],
        clock: Option<&Arc<dyn Clock>>,
    ) -> Arc<Family> {
        let mut families = self.families.write();
        let family = families.entry(name).or_insert_with(|| {
            let series = Mutex::new(BTreeMap::new());
            Arc::new(Family { help, metric_type, label_names, bounds, clock: clock.cloned(), series })
        });
        assert_eq!(
            (family.metric_type, family.label_names),
            (metric_type, label_names),
            "family {name} redeclared"
        );
        Arc::clone(family)
    }

    /// Every family with at least one series, sorted by name.
    pub fn snapshot(&self) -> Vec<FamilySnapshot> {
        let families = self.families.read();
        let aliases = self.aliases.read();
        let own = families.iter().map(|(name, family)| (*name, family));
        let also = aliases.iter().filter_map(|(also, name)| Some((*also, families.get(name)?)));
        let mut all: Vec<FamilySnapshot> =
            own.chain(also).map(|(name, family)| family.snapshot(name)).collect();
        all.retain(|family| !family.series.is_empty());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

impl Family {
    fn snapshot(&self, name: &str) -> FamilySnapshot {
        let mut series = Vec::new();
        for (values, handle) in self.series.lock().iter() {
            let mut labels: Vec<(String, String)> =
                self.label_names.iter().zip(values).map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
            labels.sort_unstable();
            match handle {
                Handle::Counter(counter) => {
                    series.push(SeriesSnapshot { suffix: "", labels, bound: None, value: counter.get() });
                }
                Handle::Gauge(gauge) => {
                    series.push(SeriesSnapshot { suffix: "", labels, bound: None, value: gauge.get() });
                }
                Handle::Histogram(histogram) => histogram.snapshot_into(&labels, &mut series),
                Handle::Summary(summary) => summary.snapshot_into(&labels, &mut series),
            }
        }
        FamilySnapshot { name: name.to_owned(), help: self.help, metric_type: self.metric_type, series }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_render_sorted_with_their_aliases() {
        let registry = Registry::new();
        let requests = registry.counters("sextant_http_requests_total", "Requests.", &["code"]);
        requests.with(&["500"]).inc();
        requests.with(&["200"]).add(2.0);
        registry.alias("sextant_http_requests_total", "prometheus_http_requests_total");
        registry.gauge("sextant_build_info", "Build.").set(1.0);

        let snapshot = registry.snapshot();
        let names: Vec<&str> = snapshot.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(
            names,
            ["prometheus_http_requests_total", "sextant_build_info", "sextant_http_requests_total"]
        );
        let values: Vec<f64> = snapshot[0].series.iter().map(|s| s.value).collect();
        assert_eq!(values, [2.0, 1.0]);
        requests.remove(&["500"]);
        assert_eq!(registry.snapshot()[0].series.len(), 1);
    }

    #[test]
    fn labels_are_shown_by_name_whatever_the_order_of_their_declaration() {
        let registry = Registry::new();
        registry.counters("x_total", "X.", &["handler", "code"]).with(&["/", "200"]).inc();
        let labels = registry.snapshot()[0].series[0].labels.clone();
        assert_eq!(labels, [("code", "200"), ("handler", "/")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_family_does_not_grow_without_bound() {
        let registry = Registry::new();
        let family = registry.counters("x_total", "X.", &["l"]);
        for i in 0..SERIES_PER_FAMILY_MAX + 50 {
            family.with(&[&i.to_string()]).inc();
        }
        let series = &registry.snapshot()[0].series;
        assert_eq!(series.len(), SERIES_PER_FAMILY_MAX + 1);
        let overflow = series.iter().find(|s| s.labels[0].1 == "overflow").unwrap();
        assert_eq!(overflow.value, 50.0);
    }
}
