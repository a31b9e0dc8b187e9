//! The exposition formats, read and written again.

use std::collections::HashMap;

use model::{Exemplar, Labels, LabelsBuilder};
use wire_core::ProtoWriter;
use wire_prom::expose::{Entry, Format, LabelsError, Parser, ParserOptions};
use wire_prom::expose_text::{FamilyHeader, TextEncoder, TextSample};
use wire_prom::negotiate::{EscapingScheme, ExposeFormat};

use crate::Target;
use crate::input::Input;
use crate::seeds::{Files, Folder};

const WORDS: &[&str] = &[
    "# HELP ",
    "# TYPE ",
    "# UNIT ",
    "# EOF\n",
    " counter\n",
    " gauge\n",
    " histogram\n",
    " summary\n",
    " gaugehistogram\n",
    " info\n",
    " stateset\n",
    " unknown\n",
    "_bucket{le=\"+Inf\"} ",
    "_sum ",
    "_count ",
    "_total ",
    "_created ",
    "{\"a.b\",",
    "le=\"",
    "quantile=\"",
    "\\n",
    "\\\"",
    "NaN",
    "+Inf",
    "-Inf",
    "0x1p-3",
    " # {",
    "st@",
    "{count:",
    "schema:",
    "1e308",
    "9223372036854775807",
    "\n",
    " ",
    ",",
    "{",
    "}",
    "=",
    "\"",
];

const fn corpus(prefix: &'static [u8]) -> Files {
    Files { folder: Folder::Conformance("metrics/common/expfmt/fuzz/corpus"), ending: "", prefix }
}

pub(super) const TARGETS: &[Target] = &[
    Target::new("text_exposition", |input| check(input, Format::Text), text_seeds)
        .with_files(&[corpus(&[0]), corpus(&[4])])
        .with_words(WORDS),
    Target::new("openmetrics_exposition", |input| check(input, Format::OpenMetrics), openmetrics_seeds)
        .with_files(&[corpus(&[0x14])])
        .with_words(WORDS),
    Target::new("protobuf_exposition", |input| check(input, Format::Protobuf), protobuf_seeds),
];

/// A body's entry takes at least a byte, and a classic protobuf histogram gives a few per byte.
const ENTRIES_PER_BYTE_MAX: usize = 16;

fn options(bits: u8) -> ParserOptions {
    ParserOptions {
        type_and_unit_labels: bits & 1 != 0,
        ignore_native_histograms: bits & 2 != 0,
        convert_classic_to_nhcb: bits & 4 != 0,
        keep_classic: bits & 8 != 0,
        start_timestamps: bits & 16 != 0,
    }
}

/// One float sample as it was read.
#[derive(Debug, PartialEq)]
struct Row {
    labels: Labels,
    timestamp_ms: Option<i64>,
    value_bits: u64,
}

/// The first byte chooses the options, the rest is the body.
fn check(input: &[u8], format: Format) {
    let mut input = Input(input);
    let options = options(input.u8());
    let rows = read(input.0, format, options);
    let is_plain = !options.convert_classic_to_nhcb && !options.type_and_unit_labels;
    if let Some(rows) = rows.filter(|_| is_plain) {
        let again = read(&written(&rows), Format::Text, ParserOptions::default());
        assert_eq!(again, Some(rows), "what was read, written as text and read again");
    }
}

/// All float samples of a body; `None` when it or a series is refused.
fn read(body: &[u8], format: Format, options: ParserOptions) -> Option<Vec<Row>> {
    let entries_max = ENTRIES_PER_BYTE_MAX * (body.len() + 1);
    let mut parser = Parser::new(body, format, options);
    let mut known: HashMap<Vec<u8>, Labels> = HashMap::new();
    let (mut builder, mut exemplars, mut rows) = (LabelsBuilder::new(), Vec::new(), Vec::new());
    let mut is_whole = true;
    for n_entries in 0.. {
        assert!(n_entries <= entries_max, "more than {entries_max} entries in {} bytes", body.len());
        let entry = match parser.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(_) => return None,
        };
        match entry {
            Entry::Series(series) => {
                let built = labels(series.labels(&mut builder), &builder, series.raw, &mut known);
                series.exemplars(&mut exemplars);
                // Text has no samples without a name, and no zero bytes, which protobuf has.
                let is_sayable = |l: &Labels| !l.metric_name().is_empty() && !l.as_bytes().contains(&0);
                let Some(labels) = built.filter(is_sayable) else {
                    is_whole = false;
                    continue;
                };
                let value_bits = same_nan(series.value).to_bits();
                rows.push(Row { labels, timestamp_ms: series.timestamp_ms, value_bits });
            }
            Entry::Histogram(entry) => {
                labels(entry.labels(&mut builder), &builder, entry.raw, &mut known);
                entry.exemplars(&mut exemplars);
                entry.histogram.size_bytes();
            }
            Entry::Type { .. } | Entry::Help { .. } | Entry::Unit { .. } | Entry::Comment(_) => {}
        }
    }
    exemplars.iter().for_each(check_exemplar);
    is_whole.then_some(rows)
}

/// Text has one NaN, apart from the marker of staleness, which it cannot say.
fn same_nan(v: f64) -> f64 {
    if v.is_nan() { f64::NAN } else { v }
}

/// The labels, which must be well formed, and the same whenever the raw bytes are.
fn labels(
    outcome: Result<(), LabelsError>,
    builder: &LabelsBuilder,
    raw: &[u8],
    known: &mut HashMap<Vec<u8>, Labels>,
) -> Option<Labels> {
    outcome.ok()?;
    let labels = builder.build();
    assert_eq!(Labels::from_bytes(labels.as_bytes()).as_ref(), Some(&labels), "labels come back");
    // TYPE and UNIT are not in the raw bytes and decide these; a body that contradicts itself about them
    // is read as upstream does.
    if ["__type__", "__unit__", "le", "quantile"].iter().any(|name| labels.get(name).is_some()) {
        return Some(labels);
    }
    let first = known.entry(raw.to_vec()).or_insert_with(|| labels.clone());
    assert_eq!(*first, labels, "equal bytes name equal series");
    Some(labels)
}

fn check_exemplar(exemplar: &Exemplar) {
    assert_eq!(Labels::from_bytes(exemplar.labels.as_bytes()).as_ref(), Some(&exemplar.labels));
}

fn written(rows: &[Row]) -> Vec<u8> {
    let mut encoder = TextEncoder::new(ExposeFormat::Text, EscapingScheme::AllowUtf8);
    for row in rows {
        let header = FamilyHeader {
            name: row.labels.metric_name(),
            help: None,
            metric_type: model::MetricType::Unknown,
            unit: None,
        };
        encoder.family(&header);
        let labels: Vec<_> = row.labels.iter().filter(|(n, _)| *n != model::labels::METRIC_NAME).collect();
        let sample = TextSample::new(&labels, f64::from_bits(row.value_bits));
        encoder.sample(&TextSample { timestamp_ms: row.timestamp_ms, ..sample });
    }
    encoder.finish()
}

fn with_options(body: &[u8], bits: &[u8]) -> Vec<Vec<u8>> {
    bits.iter().map(|bits| [&[*bits], body].concat()).collect()
}

fn text_seeds() -> Vec<Vec<u8>> {
    let body = b"# HELP a Helps \\\\ much.\n# TYPE a counter\na{x=\"1\",y=\"\\\"\\n\"} 1.5 1000\n{\"b.c\", \"d.e\"=\"f\"} NaN\n\
        # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
        # TYPE s summary\ns{quantile=\"0.5\"} 1e-3\ns_sum 1\ns_count 1\n";
    with_options(body, &[0, 1, 4, 12])
}

fn openmetrics_seeds() -> Vec<Vec<u8>> {
    let body = b"# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds h\n\
        a_seconds_total{x=\"1\"} 1.0 1.5 # {trace_id=\"x\"} 0.5 1.25\na_seconds_created{x=\"1\"} 1\n\
        # TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 0.5\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
        # TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";
    with_options(body, &[0, 1, 4, 16, 28])
}

fn protobuf_seeds() -> Vec<Vec<u8>> {
    let mut w = ProtoWriter::new();
    w.delimited(|w| {
        w.str_field(1, "a_total");
        w.str_field(2, "Helps.");
        w.u64_field(3, 0);
        w.message_field(4, |w| {
            label(w, "x", "1");
            w.message_field(3, |w| {
                w.f64_field(1, 1.5);
                w.message_field(2, |w| {
                    label(w, "trace_id", "t");
                    w.f64_field(2, 0.5);
                });
            });
            w.i64_field(6, 1000);
        });
    });
    w.delimited(|w| {
        w.str_field(1, "h");
        w.u64_field(3, 4);
        w.message_field(4, |w| {
            w.message_field(7, |w| {
                w.u64_field(1, 3);
                w.f64_field(2, 4.5);
                for (count, le) in [(1, 1.0), (3, f64::INFINITY)] {
                    w.message_field(3, |w| {
                        w.u64_field(1, count);
                        w.f64_field(2, le);
                    });
                }
                w.sint64_field(5, 3);
                w.f64_field(6, 0.001);
                w.u64_field(7, 1);
                w.message_field(12, |w| {
                    w.sint64_field(1, 1);
                    w.u64_field(2, 2);
                });
                w.packed_sint64(13, [1, 0]);
            });
        });
    });
    with_options(&w.finish(), &[0, 1, 2, 4, 12, 16])
}

fn label(w: &mut ProtoWriter, name: &str, value: &str) {
    w.message_field(1, |w| {
        w.str_field(1, name);
        w.str_field(2, value);
    });
}
