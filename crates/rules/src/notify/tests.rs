use std::collections::BTreeMap;

use base::Rng;
use model::regex::GoRegex;
use model::relabel::RelabelAction;

use super::*;

fn alert(name: &str) -> Notification {
    Notification {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: BTreeMap::from([("summary".to_owned(), "a < b & \"c\"\n".to_owned())]),
        starts_at_ms: 1_700_000_000_123,
        ends_at_ms: 1_700_000_240_000,
        generator_url: "http://h:9090/graph?g0.expr=up&g0.tab=1".to_owned(),
    }
}

fn set(key: &str) -> SetConfig {
    SetConfig { key: key.to_owned(), fingerprint: format!("fp-{key}"), alert_relabel: Vec::new() }
}

fn urls(urls: &[&str]) -> Discovered {
    Discovered { active: urls.iter().map(|url| (*url).to_owned()).collect(), dropped: Vec::new() }
}

fn notifier(queue_capacity: usize, batch_max: usize, drain_on_shutdown: bool) -> Notifier {
    let mut notifier = Notifier::new(NotifierOptions { queue_capacity, batch_max, drain_on_shutdown });
    notifier.apply(Labels::from_pairs([("region", "eu")]), Vec::new(), vec![set("0")]);
    notifier.sync("0", urls(&["http://a/api/v2/alerts"]));
    notifier
}

fn alerts(from: usize, to: usize) -> Vec<Notification> {
    (from..to).map(|n| alert(&format!("a{n}"))).collect()
}

/// Sends all that is ready, answering with `outcome`; the numbers of alerts per batch.
fn run(notifier: &mut Notifier, outcome: SendOutcome) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let Some(id) = notifier.ready().first().copied() {
        let batch = notifier.next_batch(id).unwrap();
        assert_eq!(notifier.next_batch(id), None, "one batch at a time");
        sizes.push(batch.n_alerts);
        notifier.on_result(id, outcome);
    }
    sizes
}

#[test]
fn the_body_is_upstreams() {
    let mut notifier = notifier(10, 10, true);
    notifier.send(&[alert("X")]);
    let id = notifier.ready()[0];
    let body = String::from_utf8(notifier.next_batch(id).unwrap().body).unwrap();
    let expected = concat!(
        r#"[{"annotations":{"summary":"a \u003c b \u0026 \"c\"\n"},"endsAt":"2023-11-14T22:17:20.000Z","#,
        r#""startsAt":"2023-11-14T22:13:20.123Z","generatorURL":"http://h:9090/graph?g0.expr=up\u0026g0.tab=1","#,
        r#""labels":{"alertname":"X","region":"eu"}}]"#
    );
    assert_eq!(body, expected);
}

#[test]
fn queues_are_bounded_and_lose_the_oldest() {
    let mut notifier = notifier(5, 2, true);
    notifier.send(&alerts(0, 4));
    notifier.send(&alerts(4, 7));
    assert_eq!(notifier.counters()[0].dropped_queue_full, 2);
    let id = notifier.ready()[0];
    let first = String::from_utf8(notifier.next_batch(id).unwrap().body).unwrap();
    assert!(first.contains("\"a2\"") && first.contains("\"a3\"") && !first.contains("\"a1\""), "{first}");
    notifier.on_result(id, SendOutcome::Accepted);
    assert_eq!(run(&mut notifier, SendOutcome::Accepted), [2, 1]);
    notifier.send(&alerts(0, 8));
    let counters = &notifier.counters()[0];
    assert_eq!((counters.sent, counters.dropped_queue_full, counters.queued), (5, 5, 5));
    assert_eq!(run(&mut notifier, SendOutcome::Failed), [2, 2, 1]);
    let counters = &notifier.counters()[0];
    assert_eq!((counters.errors, counters.dropped_failed, counters.dropped()), (5, 5, 10));
}

#[test]
fn a_slow_alertmanager_does_not_hold_up_another() {
    let mut notifier = notifier(10, 1, true);
    notifier.sync("0", urls(&["http://a/api/v2/alerts", "http://b/api/v2/alerts"]));
    notifier.send(&alerts(0, 2));
    let [a, b] = notifier.ready()[..] else { panic!("two are ready") };
    notifier.next_batch(a).unwrap();
    for _ in 0..2 {
        notifier.next_batch(b).unwrap();
        notifier.on_result(b, SendOutcome::Accepted);
    }
    let sent: Vec<u64> = notifier.counters().iter().map(|c| c.sent).collect();
    assert_eq!((sent, notifier.is_drained()), (vec![0, 2], false));
}

#[test]
fn alertmanagers_that_leave_are_drained_or_dropped() {
    for (drain, left) in [(true, 1), (false, 0)] {
        let mut notifier = notifier(10, 10, drain);
        notifier.send(&alerts(0, 3));
        notifier.sync("0", urls(&["http://b/api/v2/alerts"]));
        assert_eq!(notifier.active_urls(), ["http://b/api/v2/alerts"]);
        assert_eq!(notifier.ready().len(), left);
        run(&mut notifier, SendOutcome::Accepted);
        assert_eq!(notifier.counters().len(), 1, "those that left are forgotten once empty");
    }
}

#[test]
fn shutdown_drains_or_drops() {
    for (drain, sent, dropped) in [(true, 3, 0), (false, 0, 3)] {
        let mut notifier = notifier(10, 2, drain);
        notifier.send(&alerts(0, 3));
        notifier.begin_shutdown();
        notifier.send(&alerts(3, 9));
        run(&mut notifier, SendOutcome::Accepted);
        let counters = &notifier.counters()[0];
        assert_eq!((counters.sent, counters.dropped_shutdown), (sent, dropped));
        assert!(notifier.is_drained());
    }
}

#[test]
fn a_reload_keeps_queues_of_sets_that_stay() {
    let mut notifier = notifier(10, 10, true);
    notifier.send(&alerts(0, 3));
    let moved = SetConfig { key: "1".to_owned(), ..set("0") };
    notifier.apply(Labels::empty(), Vec::new(), vec![moved]);
    assert_eq!(notifier.counters()[0].queued, 3);
    notifier.apply(Labels::empty(), Vec::new(), vec![set("other")]);
    assert!(notifier.active_urls().is_empty());
    assert_eq!(run(&mut notifier, SendOutcome::Accepted), [3]);
    assert!(notifier.counters().is_empty());
}

#[test]
fn targets_become_urls() {
    let target = |address: &str| Labels::from_pairs([("__address__", address)]);
    for (prefix, expected) in [
        ("", "http://am:9093/api/v2/alerts"),
        ("/", "http://am:9093/api/v2/alerts"),
        ("/am/", "http://am:9093/am/api/v2/alerts"),
        ("x//y", "http://am:9093/x/y/api/v2/alerts"),
    ] {
        let found = discovered([&target("am:9093"), &target("am:9093")], "http", prefix, &[]).unwrap();
        assert_eq!(found.active, [expected], "{prefix}");
    }
    assert!(discovered([&target("am/x")], "http", "", &[]).is_err());
}

fn relabel_rule(
    action: RelabelAction,
    source: &str,
    regex: &str,
    target: &str,
    replacement: &str,
) -> RelabelConfig {
    RelabelConfig {
        source_labels: vec![source.to_owned()],
        regex: GoRegex::new_anchored(regex).unwrap(),
        target_label: target.to_owned(),
        replacement: replacement.to_owned(),
        action,
        ..RelabelConfig::default()
    }
}

#[test]
fn alerts_are_relabelled_for_all_and_for_each_set() {
    let mut notifier = Notifier::new(NotifierOptions::default());
    let for_all = vec![
        relabel_rule(RelabelAction::Drop, "alertname", "Watchdog", "", ""),
        relabel_rule(RelabelAction::Replace, "region", "(.*)", "zone", "${1}-1"),
    ];
    let only_b = relabel_rule(RelabelAction::Keep, "alertname", "B", "", "");
    let sets = vec![set("0"), SetConfig { alert_relabel: vec![only_b], ..set("1") }];
    notifier.apply(Labels::from_pairs([("region", "eu"), ("alertname", "never")]), for_all, sets);
    notifier.sync("0", urls(&["http://a/"]));
    notifier.sync("1", urls(&["http://b/"]));
    notifier.send(&[alert("A"), alert("B"), alert("Watchdog")]);
    let mut got = Vec::new();
    for id in notifier.ready() {
        let batch = notifier.next_batch(id).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
        let labels: Vec<String> =
            body.as_array().unwrap().iter().map(|alert| alert["labels"].to_string()).collect();
        got.push((batch.url, labels));
    }
    let a = r#"{"alertname":"A","region":"eu","zone":"eu-1"}"#.to_owned();
    let b = r#"{"alertname":"B","region":"eu","zone":"eu-1"}"#.to_owned();
    assert_eq!(got, [("http://a/".to_owned(), vec![a, b.clone()]), ("http://b/".to_owned(), vec![b])]);
}

#[test]
fn every_alert_is_queued_sent_or_counted_as_dropped() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut notifier = notifier(7, 3, seed % 2 == 0);
        let mut given = 0;
        let mut on_the_way = None;
        for _ in 0..100 {
            match rng.below(3) {
                0 => {
                    let n = usize::try_from(rng.below(12)).unwrap();
                    notifier.send(&alerts(0, n));
                    given += n as u64;
                }
                1 if on_the_way.is_none() => {
                    on_the_way = notifier.ready().first().copied();
                    on_the_way.map(|id| notifier.next_batch(id));
                }
                _ => {
                    let outcome = if rng.one_in(2) { SendOutcome::Accepted } else { SendOutcome::Failed };
                    if let Some(id) = on_the_way.take() {
                        notifier.on_result(id, outcome);
                    }
                }
            }
            let counters = &notifier.counters()[0];
            let known = counters.sent + counters.dropped() + (counters.queued + counters.on_the_way) as u64;
            assert_eq!((known, counters.queued <= 7), (given, true), "seed {seed}");
        }
    }
}
