//! Matchers over live series and parts, against filtering every series.

use model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;

use crate::bench::{Bench, NOW_MS, labels};

/// Series whose labels come and go and share prefixes.
fn population() -> Vec<Labels> {
    let mut all = Vec::new();
    for i in 0..60u32 {
        let mut pairs = vec![("__name__".to_owned(), format!("m{}", i % 3))];
        if i % 4 != 0 {
            pairs.push(("job".to_owned(), ["api", "api-gateway", "db", "дb"][i as usize % 4].to_owned()));
        }
        if i % 5 == 0 {
            pairs.push(("zone".to_owned(), format!("z{}", i % 7)));
        }
        pairs.push(("instance".to_owned(), format!("host-{i}:9100")));
        all.push(Labels::from_pairs(pairs));
    }
    all
}

fn check(bench: &Bench, population: &[Labels], matchers: &[Matcher]) {
    let matches = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or("")));
    let mut expected: Vec<&Labels> = population.iter().filter(|labels| matches(labels)).collect();
    expected.sort();
    let contents = bench.read(matchers, 0, NOW_MS);
    let found: Vec<&Labels> = contents.keys().collect();
    assert_eq!(found, expected, "{matchers:?}");
    let scope =
        store_metrics::LabelScope { selectors: &[matchers.to_vec()], start_ms: 0, end_ms: NOW_MS, limit: 0 };
    let view = bench.store().view();
    for name in ["job", "zone", "__name__"] {
        let mut values: Vec<&str> = expected.iter().filter_map(|labels| labels.get(name)).collect();
        values.sort_unstable();
        values.dedup();
        let found = view
            .label_values(
                &bench.tenant,
                name,
                &scope,
                &base::Budget::unlimited(),
                &base::CancelToken::unbounded(),
            )
            .unwrap()
            .values;
        assert_eq!(found, values, "{name} {matchers:?}");
    }
}

/// Half of the series in two parts, the rest live, some in both.
fn filled(population: &[Labels]) -> Bench {
    let bench = Bench::new();
    for (round, range) in [(0, 0..30), (1, 20..45), (2, 40..60)] {
        let rows: Vec<_> =
            population[range].iter().map(|labels| (labels, NOW_MS - 10 + round, 1.0)).collect();
        bench.append(&rows);
        if round < 2 {
            bench.store().cut().unwrap();
        }
    }
    bench
}

#[test]
fn matchers_select_what_a_filter_would() {
    let population = population();
    let bench = filled(&population);
    let values = [
        "",
        "api",
        "api|db",
        "api.*",
        "a.+",
        ".*",
        ".+",
        "(api|db)?",
        ".*b",
        "m1",
        "m[01]",
        "z0|",
        "nothing",
        "host-1.:9100",
        "host-5:9100",
        "(?i)API",
        "api-.*|d.",
        "дb",
        ".",
    ];
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    for name in ["job", "zone", "__name__", "instance", "absent"] {
        for value in values {
            for op in ops {
                check(&bench, &population, &[Matcher::new(op, name, value).unwrap()]);
            }
        }
    }
    check(&bench, &population, &[]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn combined_matchers_select_what_a_filter_would(
        picks in proptest::collection::vec((0usize..4, 0usize..4, 0usize..8), 1..4),
    ) {
        let population = population();
        let bench = filled(&population);
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let names = ["job", "zone", "__name__", "absent"];
        let values = ["", "api", "db|дb", "api.*", ".*", ".+", "z[0-3]", "m0"];
        let matcher = |(op, name, value): (usize, usize, usize)| {
            Matcher::new(ops[op], names[name], values[value]).unwrap()
        };
        let matchers: Vec<Matcher> = picks.into_iter().map(matcher).collect();
        check(&bench, &population, &matchers);
    }

    #[test]
    fn every_value_is_found_by_its_exact_matcher(seed in 0usize..60) {
        let population = population();
        let bench = filled(&population);
        for (name, value) in &population[seed] {
            check(&bench, &population, &[Matcher::equal(name, value)]);
        }
        prop_assert_eq!(bench.read(&[Matcher::equal("job", "ap")], 0, NOW_MS).len(), 0);
        prop_assert!(labels(&[]).is_empty());
    }
}
