use crate::alert::AlertState;
use crate::snapshot::RuleSnapshotKind;

use super::*;

const REQUESTS: [&str; 2] = [
    r#"http_requests{instance="0", severity="overwrite-me"} 75 85 95 105 105 95 85"#,
    r#"http_requests{instance="1", severity="overwrite-me"} 80 90 100 110 120 130 140"#,
];

/// The `ALERTS` samples written, as `state/instance`.
fn alert_states(written: &[String]) -> Vec<String> {
    let alerts = written.iter().filter(|line| line.starts_with("ALERTS{") && line.ends_with(" 1"));
    let part = |line: &str, label: &str| {
        let from = line.find(&format!("{label}=\"")).unwrap() + label.len() + 2;
        line[from..].split('"').next().unwrap().to_owned()
    };
    alerts.map(|line| format!("{}/{}", part(line, "alertstate"), part(line, "instance"))).collect()
}

#[test]
fn alerts_wait_fire_and_vanish() {
    let world = World::new(5 * MINUTE_MS, &REQUESTS);
    let spec =
        AlertSpec { for_ms: MINUTE_MS, labels: &[("severity", "{{\"c\"}}ritical")], ..AlertSpec::default() };
    let (_manager, group) = running(group("g", vec![alert("Low", "http_requests < 100", spec)]));
    for (minute, expected) in [
        (0, vec!["pending/0", "pending/1"]),
        (5, vec!["firing/0", "firing/1"]),
        (10, vec!["firing/0"]),
        (15, vec![]),
        (20, vec![]),
        (25, vec!["pending/0"]),
        (30, vec!["firing/0"]),
    ] {
        let (written, errors) = world.evaluate(&group, minute * MINUTE_MS);
        assert_eq!(
            (alert_states(&written), errors.len()),
            (expected.iter().map(ToString::to_string).collect(), 0),
            "{minute}"
        );
        if minute == 30 {
            let expected = r#"ALERTS_FOR_STATE{alertname="Low", instance="0", severity="critical"} 1500"#;
            assert!(written.iter().any(|line| line == expected), "{written:?}");
            let stale =
                r#"ALERTS{alertname="Low", alertstate="pending", instance="0", severity="critical"} stale"#;
            assert!(written.iter().any(|line| line == stale), "{written:?}");
        }
    }
}

/// A label without a value takes the label of the series away, in alerts and in records.
#[test]
fn an_empty_label_of_a_rule_removes_one() {
    let world = World::new(5 * MINUTE_MS, &[r#"up{instance="0", job="j"} 1x5"#]);
    let spec = AlertSpec { labels: &[("job", "")], ..AlertSpec::default() };
    let rules = vec![alert("A", "up", spec), record("r", "up", &[("job", ""), ("l", "v")])];
    let (_manager, group) = running(group("g", rules));
    let (written, errors) = world.evaluate(&group, 0);
    assert!(errors.is_empty(), "{errors:?}");
    for expected in
        [r#"ALERTS{alertname="A", alertstate="firing", instance="0"} 1"#, r#"r{instance="0", l="v"} 1"#]
    {
        assert!(written.iter().any(|line| line == expected), "no {expected} in {written:?}");
    }
}

#[test]
fn keep_firing_for_outlives_the_condition() {
    for (name, series, expected) in [
        // Fires at 1, the condition ends at 4, one more minute of firing.
        (
            "firing",
            "http_requests{instance=\"0\"} 75 85 70 70 10x5",
            "pending firing firing firing firing - -",
        ),
        // A pending alert is not kept.
        ("pending", "http_requests{instance=\"0\"} 75 10x10", "pending - - - - - -"),
        // The condition returns within the time: the clock starts anew.
        (
            "returning",
            "http_requests{instance=\"0\"} 75 85 10 70 10 10 10",
            "pending firing firing firing firing - -",
        ),
    ] {
        let world = World::new(MINUTE_MS, &[series]);
        let spec = AlertSpec { for_ms: MINUTE_MS, keep_firing_for_ms: MINUTE_MS, ..AlertSpec::default() };
        let (_manager, group) = running(group("g", vec![alert("High", "http_requests > 50", spec)]));
        let mut states = Vec::new();
        for minute in 0..7 {
            let (written, _) = world.evaluate(&group, minute * MINUTE_MS);
            let state = alert_states(&written).pop();
            states.push(state.map_or("-".to_owned(), |s| s.trim_end_matches("/0").to_owned()));
        }
        assert_eq!(states.join(" "), expected, "{name}");
    }
}

#[test]
fn limits_fail_the_rule_and_forget_its_alerts() {
    let series = [r#"metric{label="1"} 1x5"#, r#"metric{label="2"} 1x5"#];
    for (limit, alert_error, record_error) in [
        (0, None, None),
        (2, None, None),
        (1, Some("exceeded limit of 1 with 2 alerts"), Some("exceeded limit of 1 with 2 series")),
    ] {
        let world = World::new(MINUTE_MS, &series);
        let rules = vec![alert("A", "metric > 0", AlertSpec::default()), record("r", "metric", &[])];
        let (manager, group) = running(RuleGroupConfig { limit, ..group("g", rules) });
        let (_, errors) = world.evaluate(&group, 0);
        let expected: Vec<&str> = alert_error.into_iter().chain(record_error).collect();
        assert_eq!(errors, expected, "limit {limit}");
        assert_eq!(manager.active_alerts().is_empty(), limit == 1);
    }
}

#[test]
fn labels_that_collide_are_refused() {
    let world = World::new(MINUTE_MS, &[r#"m{l="1"} 1x5"#, r#"m{l="2"} 1x5"#]);
    let same = [("l", "x")];
    let rules = vec![
        alert("A", "m", AlertSpec { labels: &same, ..AlertSpec::default() }),
        record("r", "m", &same),
        record("s", "\"text\"", &[]),
    ];
    let (manager, group) = running(group("g", rules));
    let (written, errors) = world.evaluate(&group, 0);
    let expected = [
        "vector contains metrics with the same labelset after applying alert labels",
        "vector contains metrics with the same labelset after applying rule labels",
        "rule result is not a vector or scalar",
    ];
    assert_eq!((errors, written.len()), (expected.map(str::to_owned).to_vec(), 0));
    let rules = &manager.groups()[0].rules;
    assert_eq!((rules[1].health.as_str(), rules[1].last_error.as_deref()), ("err", Some(expected[1])));
    assert_eq!(manager.groups()[0].counters.evaluation_failures, 3);
}

#[test]
fn templates_see_labels_value_and_surroundings() {
    let world = World::new(MINUTE_MS, &[r#"m{instance="a:1", job="j"} 1.5x5"#, r#"other{job="j"} 7x5"#]);
    for (text, expected) in [
        ("{{ $labels.instance }} is {{ $value }}", "a:1 is 1.5"),
        ("{{ $externalLabels.region }} {{ $externalURL }} {{ pathPrefix }}", "eu http://h:9090/p /p"),
        ("{{ with query \"other\" }}{{ . | first | value }}{{ end }}", "7"),
        ("{{ $labels.missing }}", ""),
        ("plain", "plain"),
        (
            "{{ $nope }}",
            "<error expanding template: error parsing template __alert_A: template: __alert_A:1: undefined variable \"$nope\">",
        ),
        (
            "{{ humanize \"x\" }}",
            "<error expanding template: error executing template __alert_A: template: __alert_A:1:115: executing \"__alert_A\" at <humanize \"x\">: error calling humanize: strconv.ParseFloat: parsing \"x\": invalid syntax>",
        ),
    ] {
        let spec = AlertSpec { annotations: &[("a", text)], labels: &[("l", text)], ..AlertSpec::default() };
        let (manager, group) = running(group("g", vec![alert("A", "m", spec)]));
        world.evaluate(&group, MINUTE_MS);
        let alert = &manager.active_alerts()[0];
        assert_eq!(alert.annotations["a"], expected, "{text}");
        assert_eq!(alert.labels.get("l").unwrap_or(""), expected, "{text}");
    }
}

#[test]
fn notifications_repeat_after_the_resend_delay() {
    let world = World::new(MINUTE_MS, &["m 1 1 1 1 _ _ _ _ _ stale"]);
    let (_manager, group) = running(group("g", vec![alert("A", "m == 1", AlertSpec::default())]));
    let mut sent = Vec::new();
    for half_minute in 0..14 {
        let t_ms = half_minute * 30_000;
        world.evaluate(&group, t_ms);
        sent.extend(
            world.sent().into_iter().map(|n| (t_ms / 1000, n.starts_at_ms / 1000, n.ends_at_ms / 1000)),
        );
    }
    // Sent when first fired and each time more than a minute has passed; valid for four times the
    // longer of interval and resend delay.
    let expected = [(0, 0, 240), (90, 0, 330), (180, 0, 420), (270, 0, 510), (360, 0, 600)];
    assert_eq!(sent, expected);
}

#[test]
fn resolved_alerts_are_sent_for_a_quarter_of_an_hour() {
    let world = World::new(MINUTE_MS, &["m 1 0x40"]);
    let (manager, group) = running(group("g", vec![alert("A", "m == 1", AlertSpec::default())]));
    let mut sent_at = Vec::new();
    for minute in 0..20 {
        world.evaluate(&group, minute * MINUTE_MS);
        for sent in world.sent() {
            assert_eq!(sent.generator_url, "http://h:9090/p/graph?g0.expr=m+%3D%3D+1&g0.tab=1");
            if minute > 0 {
                assert_eq!((sent.starts_at_ms, sent.ends_at_ms), (0, MINUTE_MS));
                sent_at.push(minute);
            }
        }
        assert!(minute == 0 || manager.active_alerts().is_empty());
    }
    assert_eq!(sent_at, [1, 3, 5, 7, 9, 11, 13, 15]);
}

#[test]
fn a_rule_shows_its_gravest_alert() {
    let world = World::new(MINUTE_MS, &[r#"m{i="a"} 1x9"#, r#"m{i="b"} _ _ 1x9"#]);
    let spec = AlertSpec { for_ms: MINUTE_MS, ..AlertSpec::default() };
    let (manager, group) = running(group("g", vec![alert("A", "m", spec)]));
    let state = || match &manager.groups()[0].rules[0].kind {
        RuleSnapshotKind::Alerting { state, alerts, .. } => (state.as_str(), alerts.len()),
        RuleSnapshotKind::Recording => panic!("it is an alert"),
    };
    assert_eq!(state(), (AlertState::Unknown.as_str(), 0));
    for (minute, expected) in [(0, ("pending", 1)), (1, ("firing", 1)), (2, ("firing", 2))] {
        world.evaluate(&group, minute * MINUTE_MS);
        assert_eq!(state(), expected, "{minute}");
    }
}
