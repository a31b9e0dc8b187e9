//! Lines for the person at the terminal: the one place that prints.

/// A result, to standard output.
#[expect(clippy::print_stdout, reason = "the command line's results go to standard output")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// A remark or an error, to standard error.
#[expect(clippy::print_stderr, reason = "the command line's messages go to standard error")]
pub(crate) fn remark(text: &str) {
    eprintln!("{text}");
}
