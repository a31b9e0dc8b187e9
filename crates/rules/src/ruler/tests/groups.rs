use super::*;
use crate::query::Hands;

#[test]
fn series_that_vanish_turn_stale() {
    for offset_ms in [0, MINUTE_MS] {
        let world = World::new(1000, &["a 1 2 stale"]);
        let config = RuleGroupConfig {
            query_offset_ms: Some(offset_ms),
            ..group("g", vec![record("a_plus_one", "a + 1", &[("l", "v")])])
        };
        let (_manager, group) = running(config);
        for (second, expected) in [
            (0, Some(r#"a_plus_one{l="v"} 2"#)),
            (1, Some(r#"a_plus_one{l="v"} 3"#)),
            (2, Some(r#"a_plus_one{l="v"} stale"#)),
            (3, None),
        ] {
            let (written, _) = world.evaluate(&group, second * 1000 + offset_ms);
            assert_eq!(written.first().map(String::as_str), expected, "{second}");
        }
    }
}

#[test]
fn a_failed_write_is_the_rules_error() {
    let world = World::new(MINUTE_MS, &["a 1x9"]);
    let (manager, group) = running(group("g", vec![record("r", "a", &[])]));
    *world.refuse.lock() = Some("disk full".to_owned());
    assert_eq!(world.evaluate(&group, 0).1, ["disk full"]);
    assert_eq!(manager.groups()[0].rules[0].health.as_str(), "err");
    *world.refuse.lock() = None;
    assert!(world.evaluate(&group, MINUTE_MS).1.is_empty());
    assert_eq!(manager.groups()[0].rules[0].health.as_str(), "ok");
}

#[test]
fn equal_groups_go_on_and_changed_ones_keep_what_they_share() {
    let world = World::new(MINUTE_MS, &["a 1x99", "b 1x99"]);
    let spec = AlertSpec { for_ms: 10 * MINUTE_MS, ..AlertSpec::default() };
    let old = || group("g", vec![alert("A", "a", spec), record("gone", "b", &[]), record("r", "b", &[])]);
    let (manager, handle) = running(old());
    world.evaluate(&handle, 0);
    let report = load(&manager, vec![old()], 0);
    assert_eq!((report.unchanged, report.changed), (1, 0));
    assert!(Arc::ptr_eq(&handle, &manager.group_handles()[0]));

    let new = group("g", vec![record("r", "b + 1", &[]), alert("A", "a", spec)]);
    let report = load(&manager, vec![new], MINUTE_MS);
    assert_eq!((report.changed, report.removed), (1, 0));
    assert_eq!(manager.active_alerts()[0].active_at_ms, 0, "the alert is as old as it was");
    let (written, _) = world.evaluate(&manager.group_handles()[0], MINUTE_MS);
    assert!(written.contains(&"gone stale".to_owned()) && written.contains(&"r 2".to_owned()), "{written:?}");
    let (written, _) = world.evaluate(&manager.group_handles()[0], 2 * MINUTE_MS);
    assert!(!written.contains(&"gone stale".to_owned()), "once is enough");
}

#[test]
fn a_longer_for_sends_a_firing_alert_back() {
    let world = World::new(MINUTE_MS, &["a 1x99"]);
    let with_for = |minutes: i64| {
        let spec = AlertSpec { for_ms: minutes * MINUTE_MS, ..AlertSpec::default() };
        group("g", vec![alert("A", "a", spec)])
    };
    let (manager, handle) = running(with_for(1));
    world.evaluate(&handle, 0);
    world.evaluate(&handle, MINUTE_MS);
    assert_eq!(manager.active_alerts()[0].state.as_str(), "firing");
    load(&manager, vec![with_for(5)], 2 * MINUTE_MS);
    world.evaluate(&manager.group_handles()[0], 2 * MINUTE_MS);
    let alert = &manager.active_alerts()[0];
    assert_eq!((alert.state.as_str(), alert.fired_at_ms), ("pending", None));
}

#[test]
fn removed_groups_turn_stale_after_two_intervals() {
    let world = World::new(MINUTE_MS, &["a 1x99"]);
    let (manager, handle) = running(group("g", vec![record("r", "a", &[])]));
    world.evaluate(&handle, 0);
    assert_eq!(load(&manager, Vec::new(), MINUTE_MS).removed, 1);
    assert_eq!(manager.next_due_ms(), Some(3 * MINUTE_MS));
    assert!(manager.due(3 * MINUTE_MS - 1).is_empty());
    let [DueWork::MarkStale(_)] = &manager.due(3 * MINUTE_MS)[..] else { panic!("stale markers are due") };

    let (manager, handle) = running(group("g", vec![record("r", "a", &[])]));
    world.evaluate(&handle, 0);
    load(&manager, Vec::new(), MINUTE_MS);
    world.written.lock().clear();
    for work in manager.due(3 * MINUTE_MS) {
        match work {
            DueWork::MarkStale(stale) => stale.run(&world).unwrap(),
            DueWork::Evaluate(_) => panic!("no group is left"),
        }
    }
    assert_eq!(*world.written.lock(), ["r stale"]);
    assert_eq!(manager.next_due_ms(), None);
}

#[test]
fn due_groups_are_evaluated_at_their_slots() {
    let world = World::new(MINUTE_MS, &["a 1x99"]);
    let (manager, _) = running(group("g", vec![record("r", "a", &[])]));
    let due_ms = manager.next_due_ms().unwrap();
    let work = manager.due(due_ms).pop().unwrap();
    let DueWork::Evaluate(eval) = work else { panic!("a group is due") };
    assert_eq!((eval.missed(), manager.next_due_ms()), (0, None));
    assert!((0..=1).contains(&(due_ms - eval.slot_ms())), "slots may lie between milliseconds");
    world.clock.set_ms(due_ms);
    assert!(eval.run(world.equipment()).failures.is_empty());
    assert_eq!(manager.next_due_ms(), Some(due_ms + MINUTE_MS));
    let snapshot = &manager.groups()[0];
    assert_eq!((snapshot.counters.evaluations, snapshot.counters.iterations_scheduled), (1, 1));
    assert_eq!((snapshot.last_evaluation_ms, snapshot.counters.last_samples), (Some(due_ms), 1));
}

#[test]
fn a_bad_expression_changes_nothing() {
    let (manager, _) = running(group("g", vec![record("r", "a", &[])]));
    let bad = file(vec![group("h", vec![record("x", "sum(", &[])])]);
    let error = manager.update(&bad, &global(), "", 0).unwrap_err();
    assert!(error.to_string().starts_with("rules.yml: group \"h\", rule \"x\":"), "{error}");
    assert_eq!(manager.groups()[0].name, "g");
}

#[test]
fn independent_rules_run_side_by_side() {
    let plain = AlertSpec::default();
    for (name, rules, expected) in [
        (
            "chains",
            vec![
                record("user:requests:rate1m", "sum by (user) (rate(requests[1m]))", &[]),
                alert("ZeroRequests", "user:requests:rate1m <= 0", plain),
                record("user:requests:rate5m", "sum by (user) (rate(requests[5m]))", &[]),
                record("user:requests:increase1h", "increase(user:requests:rate1m[1h:])", &[]),
                record("user:requests:sum5m", "sum by (user) ({__name__=~\"user:requests.+5m\"})", &[]),
            ],
            vec![vec![0, 2], vec![1, 3, 4]],
        ),
        ("no name", vec![record("a", "b", &[]), record("c", "sum({job=\"x\"})", &[])], vec![]),
        ("alone", vec![record("a", "a + 1", &[])], vec![vec![0]]),
        (
            "alerts read alerts",
            vec![
                alert("First", "a", plain),
                alert("Second", "ALERTS{alertname=\"First\"}", plain),
                alert("Third", "ALERTS{alertname=\"Second\"}", plain),
                alert("Fourth", "ALERTS_FOR_STATE", plain),
            ],
            vec![vec![0], vec![1], vec![2], vec![3]],
        ),
        (
            "later writers are no dependencies",
            vec![record("a", "b", &[]), record("b", "c", &[])],
            vec![vec![0, 1]],
        ),
    ] {
        let options = RuleOptions { concurrent_evals: true, ..options() };
        let manager = RuleManager::new(options);
        load(&manager, vec![group("g", rules)], 0);
        assert_eq!(manager.group_handles()[0].batches(), expected, "{name}");
    }
}

/// A thread for each piece of work.
struct Threads;

impl Hands for Threads {
    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for idx in 0..n {
                scope.spawn(move || work(idx));
            }
        });
    }
}

#[test]
fn side_by_side_or_in_turn_gives_the_same() {
    let evaluated = |concurrent_evals: bool, hands: &dyn Hands| {
        let world = World::new(MINUTE_MS, &[r#"m{i="a"} 1+1x9"#, r#"m{i="b"} 5+2x9"#]);
        let mut rules: Vec<RuleConfig> =
            (0..20).map(|n| record(&format!("r{n}"), &format!("m * {n}"), &[])).collect();
        rules.extend(
            (0..20).map(|n| record(&format!("s{n}"), &format!("r{n} + on (i) group_left () m"), &[])),
        );
        rules.push(alert("A", "s3 > 10", AlertSpec::default()));
        let manager = RuleManager::new(RuleOptions { concurrent_evals, ..options() });
        load(&manager, Vec::new(), 0);
        load(&manager, vec![group("g", rules)], 0);
        let group = manager.group_handles().remove(0);
        assert_eq!(group.batches().is_empty(), !concurrent_evals);
        let mut written = Vec::new();
        for minute in 0..5 {
            world.clock.set_ms(minute * MINUTE_MS);
            let report = group.evaluate(minute * MINUTE_MS, Equipment { hands, ..world.equipment() });
            assert_eq!((report.failures.len(), report.rule_durations_ns.len()), (0, 41));
            let mut now = std::mem::take(&mut *world.written.lock());
            now.sort();
            written.push(now);
        }
        written
    };
    let in_turn = evaluated(false, &OneHand);
    assert!(in_turn.iter().all(|written| written.len() >= 80));
    assert_eq!(evaluated(true, &Threads), in_turn);
    assert_eq!(evaluated(true, &OneHand), in_turn);
}

#[test]
fn work_that_a_reload_overtook_does_nothing() {
    let world = World::new(MINUTE_MS, &["a 1x99"]);
    let (manager, _) = running(group("g", vec![record("r", "a", &[])]));
    let due_ms = manager.next_due_ms().unwrap();
    let work = manager.due(due_ms).pop().unwrap();
    load(&manager, vec![group("g", vec![record("r", "a + 1", &[])])], due_ms);
    let DueWork::Evaluate(eval) = work else { panic!("a group is due") };
    eval.run(world.equipment());
    assert!(world.written.lock().is_empty());
    assert!(manager.next_due_ms().is_some_and(|next_ms| next_ms > due_ms));
}
