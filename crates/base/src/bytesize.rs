//! Sizes as Prometheus writes them in configuration and flags: base 2, units B to EB with or
//! without an `i` (`512MB`, `1GiB`, `1GB512MB`).

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidByteSize(String);

impl fmt::Display for InvalidByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "units: unknown unit {:?} or bad number in size", self.0)
    }
}

impl std::error::Error for InvalidByteSize {}

const UNITS: [(&str, u32); 7] =
    [("EB", 60), ("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10), ("B", 0)];

fn shift_of(unit: &str) -> Option<u32> {
    let plain: String = unit.chars().filter(|c| *c != 'i').collect();
    UNITS.iter().find(|(name, _)| *name == plain).map(|(_, shift)| *shift)
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidByteSize(text.to_owned());
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self(0));
        }
        let mut total = 0u64;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
            let (number, after) = rest.split_at(digits);
            let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, next) = after.split_at(unit_len);
            let shift = shift_of(unit).ok_or_else(invalid)?;
            let part = match number.parse::<u64>() {
                Ok(whole) => whole.checked_mul(1 << shift).ok_or_else(invalid)?,
                Err(_) => {
                    let value = number.parse::<f64>().map_err(|_| invalid())? * (1u64 << shift) as f64;
                    if !(0.0..1.8e19).contains(&value) {
                        return Err(invalid());
                    }
                    value as u64
                }
            };
            total = total.checked_add(part).ok_or_else(invalid)?;
            rest = next;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that divides the size exactly: `1536MB`, not `1.5GB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        for (unit, shift) in UNITS {
            if self.0.is_multiple_of(1u64 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_print_as_upstream() {
        for (text, bytes, printed) in [
            ("15MB", 15 << 20, "15MB"),
            ("1GiB", 1 << 30, "1GB"),
            ("1GB512MB", 1536 << 20, "1536MB"),
            ("0", 0, "0B"),
            ("1.5KB", 1536, "1536B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, printed), "{text}");
        }
        for bad in ["", "15", "MB", "1XB", "99999999EB", "-1MB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
