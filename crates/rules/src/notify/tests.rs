use std::collections::BTreeMap;

use base::Rng;
use model::regex::GoRegex;
use model::relabel::RelabelAction;

use super::*;

const NOW_MS: i64 = 1_700_000_000_123;

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
    while let Some(id) = notifier.ready(NOW_MS).first().copied() {
        let batch = notifier.next_batch(id, NOW_MS).unwrap();
        assert_eq!(notifier.next_batch(id, NOW_MS), None, "one batch at a time");
        sizes.push(batch.n_alerts);
        notifier.on_result(id, outcome, NOW_MS);
    }
    sizes
}

#[test]
fn the_body_is_upstreams() {
    let mut notifier = notifier(10, 10, true);
    notifier.send(&[alert("X")]);
    let id = notifier.ready(NOW_MS)[0];
    let body = String::from_utf8(notifier.next_batch(id, NOW_MS).unwrap().body).unwrap();
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
    let id = notifier.ready(NOW_MS)[0];
    let first = String::from_utf8(notifier.next_batch(id, NOW_MS).unwrap().body).unwrap();
    assert!(first.contains("\"a2\"") && first.contains("\"a3\"") && !first.contains("\"a1\""), "{first}");
    notifier.on_result(id, SendOutcome::Accepted, NOW_MS);
    assert_eq!(run(&mut notifier, SendOutcome::Accepted), [2, 1]);
    notifier.send(&alerts(0, 8));
    let counters = &notifier.counters()[0];
    assert_eq!((counters.sent, counters.dropped_queue_full, counters.queued), (5, 5, 5));
    assert_eq!(run(&mut notifier, SendOutcome::Rejected), [2, 2, 1]);
    let counters = &notifier.counters()[0];
    assert_eq!((counters.errors, counters.dropped_failed, counters.dropped()), (5, 5, 10));
}

/// The alertnames of a batch and when each alert ends.
fn contents(batch: &Batch) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
    let alerts = body.as_array().unwrap().iter();
    alerts.map(|a| a["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_failed_batch_is_tried_again_after_pauses_that_double() {
    let mut notifier = notifier(10, 2, true);
    notifier.send(&alerts(0, 3));
    let (mut now_ms, mut pauses_ms) = (NOW_MS, Vec::new());
    let id = notifier.ready(now_ms)[0];
    for _ in 0..7 {
        assert_eq!(contents(&notifier.next_batch(id, now_ms).unwrap()), ["a0", "a1"]);
        assert_eq!(notifier.next_due_ms(), None, "a batch on the way has no pause to wait for");
        notifier.on_result(id, SendOutcome::Retry, now_ms);
        let due_ms = notifier.next_due_ms().unwrap();
        assert!(notifier.ready(due_ms - 1).is_empty() && notifier.next_batch(id, due_ms - 1).is_none());
        pauses_ms.push(due_ms - now_ms);
        now_ms = due_ms;
    }
    assert_eq!(pauses_ms, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    for expected in [vec!["a0", "a1"], vec!["a2"]] {
        assert_eq!(contents(&notifier.next_batch(id, now_ms).unwrap()), expected);
        notifier.on_result(id, SendOutcome::Accepted, now_ms);
    }
    let counters = &notifier.counters()[0];
    assert_eq!((counters.sent, counters.errors, counters.dropped()), (3, 14, 0));
    assert_eq!(notifier.next_due_ms(), None);
    notifier.send(&alerts(0, 1));
    notifier.next_batch(id, now_ms).unwrap();
    notifier.on_result(id, SendOutcome::Retry, now_ms);
    assert_eq!(notifier.next_due_ms(), Some(now_ms + 1_000), "success forgets the failures");
}

#[test]
fn what_waits_is_replaced_dropped_or_kept() {
    const HOUR_MS: i64 = 3_600_000;
    let state = |name: &str, ends_at_ms| Notification { ends_at_ms, ..alert(name) };
    let later = NOW_MS + HOUR_MS;
    // Queued while the batch is on the way, queued during the pause, when the retry is, its
    // contents, replaced, dropped as ended, dropped as overflow.
    type Case<'a> = (&'a [Notification], &'a [Notification], i64, &'a [&'a str], [u64; 3]);
    let cases: [Case<'_>; 6] = [
        (&[], &[], 1_000, &["a0", "a1"], [0, 0, 0]),
        (&[state("a0", later)], &[], 1_000, &["a1", "a0"], [1, 0, 0]),
        (&[], &[state("a0", later), state("a2", later)], 1_000, &["a0", "a1", "a2"], [1, 0, 0]),
        (&[], &[], HOUR_MS, &[], [0, 2, 0]),
        (&[], &[state("a1", later)], HOUR_MS, &["a1"], [1, 1, 0]),
        (&[state("b", later), state("c", later)], &[], 1_000, &["a1", "b", "c"], [0, 0, 1]),
    ];
    for (on_the_way, paused, after_ms, expected, counts) in cases {
        let mut notifier = notifier(3, 10, true);
        notifier.send(&alerts(0, 2));
        let id = notifier.ready(NOW_MS)[0];
        notifier.next_batch(id, NOW_MS).unwrap();
        notifier.send(on_the_way);
        notifier.on_result(id, SendOutcome::Retry, NOW_MS);
        notifier.send(paused);
        let batch = notifier.next_batch(id, NOW_MS + after_ms);
        assert_eq!(batch.as_ref().map(contents).unwrap_or_default(), expected);
        let counters = &notifier.counters()[0];
        assert_eq!([counters.replaced, counters.dropped_ended, counters.dropped_queue_full], counts);
        if let Some(batch) = batch
            && counts[0] > 0
        {
            let body = String::from_utf8(batch.body).unwrap();
            assert!(body.contains("23:13:20.123Z"), "the newer state is sent: {body}");
        }
    }
}

#[test]
fn a_clock_set_back_ends_a_pause_and_one_that_left_gets_no_second_try() {
    let mut notifier = notifier(10, 2, true);
    notifier.send(&alerts(0, 3));
    let id = notifier.ready(NOW_MS)[0];
    notifier.next_batch(id, NOW_MS).unwrap();
    notifier.on_result(id, SendOutcome::Retry, NOW_MS);
    assert_eq!(notifier.ready(NOW_MS + 999), []);
    assert_eq!(notifier.ready(NOW_MS - 3_600_000), [id]);
    notifier.sync("0", Discovered::default());
    assert!(!notifier.is_drained());
    notifier.next_batch(id, NOW_MS + 1_000).unwrap();
    notifier.on_result(id, SendOutcome::Retry, NOW_MS + 1_000);
    assert!(notifier.is_drained() && notifier.counters().is_empty());
}

#[test]
fn batches_that_fail_at_shutdown_are_retried_only_while_draining() {
    for (drain, drained, dropped) in [(true, false, 0), (false, true, 2)] {
        let mut notifier = notifier(10, 2, drain);
        notifier.send(&alerts(0, 2));
        let id = notifier.ready(NOW_MS)[0];
        notifier.next_batch(id, NOW_MS).unwrap();
        notifier.begin_shutdown();
        notifier.on_result(id, SendOutcome::Retry, NOW_MS);
        assert_eq!((notifier.is_drained(), notifier.counters()[0].dropped_shutdown), (drained, dropped));
        assert_eq!(notifier.next_due_ms().is_some(), drain);
    }
}

#[test]
fn a_slow_alertmanager_does_not_hold_up_another() {
    let mut notifier = notifier(10, 1, true);
    notifier.sync("0", urls(&["http://a/api/v2/alerts", "http://b/api/v2/alerts"]));
    notifier.send(&alerts(0, 2));
    let [a, b] = notifier.ready(NOW_MS)[..] else { panic!("two are ready") };
    notifier.next_batch(a, NOW_MS).unwrap();
    for _ in 0..2 {
        notifier.next_batch(b, NOW_MS).unwrap();
        notifier.on_result(b, SendOutcome::Accepted, NOW_MS);
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
        assert_eq!(notifier.ready(NOW_MS).len(), left);
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
    for id in notifier.ready(NOW_MS) {
        let batch = notifier.next_batch(id, NOW_MS).unwrap();
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
        let mut now_ms = NOW_MS;
        let mut on_the_way = None;
        for _ in 0..100 {
            match rng.below(3) {
                0 => {
                    let n = usize::try_from(rng.below(12)).unwrap();
                    notifier.send(&alerts(0, n));
                    given += n as u64;
                }
                1 if on_the_way.is_none() => {
                    on_the_way = notifier.ready(now_ms).first().copied();
                    on_the_way.map(|id| notifier.next_batch(id, now_ms));
                }
                _ => {
                    let outcome = match rng.below(3) {
                        0 => SendOutcome::Accepted,
                        1 => SendOutcome::Rejected,
                        _ => SendOutcome::Retry,
                    };
                    now_ms += 20_000;
                    if let Some(id) = on_the_way.take() {
                        notifier.on_result(id, outcome, now_ms);
                    }
                }
            }
            let counters = &notifier.counters()[0];
            let known = counters.sent
                + counters.dropped()
                + counters.replaced
                + (counters.queued + counters.on_the_way) as u64;
            assert_eq!((known, counters.queued <= 7), (given, true), "seed {seed}");
        }
    }
}
