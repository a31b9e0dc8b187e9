//! Decompression of scraped bodies in bounded steps: each looks at the limit, the memory and the time.

use std::io::Read as _;

use base::{Budget, Clock};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::fetch::FetchFailure;
use crate::outbound::client::ClientError;

/// What is decompressed between two looks at the clock.
const STEP_BYTES: usize = 256 << 10;

/// What one decompression may use.
#[derive(Debug)]
pub(super) struct Bounds<'a> {
    pub(super) bytes_max: usize,
    pub(super) budget: &'a Budget,
    pub(super) clock: &'a dyn Clock,
    /// By [`Clock::monotonic_ns`].
    pub(super) deadline_ns: u64,
}

/// The memory is charged while the body is being unpacked; whoever keeps the body is bounded by its size
/// and by the number of scrapes at once.
pub(super) fn gunzip(packed: &[u8], bounds: &Bounds<'_>) -> Result<Bytes, FetchFailure> {
    let mut charge = bounds.budget.charge(0).map_err(|e| FetchFailure::new(e.to_string()))?;
    let mut decoder = MultiGzDecoder::new(packed);
    let mut plain = Vec::new();
    loop {
        if bounds.clock.monotonic_ns() >= bounds.deadline_ns {
            return Err(FetchFailure::new(ClientError::Timeout.to_string()));
        }
        // Doubling what is reserved keeps the copies linear; the charge covers the copy as well.
        if plain.capacity() - plain.len() < STEP_BYTES {
            let more = plain.capacity().max(STEP_BYTES);
            let refused = |e| FetchFailure::new(format!("decompressing the body: {e}"));
            charge.grow(u64::try_from(more).unwrap_or(u64::MAX)).map_err(refused)?;
            plain.reserve_exact(plain.capacity() - plain.len() + more);
        }
        let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
        let n_read = decoder.by_ref().take(step).read_to_end(&mut plain);
        if n_read.map_err(|e| FetchFailure::new(format!("gzip: {e}")))? == 0 {
            return Ok(plain.into());
        }
        if plain.len() > bounds.bytes_max {
            return Err(FetchFailure { error: ClientError::BodyTooLarge.to_string(), body_too_large: true });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base::ManualClock;

    use super::*;

    const PLAIN_BYTES: usize = 1 << 20;

    #[test]
    fn a_bomb_is_cut_off_by_size_by_memory_and_by_time() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'a'; PLAIN_BYTES]).unwrap();
        let packed = encoder.finish().unwrap();
        let clock = ManualClock::new(0);
        let now_ns = clock.monotonic_ns();
        for (bytes_max, memory, in_time, expected) in [
            (PLAIN_BYTES, 16 << 20, true, None),
            (PLAIN_BYTES - 1, 16 << 20, true, Some("body size limit exceeded")),
            (PLAIN_BYTES, 1 << 19, true, Some("memory budget \"scrapes\" exceeded")),
            (PLAIN_BYTES, 16 << 20, false, Some("context deadline exceeded")),
        ] {
            let budget = Budget::new("scrapes", memory);
            let deadline_ns = if in_time { now_ns + 1 } else { now_ns };
            let outcome = gunzip(&packed, &Bounds { bytes_max, budget: &budget, clock: &clock, deadline_ns });
            match (outcome, expected) {
                (Ok(plain), None) => assert_eq!(plain.len(), PLAIN_BYTES),
                (Err(failure), Some(text)) => {
                    assert!(failure.error.contains(text), "{text}: {failure:?}");
                    assert_eq!(failure.body_too_large, text.starts_with("body"), "{text}");
                }
                (outcome, _) => panic!("{expected:?}: {outcome:?}"),
            }
            assert_eq!(budget.used_bytes(), 0);
        }
        let budget = Budget::unlimited();
        let bounds = Bounds { bytes_max: 100, budget: &budget, clock: &clock, deadline_ns: now_ns + 1 };
        assert!(!gunzip(b"not gzip", &bounds).unwrap_err().body_too_large);
    }
}
