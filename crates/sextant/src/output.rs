//! Lines for the person at the terminal: the one place that prints.

use std::io::{ErrorKind, Write as _};

/// A result, to standard output.
pub(crate) fn line(text: &str) {
    raw(format!("{text}\n").as_bytes());
}

/// A result as it stands. Whoever closed the other end, as `head` does, has read enough: that is no
/// error, and whatever else cannot be written cannot be told either.
#[expect(clippy::exit, reason = "nobody reads what would come next")]
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            remark(&format!("sextant: cannot write to standard output: {error}"));
            std::process::exit(1);
        }
    }
}

/// A remark or an error, to standard error.
pub(crate) fn remark(text: &str) {
    // Without standard error there is nowhere to say so.
    drop(writeln!(std::io::stderr(), "{text}"));
}
