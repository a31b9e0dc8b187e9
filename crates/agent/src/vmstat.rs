//! `node_vmstat_*` from `/proc/vmstat`: paging, swapping, faults and kills.

use model::MetricType;
use regex::Regex;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_float};

/// Fields that are kept.
pub(crate) const FIELDS: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    for (field, value) in parse(&host.roots.read_proc("vmstat")?, &host.filters.vmstat_fields)? {
        let help = format!("The field {field} of /proc/vmstat.");
        out.family(&format!("node_vmstat_{field}"), MetricType::Unknown, &help).push(&[], value);
    }
    Ok(())
}

fn parse<'t>(text: &'t str, kept: &Regex) -> Result<Vec<(&'t str, f64)>, CollectError> {
    let mut fields = Vec::new();
    for line in text.lines() {
        let Some((field, value)) = line.split_once(' ') else {
            return Err(CollectError::malformed("vmstat", format!("no value in {line:?}")));
        };
        if kept.is_match(field) {
            fields.push((field, parse_float("vmstat", value.trim())?));
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fields_are_kept() {
        let kept = Regex::new(FIELDS).unwrap();
        let text = "nr_free_pages 1\npgpgin 2\npswpout 3\npgmajfault 4\npgalloc_dma 5\noom_kill 6\n";
        let expected = vec![("pgpgin", 2.0), ("pswpout", 3.0), ("pgmajfault", 4.0), ("oom_kill", 6.0)];
        assert_eq!(parse(text, &kept).unwrap(), expected);
        for (text, problem) in [
            ("pgfault\n", "vmstat: no value in \"pgfault\""),
            ("pgfault x\n", "vmstat: \"x\" is not a number"),
        ] {
            assert_eq!(parse(text, &kept).unwrap_err().to_string(), problem);
        }
    }
}
