//! Reading small files below the roots, with limits and typed errors.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The longest file that is read. A mount table of ten thousand containers is about a megabyte.
pub(crate) const FILE_BYTES_MAX: u64 = 8 << 20;

/// The most entries of a directory that are looked at.
const DIR_ENTRIES_MAX: usize = 16_384;

/// Why a collector has nothing, or not everything, to say.
#[derive(Debug, Error)]
pub enum CollectError {
    /// The host lacks the feature. Its metrics are absent and nobody needs to be told.
    #[error("this host has no such data")]
    NoData,
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: longer than {limit_bytes} bytes", path.display())]
    TooLong { path: PathBuf, limit_bytes: u64 },
    #[error("{}: more than {limit} entries", path.display())]
    TooMany { path: PathBuf, limit: usize },
    #[error("{file}: {problem}")]
    Malformed { file: String, problem: String },
    /// A sample that is on the page already; the first one is kept.
    #[error("{0} appears more than once")]
    Duplicate(String),
}

impl CollectError {
    pub(crate) fn malformed(file: &str, problem: impl Into<String>) -> Self {
        Self::Malformed { file: file.to_owned(), problem: problem.into() }
    }

    /// A field that is not the number it should be.
    pub(crate) fn not_a_number(file: &str, text: &str) -> Self {
        Self::malformed(file, format!("{text:?} is not a number"))
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }

    /// Turns an absent file into [`CollectError::NoData`].
    pub(crate) fn absent_is_no_data(self) -> Self {
        if self.is_not_found() { Self::NoData } else { self }
    }
}

/// Where the host's files are.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    pub(crate) proc: PathBuf,
    pub(crate) sys: PathBuf,
    pub(crate) root: PathBuf,
}

impl Roots {
    pub(crate) fn read_proc(&self, path: &str) -> Result<String, CollectError> {
        read(&self.proc.join(path))
    }
}

/// The whole file as text; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn read(path: &Path) -> Result<String, CollectError> {
    let failed = |error| CollectError::Read { path: path.to_owned(), error };
    #[expect(clippy::disallowed_methods, reason = "the files of the kernel are this crate's to read")]
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CollectError::TooLong { path: path.to_owned(), limit_bytes: FILE_BYTES_MAX });
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// A file that holds one word or line, without the white space around it.
pub(crate) fn read_line(path: &Path) -> Result<String, CollectError> {
    read(path).map(|text| text.trim().to_owned())
}

/// A file that holds one number.
pub(crate) fn read_number<T: std::str::FromStr>(path: &Path) -> Result<T, CollectError> {
    let text = read_line(path)?;
    text.parse().map_err(|_| CollectError::not_a_number(&path.to_string_lossy(), &text))
}

/// Names in a directory, sorted. Names that are not UTF-8 are left out: no file of the kernel has one.
pub(crate) fn list(path: &Path) -> Result<Vec<String>, CollectError> {
    let failed = |error| CollectError::Read { path: path.to_owned(), error };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        if names.len() >= DIR_ENTRIES_MAX {
            return Err(CollectError::TooMany { path: path.to_owned(), limit: DIR_ENTRIES_MAX });
        }
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The numbers N for which `path` has an entry `<prefix>N…`, ascending; none if there is no `path`.
pub(crate) fn list_numbered(path: &Path, prefix: &str) -> Result<Vec<String>, CollectError> {
    let names = match list(path) {
        Ok(names) => names,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let numbers = names.iter().filter_map(|name| name.strip_prefix(prefix));
    let mut numbers: Vec<String> = numbers
        .filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        .map(str::to_owned)
        .collect();
    numbers.sort_by_key(|number| (number.len(), number.clone()));
    Ok(numbers)
}

/// A number as Go's `ParseFloat` reads it, for files whose values may be fractions or negative.
pub(crate) fn parse_float(file: &str, text: &str) -> Result<f64, CollectError> {
    text.parse().map_err(|_| CollectError::not_a_number(file, text))
}

pub(crate) fn parse_u64(file: &str, text: &str) -> Result<u64, CollectError> {
    text.parse().map_err(|_| CollectError::not_a_number(file, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_bounded_and_says_what_failed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(read(&path).unwrap_err().is_not_found());
        assert!(matches!(read(&path).unwrap_err().absent_is_no_data(), CollectError::NoData));
        std::fs::write(&path, b"12\xff\n").unwrap();
        assert_eq!(read_line(&path).unwrap(), "12\u{fffd}");
        let text = read_number::<u64>(&path).unwrap_err().to_string();
        assert!(text.ends_with("f: \"12\u{fffd}\" is not a number"), "{text}");
        std::fs::write(&path, vec![b'0'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(read(&path), Err(CollectError::TooLong { .. })));
    }

    #[test]
    fn numbered_entries_are_in_numeric_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cpu10", "cpu2", "cpu0", "cpuidle", "cpu", "other3"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(list_numbered(dir.path(), "cpu").unwrap(), ["0", "2", "10"]);
        assert!(list_numbered(&dir.path().join("absent"), "cpu").unwrap().is_empty());
    }
}
