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
