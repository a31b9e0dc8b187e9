//! One run: random steps until the power fails, then a restart and the comparison; and again.

use std::fmt;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ManualClock, Rng};
use store_core::TimeRange;
use vfs::{FaultPlan, FaultVfs};

use crate::model::Model;
use crate::subject::{Row, Settings, Subject};
use crate::toy_store::ToyStore;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimReport {
    pub seed: u64,
    pub steps: u64,
    pub appends: u64,
    pub refused_appends: u64,
    /// Those that succeeded, as the next two.
    pub cuts: u64,
    pub deletions: u64,
    pub rounds: u64,
    pub crashes: u64,
    pub rows_compared: u64,
}

impl SimReport {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.appends += other.appends;
        self.refused_appends += other.refused_appends;
        self.cuts += other.cuts;
        self.deletions += other.deletions;
        self.rounds += other.rounds;
        self.crashes += other.crashes;
        self.rows_compared += other.rows_compared;
    }
}

/// A promise that was broken, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimFailure {
    pub store: &'static str,
    pub seed: u64,
    pub step: u64,
    pub what: String,
}

impl fmt::Display for SimFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, seed, step, what } = self;
        write!(f, "{store} store, seed {seed}, step {step}: {what}")
    }
}

impl std::error::Error for SimFailure {}

/// Runs the toy store.
pub fn run(seed: u64, steps: u64) -> Result<SimReport, SimFailure> {
    run_on::<ToyStore<true>>(seed, steps)
}

/// Runs any store.
pub fn run_on<S: Subject>(seed: u64, steps: u64) -> Result<SimReport, SimFailure> {
    let mut sim = Sim::<S>::new(seed)?;
    for step in 0..steps {
        sim.report.steps = step;
        sim.step().map_err(|what| sim.failure(what))?;
    }
    sim.rebuild().map_err(|what| sim.failure(what))?;
    Ok(sim.report)
}

struct Sim<S> {
    rng: Rng,
    vfs: FaultVfs,
    plan: FaultPlan,
    /// `None` after a failed start, until the next crash.
    store: Option<S>,
    model: Model,
    settings: Settings,
    next_value: u64,
    next_late_ms: i64,
    report: SimReport,
}

/// Times of ordinary rows are multiples of this; late ones lie between, so that no two are equal.
const TICK_MS: i64 = 1_000;
const KEEP_MS: i64 = 400 * TICK_MS;

impl<S: Subject> Sim<S> {
    fn new(seed: u64) -> Result<Self, SimFailure> {
        let vfs = FaultVfs::new(seed, FaultPlan::default());
        let settings = Settings {
            clock: Arc::new(ManualClock::new(1_000_000_000_000)),
            keep_ms: KEEP_MS,
            windows_ms: vec![20 * TICK_MS, 80 * TICK_MS, 320 * TICK_MS],
            grace_ms: 2 * TICK_MS,
            segment_bytes_max: 4_000,
        };
        let store =
            S::open(&vfs, &settings).map_err(|what| SimFailure { store: S::NAME, seed, step: 0, what })?;
        let mut sim = Self {
            rng: Rng::new(seed),
            vfs,
            plan: FaultPlan::default(),
            store: Some(store),
            model: Model::default(),
            settings,
            next_value: 0,
            next_late_ms: 1,
            report: SimReport { seed, ..SimReport::default() },
        };
        sim.draw_faults();
        Ok(sim)
    }

    fn failure(&self, what: String) -> SimFailure {
        SimFailure { store: S::NAME, seed: self.report.seed, step: self.report.steps, what }
    }

    /// What goes wrong until the next crash.
    fn draw_faults(&mut self) {
        let rng = &mut self.rng;
        let mut rarely = |one_in: u64| if rng.one_in(3) { 20 + rng.below(one_in) } else { 0 };
        let (short_write_one_in, sync_error_one_in, read_error_one_in) =
            (rarely(80), rarely(80), rarely(200));
        let power_off_at_change = rng.one_in(2).then(|| self.vfs.n_changes() + rng.below(400));
        let capacity_bytes = rng.one_in(5).then(|| 20_000 + rng.below(60_000));
        self.set_plan(FaultPlan {
            short_write_one_in,
            sync_error_one_in,
            read_error_one_in,
            capacity_bytes,
            fail_change: None,
            power_off_at_change,
        });
    }

    fn step(&mut self) -> Result<(), String> {
        self.settings.clock.advance(Duration::from_millis(TICK_MS.unsigned_abs()));
        if self.vfs.is_powered_off() || self.store.is_none() || self.rng.one_in(60) {
            return self.crash();
        }
        match self.rng.below(20) {
            0..12 => self.append(),
            12..15 => {
                let done = self.store_mut().cut().is_ok();
                self.report.cuts += u64::from(done);
            }
            15 => self.delete(),
            16..18 => {
                self.model.expired(self.now_ms() - KEEP_MS);
                let done = self.store_mut().maintain().is_ok();
                self.report.rounds += u64::from(done);
            }
            18 if self.rng.one_in(4) => return self.restart(),
            18 => self.set_plan(FaultPlan::default()),
            _ => return self.compare(),
        }
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.settings.clock.now_ms()
    }

    fn store_mut(&mut self) -> &mut S {
        self.store.as_mut().expect("a step without a store is a crash")
    }

    fn append(&mut self) {
        let n = 1 + self.rng.below(20);
        let mut rows = Vec::new();
        for _ in 0..n {
            let t_ms = if self.rng.one_in(30) {
                // Unique, and now and then in a window that was compacted long ago.
                self.next_late_ms += 1;
                let back = i64::try_from(self.rng.below(300)).expect("small") * TICK_MS;
                self.now_ms() - back - TICK_MS + self.next_late_ms % (TICK_MS / 2)
            } else {
                self.now_ms() + TICK_MS / 2 + rows.len() as i64
            };
            rows.push(Row { t_ms, value: self.next_value });
            self.next_value += 1;
        }
        let mut times: Vec<i64> = rows.iter().map(|row| row.t_ms).collect();
        times.sort_unstable();
        times.dedup();
        if times.len() < rows.len() {
            return;
        }
        let acknowledged = self.store_mut().append(&rows).is_ok();
        self.model.appended(&rows, acknowledged);
        self.report.appends += 1;
        self.report.refused_appends += u64::from(!acknowledged);
    }

    fn delete(&mut self) {
        let last_byte = self.rng.next_u64().to_le_bytes()[0];
        let back = i64::try_from(self.rng.below(400)).expect("small") * TICK_MS;
        let time = TimeRange { min_ms: self.now_ms() - back, max_ms: self.now_ms() };
        let acknowledged = self.store_mut().delete(last_byte, time).is_ok();
        self.model.deleted(last_byte, time, acknowledged);
        self.report.deletions += u64::from(acknowledged);
    }

    fn compare(&mut self) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        match store.rows() {
            Ok(rows) => {
                self.report.rows_compared += rows.len() as u64;
                self.model.check(&rows)
            }
            // A read that fails by a planned fault says nothing.
            Err(_) if self.plan.read_error_one_in > 0 || self.vfs.is_powered_off() => Ok(()),
            Err(e) => Err(format!("cannot be read: {e}")),
        }
    }

    /// Ends the process but not the power: what was written and not synced is still there to be read.
    fn restart(&mut self) -> Result<(), String> {
        self.store = None;
        match S::open(&self.vfs, &self.settings) {
            Ok(store) => {
                self.store = Some(store);
                self.compare()
            }
            Err(e) if self.plan == FaultPlan::default() => Err(format!("does not restart: {e}")),
            Err(_) => Ok(()),
        }
    }

    fn set_plan(&mut self, plan: FaultPlan) {
        self.plan = plan;
        self.vfs.set_plan(plan);
    }

    /// Cuts the power, restarts on what is left, and compares.
    fn crash(&mut self) -> Result<(), String> {
        self.report.crashes += 1;
        self.store = None;
        self.vfs = self.vfs.crash();
        self.set_plan(FaultPlan::default());
        if self.rng.one_in(10) {
            return self.rebuild();
        }
        let store =
            S::open(&self.vfs, &self.settings).map_err(|e| format!("does not start after a crash: {e}"))?;
        let rows = store.rows().map_err(|e| format!("cannot be read after a crash: {e}"))?;
        self.report.rows_compared += rows.len() as u64;
        self.model.check(&rows)?;
        self.store = Some(store);
        self.draw_faults();
        Ok(())
    }

    /// Cuts the power; then everything on the disk verifies, and a catalog that is rebuilt from what the
    /// crash left, orphans included, finds the same rows.
    fn rebuild(&mut self) -> Result<(), String> {
        self.store = None;
        self.vfs = self.vfs.crash();
        self.set_plan(FaultPlan::default());
        let defects = S::verify(&self.vfs)?;
        if !defects.is_empty() {
            return Err(format!("defects: {defects:?}"));
        }
        S::rebuild(&self.vfs)?;
        let store =
            S::open(&self.vfs, &self.settings).map_err(|e| format!("does not start after a rebuild: {e}"))?;
        let rows = store.rows().map_err(|e| format!("cannot be read after a rebuild: {e}"))?;
        self.model.forgot_deletions();
        self.model.check(&rows).map_err(|e| format!("after a rebuild: {e}"))?;
        self.store = Some(store);
        self.draw_faults();
        Ok(())
    }
}
