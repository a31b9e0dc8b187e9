//! The few file operations the stores need: real, in-memory and fault-injecting. Knows no formats.
