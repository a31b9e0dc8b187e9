//! Writing exposition formats: text 0.0.4 and OpenMetrics.
