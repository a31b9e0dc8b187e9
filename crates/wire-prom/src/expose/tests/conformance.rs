//! Upstream's own cases, read where they lie.

use std::path::Path;

use super::*;

/// The conformance data, or `None` with a line saying that the test was skipped.
fn shared(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SEXTANT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = root.join("conformance/metrics").join(what);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: needs ../shared ({what})");
    None
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn bytes_of(input: &serde_json::Value) -> Vec<u8> {
    match (input.as_str(), input.get("hex").and_then(|h| h.as_str())) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (_, Some(hex)) => {
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
        }
        _ => panic!("neither text nor hex: {input}"),
    }
}

#[test]
fn errors_are_upstreams() {
    let Some(path) = shared("derived/textparse_error_cases.json") else { return };
    let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut checked = 0;
    for (table, format) in [
        ("prom_text_errors", Format::Text),
        ("prom_text_null_bytes", Format::Text),
        ("openmetrics_errors", Format::OpenMetrics),
        ("openmetrics_null_bytes", Format::OpenMetrics),
    ] {
        for case in cases[table].as_array().unwrap() {
            let input = bytes_of(&case["input"]);
            // `EOF` is upstream's way to say that the input was read to its end.
            let expected = case["err"].as_str().filter(|e| !e.is_empty() && *e != "EOF");
            let got = outcome(&input, format, ParserOptions::default()).err();
            assert_eq!(got.as_deref(), expected, "{table}: {:?}", String::from_utf8_lossy(&input));
            checked += 1;
        }
    }
    assert_eq!(checked, 111);
}

/// Cases of the OpenMetrics suite that must be refused by a validating reader, which neither
/// Prometheus nor we are: a scrape checks syntax, not what a whole exposition means. By reason.
const ACCEPTED_AS_UPSTREAM: [(&str, &[&str]); 11] = [
    (
        "names of different families may clash: families are not compared",
        &["bad_clashing_names_0", "bad_clashing_names_1", "bad_clashing_names_2"],
    ),
    (
        "values need not suit the type: a counter may be negative or NaN",
        &[
            "bad_counter_values_0",
            "bad_counter_values_1",
            "bad_counter_values_10",
            "bad_counter_values_11",
            "bad_counter_values_12",
            "bad_counter_values_13",
            "bad_counter_values_14",
            "bad_counter_values_15",
            "bad_counter_values_16",
            "bad_counter_values_17",
            "bad_counter_values_18",
            "bad_counter_values_19",
            "bad_counter_values_2",
            "bad_counter_values_3",
            "bad_counter_values_4",
            "bad_counter_values_5",
            "bad_counter_values_6",
            "bad_counter_values_7",
            "bad_counter_values_8",
            "bad_counter_values_9",
            "bad_info_and_stateset_values_0",
            "bad_info_and_stateset_values_1",
        ],
    ),
    (
        "exemplars may have any length, characters and place",
        &["bad_exemplar_complex_chars", "bad_exemplars_6"],
    ),
    (
        "exemplars may stand on metrics of any type",
        &[
            "bad_exemplars_on_unallowed_metric_types_0",
            "bad_exemplars_on_unallowed_metric_types_1",
            "bad_exemplars_on_unallowed_metric_types_2",
            "bad_exemplars_on_unallowed_samples_0",
            "bad_exemplars_on_unallowed_samples_1",
            "bad_exemplars_on_unallowed_samples_2",
            "bad_exemplars_on_unallowed_samples_3",
        ],
    ),
    (
        "series of one family need not stand together or in order",
        &[
            "bad_grouping_or_ordering_0",
            "bad_grouping_or_ordering_10",
            "bad_grouping_or_ordering_2",
            "bad_grouping_or_ordering_3",
            "bad_grouping_or_ordering_4",
            "bad_grouping_or_ordering_5",
            "bad_grouping_or_ordering_6",
            "bad_grouping_or_ordering_7",
            "bad_grouping_or_ordering_8",
            "bad_grouping_or_ordering_9",
        ],
    ),
    (
        "a histogram's buckets are not compared with each other",
        &[
            "bad_histograms_0",
            "bad_histograms_1",
            "bad_histograms_10",
            "bad_histograms_11",
            "bad_histograms_12",
            "bad_histograms_13",
            "bad_histograms_14",
            "bad_histograms_2",
            "bad_histograms_3",
            "bad_histograms_6",
            "bad_histograms_7",
            "bad_histograms_8",
            "bad_histograms_9",
        ],
    ),
    (
        "labels are checked when series are stored: a duplicate or reserved name is refused there",
        &["bad_invalid_labels_2", "bad_invalid_labels_5"],
    ),
    (
        "metadata may stand behind the series it describes, and be repeated",
        &[
            "bad_metadata_in_wrong_place_0",
            "bad_metadata_in_wrong_place_1",
            "bad_metadata_in_wrong_place_2",
            "bad_repeated_metadata_0",
            "bad_repeated_metadata_1",
            "bad_repeated_metadata_3",
        ],
    ),
    ("a comma may follow the last label", &["bad_missing_or_extra_commas_2"]),
    (
        "labels that a type needs (le, quantile, the state) may be missing",
        &[
            "bad_missing_or_invalid_labels_for_a_type_0",
            "bad_missing_or_invalid_labels_for_a_type_1",
            "bad_missing_or_invalid_labels_for_a_type_2",
            "bad_missing_or_invalid_labels_for_a_type_3",
            "bad_missing_or_invalid_labels_for_a_type_4",
            "bad_missing_or_invalid_labels_for_a_type_5",
            "bad_missing_or_invalid_labels_for_a_type_6",
            "bad_missing_or_invalid_labels_for_a_type_7",
            "bad_stateset_info_values_0",
            "bad_stateset_info_values_1",
            "bad_stateset_info_values_2",
            "bad_stateset_info_values_3",
        ],
    ),
    ("a unit need only end the name, whatever the type", &["bad_unit_6", "bad_unit_7"]),
];

#[test]
fn the_openmetrics_suite_parses_as_upstream_parses_it() {
    let Some(path) = shared("OpenMetrics/tests/testdata/parsers") else { return };
    let mut deviations = Vec::new();
    let mut cases = 0;
    for dir in files_of(&path) {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let test: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.join("test.json")).unwrap()).unwrap();
        let body = std::fs::read(dir.join(test["file"].as_str().unwrap())).unwrap();
        let got = outcome(&body, Format::OpenMetrics, ParserOptions::default());
        if got.is_ok() != test["shouldParse"].as_bool().unwrap() {
            deviations.push((name, got.err()));
        }
        cases += 1;
    }
    assert_eq!(cases, 211);
    let mut accepted: Vec<&str> =
        ACCEPTED_AS_UPSTREAM.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    accepted.sort_unstable();
    let found: Vec<&str> = deviations.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, accepted, "{deviations:#?}");
}

#[test]
fn real_expositions_parse_in_every_mode() {
    let Some(path) = shared("prometheus/model/textparse/testdata") else { return };
    for file in files_of(&path) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let body = std::fs::read(&file).unwrap();
        let format = if name.ends_with(".om.txt") { Format::OpenMetrics } else { Format::Text };
        for bits in 0..16 {
            let options = ParserOptions {
                type_and_unit_labels: bits & 1 != 0,
                convert_classic_to_nhcb: bits & 2 != 0,
                keep_classic: bits & 4 != 0,
                start_timestamps: bits & 8 != 0,
                ..ParserOptions::default()
            };
            let listing = listing(&body, format, options);
            let error = listing.lines().find(|l| l.starts_with("error ") || l.starts_with("labels "));
            assert_eq!(error, None, "{name} {options:?}");
            assert!(listing.lines().count() >= 4, "{name}: {listing}");
        }
    }
}

#[test]
fn fuzz_corpora_never_panic() {
    let Some(corpus) = shared("common/expfmt/fuzz/corpus") else { return };
    let Some(testdata) = shared("common/expfmt/testdata") else { return };
    let mut files = files_of(&corpus);
    files.extend(files_of(&testdata));
    assert!(files.len() >= 31, "{} files", files.len());
    for (file, format, entries) in [
        ("protobuf", Format::Protobuf, 100),
        ("protobuf-multimessage", Format::Protobuf, 5),
        ("text", Format::Text, 100),
    ] {
        let body = std::fs::read(testdata.join(file)).unwrap();
        let got = outcome(&body, format, ParserOptions::default());
        assert!(got.as_ref().is_ok_and(|n| *n >= entries), "{file}: {got:?}");
    }
    for file in files {
        let body = std::fs::read(&file).unwrap();
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let _ = listing(&body, format, ParserOptions::default());
        }
    }
}
