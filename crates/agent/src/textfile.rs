//! Metrics that other programs leave in `*.prom` files, and `node_textfile_*` about the files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::labels::METRIC_NAME;
use model::{LabelsBuilder, MetricType};
use wire_prom::expose::{Entry, Format, Parser, ParserOptions, SeriesEntry};

use crate::collector::Host;
use crate::family::{Families, MetricFamily};
use crate::source::{CollectError, list, read};

/// What a file says of a family beside its samples.
#[derive(Debug)]
struct FileFamily {
    family: MetricFamily,
    has_help: bool,
}

/// A file that cannot be used is left out, said so, and does not fail the collector.
pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let mut complaints = Vec::new();
    if let Some(dir) = host.textfile_directory {
        let names = list(dir).unwrap_or_else(|error| {
            complaints.push(error);
            Vec::new()
        });
        for path in names.iter().filter(|name| name.ends_with(".prom")).map(|name| dir.join(name)) {
            if let Err(error) = read_file(&path, out, &mut complaints) {
                complaints.push(error);
            }
        }
    }
    let error = if complaints.is_empty() { 0.0 } else { 1.0 };
    out.gauge("node_textfile_scrape_error", "1 if a text file or the directory could not be used, else 0.")
        .push(&[], error);
    out.complain(complaints);
    Ok(())
}

fn read_file(
    path: &Path,
    out: &mut Families,
    complaints: &mut Vec<CollectError>,
) -> Result<(), CollectError> {
    let file = path.to_string_lossy();
    let families = parse(&file, &read(path)?)?;
    let failed = |error| CollectError::Read { path: path.to_owned(), error };
    let modified_s = std::fs::metadata(path).map_err(failed)?.mtime();
    for FileFamily { family, has_help } in families.into_values() {
        if let Some(other) = out.get(&family.name)
            && (other.metric_type != family.metric_type || (has_help && other.help != family.help))
        {
            let problem = format!("{} has another help text or type elsewhere", family.name);
            complaints.push(CollectError::malformed(&file, problem));
            continue;
        }
        out.family(&family.name, family.metric_type, &family.help).samples.extend(family.samples);
    }
    out.gauge("node_textfile_mtime_seconds", "When a text file that was read was last changed.")
        .push(&[("file", &file)], modified_s as f64);
    Ok(())
}

/// Families of a file by name, samples of histograms and summaries with them.
fn parse(file: &str, text: &str) -> Result<BTreeMap<String, FileFamily>, CollectError> {
    let mut families = BTreeMap::new();
    let mut labels = LabelsBuilder::new();
    let mut parser = Parser::new(text.as_bytes(), Format::Text, ParserOptions::default());
    while let Some(entry) =
        parser.next_entry().map_err(|error| CollectError::malformed(file, error.to_string()))?
    {
        match entry {
            Entry::Type { name, metric_type } => {
                entry_of(&mut families, file, &name).family.metric_type = metric_type;
            }
            Entry::Help { name, help } => {
                let family = entry_of(&mut families, file, &name);
                (family.family.help, family.has_help) = (help.into_owned(), true);
            }
            Entry::Series(series) => add_series(&mut families, file, &series, &mut labels)?,
            Entry::Unit { .. } | Entry::Comment(_) | Entry::Histogram(_) => {}
        }
    }
    Ok(families)
}

fn entry_of<'f>(
    families: &'f mut BTreeMap<String, FileFamily>,
    file: &str,
    name: &str,
) -> &'f mut FileFamily {
    families.entry(name.to_owned()).or_insert_with(|| FileFamily {
        family: MetricFamily {
            name: name.to_owned(),
            help: format!("Read from {file}."),
            metric_type: MetricType::Unknown,
            samples: Vec::new(),
        },
        has_help: false,
    })
}

fn add_series(
    families: &mut BTreeMap<String, FileFamily>,
    file: &str,
    series: &SeriesEntry<'_>,
    labels: &mut LabelsBuilder,
) -> Result<(), CollectError> {
    series.labels(labels).map_err(|error| CollectError::malformed(file, error.to_string()))?;
    let name = labels.get(METRIC_NAME).to_owned();
    if series.timestamp_ms.is_some() {
        return Err(CollectError::malformed(
            file,
            format!("{name} has a timestamp, which such files must not have"),
        ));
    }
    let (base, suffix) = family_of(families, &name);
    let pairs = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
    let pairs = pairs.map(|(label, value)| (Cow::Owned(label.to_owned()), value.to_owned())).collect();
    entry_of(families, file, base).family.push_sample(suffix, pairs, series.value);
    Ok(())
}

/// The family of a sample and what its name adds to the family's.
fn family_of<'n>(families: &BTreeMap<String, FileFamily>, name: &'n str) -> (&'n str, &'static str) {
    for suffix in ["_bucket", "_sum", "_count"] {
        let Some(base) = name.strip_suffix(suffix) else { continue };
        match families.get(base).map(|family| family.family.metric_type) {
            Some(MetricType::Histogram) => return (base, suffix),
            Some(MetricType::Summary) if suffix != "_bucket" => return (base, suffix),
            _ => {}
        }
    }
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_put_into_their_families() {
        let text = "# HELP h A histogram.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
                    # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 4\ns_bucket 9\nplain{b=\"2\",a=\"1\"} 7\n";
        let families = parse("f.prom", text).unwrap();
        let samples = |f: &FileFamily| f.family.samples.iter().map(|s| (s.suffix, s.value)).collect();
        let shown = families.values().map(|f| (f.family.name.as_str(), f.family.metric_type, samples(f)));
        let expected = [
            ("h", MetricType::Histogram, vec![("_bucket", 2.0), ("_sum", 3.0), ("_count", 2.0)]),
            ("plain", MetricType::Unknown, vec![("", 7.0)]),
            ("s", MetricType::Summary, vec![("", 1.0), ("_sum", 4.0)]),
            ("s_bucket", MetricType::Unknown, vec![("", 9.0)]),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        assert_eq!((families["h"].family.help.as_str(), families["h"].has_help), ("A histogram.", true));
        assert_eq!(families["s"].family.help, "Read from f.prom.");
        assert_eq!(families["plain"].family.samples[0].labels[0], (Cow::Borrowed("a"), "1".to_owned()));
    }

    #[test]
    fn files_with_timestamps_or_errors_are_refused() {
        for (text, problem) in [
            ("a 1 1700000000000\n", "f.prom: a has a timestamp, which such files must not have"),
            ("a{b=\"1\",b=\"2\"} 1\n", "f.prom: label name \"b\" is not unique: invalid sample"),
        ] {
            assert_eq!(parse("f.prom", text).unwrap_err().to_string(), problem);
        }
        assert!(parse("f.prom", "a{ 1\n").is_err());
    }

    #[test]
    fn bad_files_are_left_out_and_the_others_kept() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a.prom", "# HELP a One.\n# TYPE a gauge\na{f=\"a\"} 1\n"),
            ("b.prom", "# HELP a Two.\n# TYPE a gauge\na{f=\"b\"} 2\nb 2\n"),
            ("c.prom", "a{\n"),
            ("d.txt", "d 1\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let changed = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_900);
        let file = std::fs::File::options().append(true).open(dir.path().join("b.prom")).unwrap();
        file.set_modified(changed).unwrap();
        let (mut out, mut complaints) = (Families::default(), Vec::new());
        let outcomes = ["a.prom", "b.prom", "c.prom"]
            .map(|name| read_file(&dir.path().join(name), &mut out, &mut complaints).is_ok());
        assert_eq!((outcomes, complaints.len()), ([true, true, false], 1));
        let changes = &out.get("node_textfile_mtime_seconds").unwrap().samples;
        assert_eq!(changes[1].value, 1_700_000_000.0, "whole seconds");
        let shown: Vec<(String, usize)> =
            out.into_sorted().into_iter().map(|family| (family.name, family.samples.len())).collect();
        let expected = [("a", 1), ("b", 1), ("node_textfile_mtime_seconds", 2)];
        assert_eq!(shown, expected.map(|(name, n)| (name.to_owned(), n)));
    }
}
