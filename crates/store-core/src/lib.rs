//! The content-agnostic storage substrate: journal, parts, catalog, planning. Knows no metrics.
