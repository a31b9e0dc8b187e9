//! What is not in parts yet: series, their logs, and the label index over them.

pub(crate) mod exemplars;
pub(crate) mod index;
pub(crate) mod log;
pub(crate) mod series;
pub(crate) mod tenant;
