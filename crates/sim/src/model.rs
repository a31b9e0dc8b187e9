//! The naive model: what a store must, may and must not hold.

use std::collections::BTreeMap;

use store_core::TimeRange;

use crate::subject::Row;

/// What is known of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Acknowledged.
    Present,
    /// Its append or its deletion failed, or it is beyond retention: it may be there or not.
    Unknown,
    /// Its deletion was acknowledged.
    Deleted,
}

/// Every row that was ever sent, by value.
#[derive(Debug, Default)]
pub struct Model {
    rows: BTreeMap<u64, (i64, Fate)>,
}

impl Model {
    pub fn appended(&mut self, rows: &[Row], acknowledged: bool) {
        let fate = if acknowledged { Fate::Present } else { Fate::Unknown };
        self.rows.extend(rows.iter().map(|row| (row.value, (row.t_ms, fate))));
    }

    pub fn deleted(&mut self, last_byte: u8, time: TimeRange, acknowledged: bool) {
        for (value, (t_ms, fate)) in &mut self.rows {
            if value.to_le_bytes()[0] == last_byte && time.contains(*t_ms) && *fate == Fate::Present {
                *fate = if acknowledged { Fate::Deleted } else { Fate::Unknown };
            }
        }
    }

    /// Rows older than this may be dropped from now on.
    pub fn expired(&mut self, before_ms: i64) {
        for (t_ms, fate) in self.rows.values_mut() {
            if *t_ms < before_ms && *fate == Fate::Present {
                *fate = Fate::Unknown;
            }
        }
    }

    pub fn n_present(&self) -> u64 {
        self.rows.values().filter(|(_, fate)| *fate == Fate::Present).count() as u64
    }

    /// A rebuilt catalog has forgotten the deletions that no part obeyed yet.
    pub fn forgot_deletions(&mut self) {
        for (_, fate) in self.rows.values_mut() {
            if *fate == Fate::Deleted {
                *fate = Fate::Unknown;
            }
        }
    }

    /// Compares.
    pub fn check(&self, found: &[Row]) -> Result<(), String> {
        let mut seen = BTreeMap::new();
        for row in found {
            let Some((t_ms, fate)) = self.rows.get(&row.value) else {
                return Err(format!("invented: {row:?}"));
            };
            if *t_ms != row.t_ms {
                return Err(format!("altered: {row:?} was sent with time {t_ms}"));
            }
            if *fate == Fate::Deleted {
                return Err(format!("came back after its deletion: {row:?}"));
            }
            if seen.insert(row.value, ()).is_some() {
                return Err(format!("there twice: {row:?}"));
            }
        }
        let lost =
            |(value, (_, fate)): &(&u64, &(i64, Fate))| *fate == Fate::Present && !seen.contains_key(*value);
        match self.rows.iter().find(lost) {
            Some((value, (t_ms, _))) => Err(format!("lost: value {value} at {t_ms}")),
            None => Ok(()),
        }
    }
}
