//! Alerts and `kill -9` at random instants: the time that an alert has been active is neither forgotten
//! nor counted from anew.

use base::Rng;

use super::SOON;
use crate::sextant::{Sextant, number};
use crate::waiting::{unix_ms, until};

const CONFIG: &str = "global:\n  evaluation_interval: 1s\nrule_files: [rules.yml]\n";

/// An alert that is always active and fires after this long.
const FOR_MS: i64 = 6_000;

const RULES: &str = "groups:\n- name: g\n  rules:\n  - alert: Held\n    expr: vector(1)\n    for: 6s\n";

/// An alert that is about to fire when it is restored is given this long to go away: half a second is
/// shorter than `for`, without which nothing is restored.
const GRACE: &str = "--rules.alert.for-grace-period=500ms";

/// What restoration may take off: it knows whole seconds only.
const RESTORED_LESS_MS: i64 = 1_000;

/// One sample of `ALERTS_FOR_STATE`: when it was written, and how long the alert had been active then.
#[derive(Debug, Clone, Copy)]
struct Held {
    t_ms: i64,
    active_at_ms: i64,
}

impl Held {
    fn for_ms(self) -> i64 {
        self.t_ms - self.active_at_ms
    }
}

/// The samples of a series, `(time in milliseconds, value)`.
fn samples(sextant: &Sextant, selector: &str) -> Vec<(i64, f64)> {
    let result = sextant.query(&format!("{selector}[10m]"));
    let series = result.as_array().unwrap();
    assert!(series.len() <= 1, "{result}");
    let values = series.iter().flat_map(|series| series["values"].as_array().unwrap());
    values.map(|pair| ((pair[0].as_f64().unwrap() * 1000.0).round() as i64, number(&pair[1]))).collect()
}

fn history(sextant: &Sextant) -> Vec<Held> {
    let samples = samples(sextant, "ALERTS_FOR_STATE");
    samples.into_iter().map(|(t_ms, v)| Held { t_ms, active_at_ms: (v * 1000.0) as i64 }).collect()
}

/// The places where the alert was taken for a new one.
fn forgotten(history: &[Held]) -> Vec<(Held, Held)> {
    let fell = |pair: &[Held]| pair[1].for_ms() < pair[0].for_ms().min(FOR_MS) - RESTORED_LESS_MS;
    history.windows(2).filter(|pair| fell(pair)).map(|pair| (pair[0], pair[1])).collect()
}

/// The state of the alert as the rules have it.
fn state(sextant: &Sextant) -> Result<String, String> {
    let alerts = sextant.data("/api/v1/alerts", &[])["alerts"].clone();
    match alerts[0]["state"].as_str() {
        Some(state) => Ok(state.to_owned()),
        None => Err(alerts.to_string()),
    }
}

fn until_state(sextant: &Sextant, wanted: &str) {
    until(SOON, wanted, || {
        state(sextant).and_then(|state| if state == wanted { Ok(()) } else { Err(state) })
    });
}

/// Waits for the first sample that this process has written: then its alert has been restored.
fn until_written(sextant: &Sextant, since_ms: i64) -> Held {
    until(SOON, "a sample of ALERTS_FOR_STATE", || {
        let last = history(sextant).last().copied();
        last.filter(|held| held.t_ms >= since_ms).ok_or_else(|| format!("{last:?}"))
    })
}

/// Kills the server at an instant up to `within_ms` from now, and starts it again; when that began.
fn kill_within(sextant: &mut Sextant, rng: &mut Rng, within_ms: u64) -> i64 {
    let at_ms = unix_ms() + (rng.next_u64() % within_ms) as i64;
    until(SOON, "the instant of the kill", || {
        let now_ms = unix_ms();
        if now_ms >= at_ms { Ok(()) } else { Err(now_ms.to_string()) }
    });
    sextant.process.kill();
    let since_ms = unix_ms();
    sextant.restart();
    since_ms
}

#[test]
fn alert_state_survives_kill_9_at_any_instant() {
    let seed = unix_ms() as u64;
    eprintln!("seed {seed}");
    let mut rng = Rng::new(seed);
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("rules.yml"), RULES).unwrap();
    let mut sextant = Sextant::start(scratch.path(), CONFIG, &[GRACE]);

    // Pending for long enough that a new beginning would show.
    until(SOON, "half of the time", || {
        let history = history(&sextant);
        match history.last() {
            Some(held) if held.for_ms() >= FOR_MS / 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(state(&sextant).unwrap(), "pending");
    // Once before it can have been restored, and once at any instant after the start.
    kill_within(&mut sextant, &mut rng, 700);
    kill_within(&mut sextant, &mut rng, 700);
    kill_within(&mut sextant, &mut rng, 2_500);
    until_state(&sextant, "firing");
    let firing = until_written(&sextant, unix_ms());
    assert!(firing.for_ms() >= FOR_MS, "{firing:?}");

    for within_ms in [300, 2_500, 1_500] {
        let since_ms = kill_within(&mut sextant, &mut rng, within_ms);
        let restored = until_written(&sextant, since_ms);
        assert_eq!(restored.active_at_ms, firing.active_at_ms, "active since, {:?}", history(&sextant));
        assert_eq!(state(&sextant).unwrap(), "firing");
        let waited_ms = restored.t_ms - since_ms;
        assert!(waited_ms < FOR_MS, "it did not wait anew: {waited_ms} ms");
    }
    let written = history(&sextant);
    assert_eq!(forgotten(&written).len(), 0, "{written:?}");
    let fired_at_ms = samples(&sextant, "ALERTS{alertstate=\"firing\"}")[0].0;
    let pending = samples(&sextant, "ALERTS{alertstate=\"pending\"}");
    let pending_again: Vec<_> = pending.iter().filter(|(t_ms, _)| *t_ms > fired_at_ms).collect();
    assert!(pending_again.is_empty(), "pending after it fired at {fired_at_ms}: {pending_again:?}");
    drop(sextant);

    // A grace period that is longer than `for` turns restoration off, so this must be seen.
    let forgetful = Sextant::start(scratch.path(), CONFIG, &["--rules.alert.for-grace-period=1h"]);
    until_written(&forgetful, unix_ms());
    assert_eq!(forgotten(&history(&forgetful)).len(), 1, "{:?}", history(&forgetful));
}
