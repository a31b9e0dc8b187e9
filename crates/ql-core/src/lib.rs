//! What the query languages share: source spans, durations, string literals, diagnostics. Knows no single language.
