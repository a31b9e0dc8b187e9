//! The native histogram message that remote write 1.0, 2.0 and remote read share.
