//! Bytes quoted as Go's `%q` quotes them, which is how upstream's errors show input.

use std::fmt::{self, Write as _};

use model::labels::GoQuoted;

/// Bytes that may not be UTF-8; what is not shows as `\xff`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuotedBytes<'a>(pub(crate) &'a [u8]);

impl fmt::Display for QuotedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            let quoted = GoQuoted(chunk.valid()).to_string();
            f.write_str(&quoted[1..quoted.len() - 1])?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}
