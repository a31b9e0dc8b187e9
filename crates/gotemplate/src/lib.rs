//! A Go text/template engine with html/template escaping. Knows nothing of alerts.
