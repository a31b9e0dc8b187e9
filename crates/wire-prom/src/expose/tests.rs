use std::path::PathBuf;

use model::LabelsBuilder;

use super::*;

mod conformance;
mod entries;

/// Reads to the end; `EOF` counts as no error.
fn outcome(body: &[u8], format: Format, options: ParserOptions) -> Result<usize, String> {
    let mut parser = Parser::new(body, format, options);
    let mut entries = 0;
    loop {
        match parser.next_entry() {
            Ok(Some(_)) => entries += 1,
            Ok(None) => return Ok(entries),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Every entry on a line of its own.
fn listing(body: &[u8], format: Format, options: ParserOptions) -> String {
    let mut parser = Parser::new(body, format, options);
    let mut builder = LabelsBuilder::new();
    let mut out = String::new();
    loop {
        let line = match parser.next_entry() {
            Ok(None) => return out,
            Err(error) => format!("error {error}"),
            Ok(Some(entry)) => shown(&entry, &mut builder),
        };
        out.push_str(&line);
        out.push('\n');
        if line.starts_with("error ") {
            return out;
        }
    }
}

fn shown(entry: &Entry<'_>, builder: &mut LabelsBuilder) -> String {
    let mut exemplars = Vec::new();
    let (labels, timestamp_ms, value, st) = match entry {
        Entry::Help { name, help } => return format!("help {name} {help:?}"),
        Entry::Type { name, metric_type } => return format!("type {name} {metric_type}"),
        Entry::Unit { name, unit } => return format!("unit {name} {unit}"),
        Entry::Comment(text) => return format!("comment {}", String::from_utf8_lossy(text)),
        Entry::Series(series) => {
            series.exemplars(&mut exemplars);
            let value = base::gofloat::format_g(series.value);
            (series.labels(builder), series.timestamp_ms, value, series.start_timestamp_ms)
        }
        Entry::Histogram(h) => {
            h.exemplars(&mut exemplars);
            let value = format!("{} {:?}", h.histogram, h.histogram.custom_values);
            (h.labels(builder), h.timestamp_ms, value, h.start_timestamp_ms)
        }
    };
    let mut line = match labels {
        Ok(()) => format!("{} = {value}", builder.build()),
        Err(error) => return format!("labels {error}"),
    };
    if let Some(t) = timestamp_ms {
        line.push_str(&format!(" @{t}"));
    }
    if st != 0 {
        line.push_str(&format!(" st {st}"));
    }
    for exemplar in exemplars {
        let at = if exemplar.has_t { exemplar.t.to_string() } else { "-".to_owned() };
        line.push_str(&format!(" # {} {} @{at}", exemplar.labels, exemplar.value));
    }
    line
}

#[test]
fn random_bytes_never_panic() {
    const WORDS: [&str; 24] = [
        "# HELP ",
        "# TYPE ",
        "# UNIT ",
        "# EOF",
        "a",
        "{",
        "}",
        "=",
        "\"",
        ",",
        " ",
        "\n",
        "1",
        "\\",
        "NaN",
        "# {",
        "\0",
        "é",
        "_created",
        " histogram",
        "_bucket",
        "le=\"1\"",
        "#",
        "\t",
    ];
    let mut rng = base::Rng::new(11);
    for round in 0..30_000 {
        let mut body = Vec::new();
        for _ in 0..rng.below(24) {
            if round % 5 == 0 {
                body.push(rng.next_u64() as u8);
            } else {
                body.extend_from_slice(WORDS[rng.below(24) as usize].as_bytes());
            }
        }
        let bits = rng.next_u64();
        let options = ParserOptions {
            type_and_unit_labels: bits & 1 != 0,
            ignore_native_histograms: bits & 2 != 0,
            convert_classic_to_nhcb: bits & 4 != 0,
            keep_classic: bits & 8 != 0,
            start_timestamps: bits & 16 != 0,
        };
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let _ = listing(&body, format, options);
        }
    }
}
