//! Label names, label values, series and exemplars in scope.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{Budget, BudgetExceeded, CancelToken, Charge, TenantId};
use model::{Exemplar, Labels, Matcher};
use roaring::RoaringBitmap;
use store_core::{PartMeta, TimeRange};

use crate::error::StoreError;
use crate::live::tenant::TenantLive;
use crate::matching;
use crate::part::FAMILY;
use crate::part::postings;
use crate::part::reader::MetricsPart;
use crate::selection::{ExemplarAnswer, ExemplarSeries, LabelAnswer, LabelScope, SeriesAnswer};
use crate::store::{Extent, MetricsView};

/// The series of an index that a scope is about; `None` stands for all of them.
type Scoped = Option<RoaringBitmap>;

impl MetricsView {
    fn metas(&self, tenant: &TenantId, start_ms: i64, end_ms: i64) -> Vec<Arc<PartMeta>> {
        let time = TimeRange { min_ms: start_ms, max_ms: end_ms };
        self.snapshot.parts_for(FAMILY, tenant, time).map(Arc::clone).collect()
    }

    fn live_in(&self, tenant: &TenantId, start_ms: i64, end_ms: i64) -> Option<Arc<TenantLive>> {
        self.shared.known_tenant(tenant).filter(|live| {
            let (min_t, max_t) = live.bounds();
            min_t <= end_ms && max_t >= start_ms
        })
    }

    /// The answer, and all of it before the limit, is charged to `budget`.
    pub fn label_names(
        &self,
        tenant: &TenantId,
        scope: &LabelScope<'_>,
        budget: &Budget,
        cancel: &CancelToken,
    ) -> Result<LabelAnswer, StoreError> {
        let mut names = Texts::new(budget)?;
        if let Some(live) = self.live_in(tenant, scope.start_ms, scope.end_ms) {
            let index = live.index.read();
            let scoped = live_scope(&index, scope.selectors);
            for (name, values) in index.names() {
                let meets =
                    scoped.as_ref().is_none_or(|set| values.values().any(|postings| postings.meets(set)));
                if meets {
                    names.insert(name)?;
                }
            }
        }
        for meta in self.metas(tenant, scope.start_ms, scope.end_ms) {
            cancel.check()?;
            let read = self.part_label_names(&meta, scope, &mut names);
            read.or_else(|error| self.warn(&meta, Extent::Part, error))?;
        }
        Ok(names.limited(scope.limit))
    }

    /// The answer, and all of it before the limit, is charged to `budget`.
    pub fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        scope: &LabelScope<'_>,
        budget: &Budget,
        cancel: &CancelToken,
    ) -> Result<LabelAnswer, StoreError> {
        let mut values = Texts::new(budget)?;
        if let Some(live) = self.live_in(tenant, scope.start_ms, scope.end_ms) {
            let index = live.index.read();
            let scoped = live_scope(&index, scope.selectors);
            for (value, postings) in index.values(name) {
                if scoped.as_ref().is_none_or(|set| postings.meets(set)) {
                    values.insert(value)?;
                }
            }
        }
        for meta in self.metas(tenant, scope.start_ms, scope.end_ms) {
            cancel.check()?;
            let read = self.part_label_values(&meta, name, scope, &mut values);
            read.or_else(|error| self.warn(&meta, Extent::Part, error))?;
        }
        Ok(values.limited(scope.limit))
    }

    /// The label sets of the series in scope.
    pub fn series(
        &self,
        tenant: &TenantId,
        scope: &LabelScope<'_>,
        budget: &Budget,
        cancel: &CancelToken,
    ) -> Result<SeriesAnswer, StoreError> {
        let everything = [Vec::new()];
        let selectors = if scope.selectors.is_empty() { &everything[..] } else { scope.selectors };
        let mut all: Vec<Labels> = Vec::new();
        let mut charge = budget.charge(0)?;
        for selector in selectors {
            let selected = self.select(tenant, selector, scope.start_ms, scope.end_ms, budget, cancel)?;
            // The selection gives back what its labels took, and they stay.
            let bytes = |i: usize| (selected.labels(i).heap_bytes() + size_of::<Labels>()) as u64;
            charge.grow((0..selected.len()).map(bytes).sum())?;
            all.extend((0..selected.len()).map(|i| selected.labels(i).clone()));
        }
        if selectors.len() > 1 {
            all.sort_unstable();
            all.dedup();
        }
        let truncated = scope.limit > 0 && all.len() > scope.limit;
        if truncated {
            all.truncate(scope.limit);
        }
        Ok(SeriesAnswer { series: all, truncated, charge })
    }

    /// Exemplars of series that any of the `selectors` match, within the time range, sorted by labels.
    pub fn query_exemplars(
        &self,
        tenant: &TenantId,
        selectors: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
        budget: &Budget,
    ) -> Result<ExemplarAnswer, StoreError> {
        let mut found = FoundExemplars { by_series: BTreeMap::new(), charge: budget.charge(0)? };
        let in_time = |exemplar: &Exemplar| exemplar.t >= start_ms && exemplar.t <= end_ms;
        for meta in self.metas(tenant, start_ms, end_ms) {
            let read = self.part_exemplars(&meta, selectors, &in_time, &mut found);
            read.or_else(|error| self.warn(&meta, Extent::Part, error))?;
        }
        if let Some(live) = self.shared.known_tenant(tenant) {
            let matches = |labels: &Labels| {
                let holds = |m: &Matcher| m.matches(labels.get(&m.name).unwrap_or(""));
                selectors.is_empty() || selectors.iter().any(|selector| selector.iter().all(holds))
            };
            let ring = live.exemplars.lock();
            for entry in ring.iter().filter(|entry| entry.generation > self.above) {
                if in_time(&entry.exemplar) && matches(entry.series.labels()) {
                    found.add(entry.series.labels(), Arc::clone(&entry.exemplar))?;
                }
            }
        }
        let FoundExemplars { by_series, charge } = found;
        let series = by_series.into_iter().map(|(labels, exemplars)| in_order(labels, exemplars)).collect();
        Ok(ExemplarAnswer { series, charge })
    }

    fn part_label_names(
        &self,
        meta: &PartMeta,
        scope: &LabelScope<'_>,
        names: &mut Texts,
    ) -> Result<(), StoreError> {
        let part = self.shared.part(meta)?;
        let scoped = part_scope(&part, scope.selectors)?;
        let index = part.index()?;
        for entry in &index.names {
            let name = index.symbols.get(entry.name).unwrap_or_default();
            if names.contains(name) {
                continue;
            }
            let mut found = scoped.is_none();
            if let Some(set) = &scoped {
                part.for_each_value(&index, entry, "", &mut |_, bytes| {
                    found = meets(bytes, part.n_series(), set)?;
                    Ok(!found)
                })?;
            }
            if found {
                names.insert(name)?;
            }
        }
        Ok(())
    }

    fn part_label_values(
        &self,
        meta: &PartMeta,
        name: &str,
        scope: &LabelScope<'_>,
        values: &mut Texts,
    ) -> Result<(), StoreError> {
        let part = self.shared.part(meta)?;
        let scoped = part_scope(&part, scope.selectors)?;
        let index = part.index()?;
        let Some(entry) = part.name_entry(&index, name) else { return Ok(()) };
        let mut charged = Ok(());
        part.for_each_value(&index, entry, "", &mut |value, bytes| {
            if !values.contains(value)
                && scoped.as_ref().map_or(Ok(true), |set| meets(bytes, part.n_series(), set))?
            {
                charged = values.insert(value);
            }
            Ok(charged.is_ok())
        })?;
        Ok(charged?)
    }

    fn part_exemplars(
        &self,
        meta: &PartMeta,
        selectors: &[Vec<Matcher>],
        in_time: &dyn Fn(&Exemplar) -> bool,
        found: &mut FoundExemplars,
    ) -> Result<(), StoreError> {
        let part = self.shared.part(meta)?;
        let exemplars = part.exemplars()?;
        if exemplars.is_empty() {
            return Ok(());
        }
        let matched = part_scope(&part, selectors)?;
        let index = part.index()?;
        for (ordinal, exemplar) in exemplars {
            if in_time(&exemplar) && matched.as_ref().is_none_or(|set| set.contains(ordinal)) {
                found.add(&part.labels(&index, ordinal)?, Arc::new(exemplar))?;
            }
        }
        Ok(())
    }
}

fn in_order(labels: Labels, mut exemplars: Vec<Arc<Exemplar>>) -> ExemplarSeries {
    exemplars.sort_by(|a, b| {
        let key = |e: &Exemplar| (e.t, e.value.to_bits());
        key(a).cmp(&key(b)).then_with(|| a.labels.cmp(&b.labels))
    });
    exemplars.dedup_by(|a, b| a.t == b.t && a.value.to_bits() == b.value.to_bits() && a.labels == b.labels);
    ExemplarSeries { labels, exemplars }
}

fn live_scope(index: &crate::live::index::LiveIndex, selectors: &[Vec<Matcher>]) -> Scoped {
    if selectors.is_empty() {
        return None;
    }
    let mut all = RoaringBitmap::new();
    for selector in selectors {
        match matching::select(index, selector) {
            Ok(set) => all |= set,
            Err(never) => match never {},
        }
    }
    Some(all)
}

fn part_scope(part: &MetricsPart, selectors: &[Vec<Matcher>]) -> Result<Scoped, StoreError> {
    if selectors.is_empty() {
        return Ok(None);
    }
    let mut all = RoaringBitmap::new();
    for selector in selectors {
        all |= part.select(selector)?;
    }
    Ok(Some(all))
}

/// Whether encoded postings and the set have a series in common.
fn meets(bytes: &[u8], n_series: u32, set: &RoaringBitmap) -> Result<bool, codec::CorruptInput> {
    let mut own = RoaringBitmap::new();
    postings::decode_into(bytes, n_series, &mut own)?;
    Ok(!own.is_disjoint(set))
}

/// Bytes of texts that are collected between two looks at the budget.
const TEXTS_UNCHARGED_MAX: u64 = 16 << 10;

/// Distinct texts, charged as they come.
struct Texts {
    found: BTreeSet<String>,
    charge: Charge,
    uncharged: u64,
}

impl Texts {
    fn new(budget: &Budget) -> Result<Self, StoreError> {
        Ok(Self { found: BTreeSet::new(), charge: budget.charge(0)?, uncharged: 0 })
    }

    fn contains(&self, text: &str) -> bool {
        self.found.contains(text)
    }

    fn insert(&mut self, text: &str) -> Result<(), BudgetExceeded> {
        if self.found.insert(text.to_owned()) {
            // The string and its share of the tree.
            self.uncharged += (text.len() + 2 * size_of::<String>()) as u64;
            if self.uncharged >= TEXTS_UNCHARGED_MAX {
                self.charge.grow(std::mem::take(&mut self.uncharged))?;
            }
        }
        Ok(())
    }

    fn limited(self, limit: usize) -> LabelAnswer {
        let truncated = limit > 0 && self.found.len() > limit;
        let n = if truncated { limit } else { self.found.len() };
        LabelAnswer { values: self.found.into_iter().take(n).collect(), truncated, charge: self.charge }
    }
}

/// Exemplars of parts and of the live store, charged as they come.
struct FoundExemplars {
    by_series: BTreeMap<Labels, Vec<Arc<Exemplar>>>,
    charge: Charge,
}

impl FoundExemplars {
    fn add(&mut self, labels: &Labels, exemplar: Arc<Exemplar>) -> Result<(), BudgetExceeded> {
        let own = size_of::<Exemplar>() + 32 + exemplar.labels.heap_bytes();
        match self.by_series.get_mut(labels) {
            Some(known) => {
                self.charge.grow(own as u64)?;
                known.push(exemplar);
            }
            None => {
                self.charge.grow((own + 128 + labels.heap_bytes()) as u64)?;
                self.by_series.insert(labels.clone(), vec![exemplar]);
            }
        }
        Ok(())
    }
}
