//! Which keys are allowed: those that are a safe path on every place that keeps objects.

use super::BlobError;

pub const BLOB_KEY_LENGTH_MAX: usize = 900;

/// Checks a key: segments of visible ASCII without `\`, separated by single slashes, none of them `.`
/// or `..`.
pub fn check_key(key: &str) -> Result<(), BlobError> {
    let refuse = |reason| Err(BlobError::InvalidKey { key: key.chars().take(100).collect(), reason });
    if key.is_empty() || key.len() > BLOB_KEY_LENGTH_MAX {
        return refuse("keys have 1 to 900 bytes");
    }
    if !key.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return refuse("keys are visible ASCII without backslashes");
    }
    if key.split('/').any(|segment| matches!(segment, "" | "." | "..") || segment.len() > 255) {
        return refuse("segments have 1 to 255 bytes and are neither . nor ..");
    }
    if key.starts_with(super::local::UPLOADS_DIR) {
        return refuse("this name is reserved");
    }
    Ok(())
}
