//! `node_filefd_allocated` and `node_filefd_maximum` from `/proc/sys/fs/file-nr`.

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_float};

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let (allocated, maximum) = parse(&host.roots.read_proc("sys/fs/file-nr")?)?;
    out.gauge("node_filefd_allocated", "File handles in use.").push(&[], allocated);
    out.gauge("node_filefd_maximum", "File handles that may be in use.").push(&[], maximum);
    Ok(())
}

/// The middle of the three numbers has been 0 since Linux 2.6.
fn parse(text: &str) -> Result<(f64, f64), CollectError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [allocated, _, maximum, ..] = fields[..] else {
        return Err(CollectError::malformed("file-nr", "fewer than three fields"));
    };
    Ok((parse_float("file-nr", allocated)?, parse_float("file-nr", maximum)?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_first_and_the_third_number_are_read() {
        for (text, expected) in [
            ("1024\t0\t1631329\n", Ok((1024.0, 1_631_329.0))),
            ("1024\t0", Err("file-nr: fewer than three fields".to_owned())),
            ("1024\t0\t-\n", Err("file-nr: \"-\" is not a number".to_owned())),
        ] {
            assert_eq!(parse(text).map_err(|e| e.to_string()), expected);
        }
    }
}
