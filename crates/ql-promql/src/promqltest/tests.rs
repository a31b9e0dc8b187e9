//! What the runner refuses, and what it lets pass.

use super::script::Script;
use super::{run, start_times};

const LOADED: &str = "load 5m\n  m{a=\"1\"} 0+10x10\n  m{a=\"2\"} 0+20x10\n  h {{schema:0 count:3 sum:4 buckets:[1 2]}}x10\n\n";

/// The failures of a script that begins with [`LOADED`], each as text.
fn failures(script: &str) -> Vec<String> {
    let report = run(&format!("{LOADED}{script}")).unwrap_or_else(|e| panic!("{script}\n{e}"));
    report.failures.iter().map(ToString::to_string).collect()
}

#[test]
fn what_comes_out_as_stated_passes() {
    for script in [
        "eval instant at 5m m\n  m{a=\"1\"} 10\n  m{a=\"2\"} 20",
        "eval instant at 5m sort_desc(m)\n  expect ordered\n  m{a=\"2\"} 20\n  m{a=\"1\"} 10",
        "eval range from 0 to 10m step 5m sum(m)\n  {} 0 30 60",
        "eval range from 0 to 20m step 5m m{a=\"1\"} > 5 < 30\n  m{a=\"1\"} _ 10 20",
        "eval instant at 5m m{a=\"1\"}[10m]\n  expect range vector from 0 to 5m step 5m\n  m{a=\"1\"} 0 10",
        "eval instant at 5m 1 + 1\n  2",
        "eval instant at 5m \"text\"\n  expect string \"text\"",
        "eval instant at 5m nothing",
        "eval instant at 5m h\n  h {{schema:0 count:3 sum:4.000001 buckets:[1 2]}}",
        "eval instant at 5m ceil({a=~\"1|2\"})\n  expect no_warn\n  expect no_info\n  {a=\"1\"} 10\n  {a=\"2\"} 20",
        "eval instant at 5m m + on (b) m\n  expect fail regex: many-to-many|duplicate series",
        "eval_fail instant at 5m m + on (b) m",
        "eval instant at 5m quantile(2, m)\n  expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)\n  {} Inf",
        "eval_warn instant at 5m quantile(2, m)\n  {} Inf",
        "eval instant at 5m quantile(2, m)\n  {} Inf",
    ] {
        assert_eq!(failures(script), [""; 0], "{script}");
    }
}

#[test]
fn what_differs_is_reported_with_line_query_and_values() {
    for (script, expected) in [
        (
            "eval instant at 5m m{a=\"1\"}\n  m{a=\"1\"} 11",
            "6: m{a=\"1\"} at 300000 ms\n    {__name__=\"m\", a=\"1\"}: expected 11, got 10",
        ),
        (
            "eval instant at 5m m\n  m{a=\"1\"} 10",
            "6: m at 300000 ms\n    expected nothing for {__name__=\"m\", a=\"2\"}, got 20",
        ),
        (
            "eval instant at 5m m{a=\"1\"}\n  m{a=\"1\"} 10\n  m{a=\"3\"} 10",
            "6: m{a=\"1\"} at 300000 ms\n    {__name__=\"m\", a=\"3\"} is missing, expected 10",
        ),
        (
            "eval instant at 5m sort(m)\n  expect ordered\n  m{a=\"2\"} 20\n  m{a=\"1\"} 10",
            "6: sort(m) at 300000 ms\n    {__name__=\"m\", a=\"1\"} is at position 1, expected at 2",
        ),
        (
            "eval range from 0 to 10m step 5m sum(m)\n  {} 0 30 _",
            "6: sum(m) from 0 to 600000 ms step 300000 ms\n    {}: expected 0@0 30@300000, got 0@0 30@300000 60@600000",
        ),
        ("eval instant at 5m 1 + 1\n  3", "6: 1 + 1 at 300000 ms\n    expected 3, got the scalar 2"),
        (
            "eval instant at 5m h\n  h {{schema:0 count:3 sum:5 buckets:[1 2]}}",
            "6: h at 300000 ms\n    {__name__=\"h\"}: expected {{count:3 sum:5 buckets:[1 2]}}, got {{count:3 sum:4 counter_reset_hint:not_reset buckets:[1 2]}}",
        ),
        ("eval_fail instant at 5m m", "6: m at 300000 ms\n    the query should have failed"),
        (
            "eval_warn instant at 5m m\n  m{a=\"1\"} 10\n  m{a=\"2\"} 20",
            "6: m at 300000 ms\n    expected warn annotations, got none",
        ),
        (
            "eval instant at 5m quantile(2, m)\n  expect no_warn\n  {} Inf",
            "6: quantile(2, m) at 300000 ms\n    unexpected warn annotation \"PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)\"",
        ),
    ] {
        assert_eq!(failures(script), [expected], "{script}");
    }
}

#[test]
fn classic_histograms_load_as_native_ones_too() {
    let script = "load_with_nhcb 1m\n  c_bucket{le=\"1\"} 1\n  c_bucket{le=\"+Inf\"} 3\n  c_sum 5\n\neval instant at 0 c\n  c {{schema:-53 count:3 sum:5 custom_values:[1] buckets:[1 2]}}";
    assert_eq!(failures(script), [""; 0]);
}

#[test]
fn series_that_cannot_be_loaded_are_reported() {
    for (script, expected) in [
        ("load 290y\n  m 0x2000000", "6: {__name__=\"m\"} has samples beyond the end of time"),
        ("load_with_nhcb 1m\n  c_bucket 1", "6: {__name__=\"c_bucket\"} has no label \"le\""),
        (
            "load_with_nhcb 1m\n  c_bucket{le=\"+Inf\"} 2\n  c_count 1",
            "6: classic histogram {__name__=\"c\"} at 0 ms: count mismatch: count=1 != le=+Inf count=2",
        ),
    ] {
        let got = failures(script);
        assert!(got.len() == 1 && got[0].starts_with(expected), "{script}\n{got:?}");
    }
}

#[test]
fn malformed_scripts_are_refused_with_the_line() {
    for (script, expected) in [
        ("foo", "line 1: invalid command \"foo\""),
        ("\nload x\n  m 1", "line 2: invalid duration \"x\": not a valid duration string: \"x\""),
        ("eval instant m", "line 1: invalid evaluation command"),
        ("eval range from 5m to 0 step 1m m", "line 1: end timestamp (0) is before start timestamp (5m)"),
        (
            "eval instant at 0 m\n  m 1 2",
            "line 2: expecting multiple values in instant evaluation not allowed",
        ),
        ("eval instant at 0 m\n  expect nonsense", "line 2: invalid expect statement"),
        (
            "eval instant at 0 m\n  expect warn\n  expect no_warn",
            "line 3: warn and no_warn cannot be used together",
        ),
        (
            "eval instant at 0 m\n  expect fail\n  expect fail",
            "line 3: multiple expect fail lines are not allowed",
        ),
        ("eval instant at 0 m\n  expect string x", "line 2: the expected string must be quoted"),
        ("eval instant at 0 m\n  expect fail regex:(", "line 2: invalid regular expression"),
        ("load 1m\n  m@st 0s\n", "line 3: @st line has no following sample line"),
        ("load 1m\n  m@st 0s\n  n 1", "line 3: @st metric does not match the following sample line metric"),
        ("load 1m\n  m@st 0s\n  m 1 2", "line 3: @st line has 1 values but sample line has 2"),
        ("load 1m\n  m@st 0q\n  m 1", "line 2: invalid start timestamp \"0q\""),
    ] {
        let error = Script::parse(script).expect_err(script).to_string();
        assert!(error.starts_with(expected), "{script:?}\n{error}\n{expected}");
    }
}

#[test]
fn start_timestamps_expand() {
    let cases: [(&str, &[Option<i64>]); 5] = [
        ("_ -1m", &[None, Some(-60_000)]),
        ("_x2", &[None, None]),
        ("30sx2", &[Some(30_000); 3]),
        ("-1m+15sx2", &[Some(-60_000), Some(-45_000), Some(-30_000)]),
        ("1s-500msx1", &[Some(1_000), Some(500)]),
    ];
    for (text, expected) in cases {
        assert_eq!(start_times::parse_values(text).as_deref(), Ok(expected), "{text}");
    }
    for bad in ["x", "_x0", "1s+", "1s+1s", "1sx", "-", "1sx9999999999"] {
        assert!(start_times::parse_values(bad).is_err(), "{bad}");
    }
}
