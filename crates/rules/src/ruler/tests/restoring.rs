use super::*;

const REQUESTS: [&str; 2] = [
    r#"http_requests{instance="0"} 75 85 50 0 0 25 0 0 40 0 120"#,
    r#"http_requests{instance="1"} 125 90 60 0 0 25 0 0 40 0 130"#,
];

fn config(query_offset_ms: i64) -> RuleGroupConfig {
    let spec =
        AlertSpec { for_ms: 25 * MINUTE_MS, labels: &[("severity", "critical")], ..AlertSpec::default() };
    let rules = vec![alert("Low", "http_requests < 100", spec)];
    RuleGroupConfig { query_offset_ms: Some(query_offset_ms), ..group("g", rules) }
}

/// Runs the rule at some minutes, lets the process die, restores at another; the minutes at which
/// alerts are active since, the query offset taken off.
fn restored(before: &[i64], at: i64, offset_ms: i64) -> Vec<i64> {
    let world = World::new(5 * MINUTE_MS, &REQUESTS);
    let (_manager, old) = running(config(0));
    for minute in before {
        world.evaluate(&old, minute * MINUTE_MS);
    }
    let manager = RuleManager::new(options());
    load(&manager, vec![config(offset_ms)], 0);
    let group = manager.group_handles().remove(0);
    let now_ms = at * MINUTE_MS + offset_ms;
    let (written, _) = world.evaluate(&group, now_ms);
    assert!(written.is_empty(), "nothing is written before the restoration");
    group.restore_for_state(now_ms, world.equipment());
    manager.active_alerts().iter().map(|a| (a.active_at_ms - offset_ms) / MINUTE_MS).collect()
}

#[test]
fn the_for_state_survives_a_restart() {
    let until_down = [0, 5];
    let longer = [0, 5, 10, 15, 20];
    for offset_ms in [0, MINUTE_MS] {
        for (name, before, at, expected) in [
            // Down from 5 to 15: the ten minutes do not count.
            ("pending", &until_down[..], 15, vec![10, 15]),
            // Down for longer than the tolerance: the alerts are new.
            ("outage tolerance", &until_down, 40, vec![40, 40]),
            ("no longer active", &until_down, 50, vec![]),
            // Due to fire at 25 and 30: they get ten minutes of grace, firing at 35.
            ("grace period", &longer, 25, vec![10, 10]),
        ] {
            assert_eq!(restored(before, at, offset_ms), expected, "{name}, offset {offset_ms}");
        }
    }
}

#[test]
fn restoration_follows_the_second_evaluation() {
    let world = World::new(5 * MINUTE_MS, &REQUESTS);
    let (_manager, old) = running(config(0));
    world.evaluate(&old, 0);
    world.evaluate(&old, 5 * MINUTE_MS);

    let manager = RuleManager::new(options());
    load(&manager, vec![config(0)], 14 * MINUTE_MS);
    let mut alerts_written = Vec::new();
    for _ in 0..3 {
        let due_ms = manager.next_due_ms().unwrap();
        world.clock.set_ms(due_ms);
        world.written.lock().clear();
        for work in manager.due(due_ms) {
            match work {
                DueWork::Evaluate(eval) => drop(eval.run(world.equipment())),
                DueWork::MarkStale(_) => panic!("nothing was removed"),
            }
        }
        alerts_written.push(!world.written.lock().is_empty());
    }
    assert_eq!(alerts_written, [false, false, true]);
    assert!(manager.groups()[0].counters.last_restore_duration_ns.is_some());
}

/// What a process that dies leaves of its last evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastWrite {
    Stored,
    Lost,
}

/// Runs the slots of a new process; the alert's age in minutes at each sample of `ALERTS_FOR_STATE` that it
/// stores. The last evaluation may happen without its samples getting anywhere.
fn live(world: &World, from_minute: i64, n_slots: usize, last: LastWrite) -> Vec<i64> {
    let options = RuleOptions { outage_tolerance_ms: i64::from(u32::MAX), ..options() };
    let manager = RuleManager::new(options);
    load(&manager, vec![group("g", vec![alert("Held", "vector(1)", HELD)])], from_minute * MINUTE_MS);
    let mut ages = Vec::new();
    for slot in 1..=n_slots {
        let due_ms = manager.next_due_ms().unwrap();
        world.clock.set_ms(due_ms);
        if slot == n_slots && last == LastWrite::Lost {
            *world.refuse.lock() = Some("the process dies here".to_owned());
        }
        world.written.lock().clear();
        for work in manager.due(due_ms) {
            if let DueWork::Evaluate(eval) = work {
                drop(eval.run(world.equipment()));
            }
        }
        *world.refuse.lock() = None;
        if !world.written.lock().is_empty() {
            let of_state = [Matcher::equal("__name__", "ALERTS_FOR_STATE")];
            let stored = world.last_samples(&of_state, 0, due_ms).unwrap();
            ages.push((stored[0].t_ms - stored[0].value as i64 * 1000).div_euclid(MINUTE_MS));
        }
    }
    ages
}

const HELD: AlertSpec<'_> =
    AlertSpec { for_ms: 25 * MINUTE_MS, keep_firing_for_ms: 0, labels: &[], annotations: &[] };

/// Processes die after any slot, with the samples of that slot or without, and stay away for some time.
/// The age of the alert never falls, but where it was due to fire within the grace period, and the time
/// away never counts before it fires; so it fires in the first life that is long enough for what is left.
#[test]
fn an_alert_ages_through_crashes_after_any_step() {
    const GRACE_MINUTES: i64 = 10;
    for seed in 0..200 {
        let mut rng = base::Rng::new(seed);
        let mut draw = |n: u64| (rng.next_u64() % n) as i64;
        let world = World::new(MINUTE_MS, &[]);
        let mut minute = 10;
        let mut age = 0;
        let mut lives = Vec::new();
        while age < 40 && lives.len() < 60 {
            let n_slots = 1 + draw(16);
            let last = if draw(2) == 0 { LastWrite::Stored } else { LastWrite::Lost };
            let ages = live(&world, minute, usize::try_from(n_slots).unwrap(), last);
            let away = draw(6);
            lives.push((n_slots, last, away, ages.clone()));
            // The first two slots of a life store nothing; in the third the alert is older by that slot,
            // and by the minute between its last sample and the end of the process at most.
            if let Some(first) = ages.first() {
                let restored = if age >= 25 { age } else { age.min(25 - GRACE_MINUTES) };
                let is_first_life = age == 0;
                assert!(is_first_life || *first >= restored, "seed {seed}: {first} after {age}: {lives:?}");
                let counted = if age >= 25 { i64::MAX } else { age + 3 };
                assert!(*first <= counted, "seed {seed}: {first} after {age}: {lives:?}");
                assert!(ages.windows(2).all(|pair| pair[1] == pair[0] + 1), "seed {seed}: {lives:?}");
            }
            age = ages.last().copied().unwrap_or(age);
            minute += n_slots + away;
        }
        assert!(age >= 25, "seed {seed}: it never fired: {lives:?}");
    }
}
