//! The metrics store: live buffers, parts, label index. Knows no query language.
