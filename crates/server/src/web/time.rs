//! Instants as text: RFC 3339 for the API, compact for names.

use jiff::Timestamp;

/// `2015-07-01T20:10:30.781Z`, the fraction left out when it is zero; Go's zero time for 0.
pub(crate) fn rfc3339(t_ms: i64) -> String {
    if t_ms == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    Timestamp::from_millisecond(t_ms).map_or_else(|_| "0001-01-01T00:00:00Z".to_owned(), |t| t.to_string())
}

/// `20150701T201030Z`
pub(crate) fn compact_utc(t_ms: i64) -> String {
    Timestamp::from_millisecond(t_ms)
        .map_or_else(|_| "0".to_owned(), |t| t.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print() {
        assert_eq!(rfc3339(1_435_781_430_781), "2015-07-01T20:10:30.781Z");
        assert_eq!(rfc3339(1_435_781_430_000), "2015-07-01T20:10:30Z");
        assert_eq!(rfc3339(0), "0001-01-01T00:00:00Z");
        assert_eq!(compact_utc(1_435_781_430_781), "20150701T201030Z");
    }
}
