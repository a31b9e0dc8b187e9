//! Encodings: bytes to columns and back. The only crate besides `vfs` where unsafe code may live. Knows no files.
