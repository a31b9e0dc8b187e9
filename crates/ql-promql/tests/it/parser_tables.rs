//! Upstream's tables of expressions, refusals, printed and prettified forms.

use ql_promql::parser::{ParserOptions, parse_expr};
use ql_promql::prettify::prettify_to;
use serde_json::Value;

use crate::conformance::rows;

/// The options under which upstream's parser table holds: everything but fill modifiers.
fn table_options() -> ParserOptions {
    ParserOptions { binop_fill: false, ..ParserOptions::all() }
}

/// The input of a row. Two rows hold bytes that are not UTF-8; our parser takes text, in which such
/// bytes have become U+FFFD.
fn input(row: &Value) -> String {
    if let Some(text) = row["input"].as_str() {
        return text.to_owned();
    }
    let hex = row["input_hex"].as_str().expect("a row has input or input_hex");
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Rows that cannot hold as they stand in the table, and why.
fn defect_of_table(row: &Value, text: &str) -> Option<&'static str> {
    let first = row["errors"][0].as_str().unwrap_or("");
    (text == "(" && first.contains("non-empty matcher")).then_some(
        "the input was computed in upstream's source and is cut off; the texts belong to another input",
    )
}

fn check_refusal(row: &Value, text: &str) -> Result<(), String> {
    let refused = match parse_expr(text, &table_options()) {
        Ok(expr) => return Err(format!("accepted as {expr:?}")),
        Err(e) => e,
    };
    let found: Vec<String> = refused.errors().iter().map(|e| e.kind.to_string()).collect();
    let expected: Vec<&str> =
        row["errors"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    if found != expected {
        return Err(format!("expected {expected:?}, got {found:?}"));
    }
    for (at, position) in row["positions"].as_array().into_iter().flatten().enumerate() {
        let span = refused.errors()[at].span;
        let (start, end) = (position[0].as_u64(), position[1].as_u64());
        // U+FFFD is longer than the byte it stands for, so only starts can be compared there.
        let same_end = Some(u64::from(span.end)) == end || row["input_hex"].is_string();
        if Some(u64::from(span.start)) != start || !same_end {
            return Err(format!("error {at} at {span:?}, expected {position}"));
        }
    }
    Ok(())
}

#[test]
fn parser_accepts_and_refuses_as_upstream() {
    let mut failures = Vec::new();
    let rows = rows("metrics/derived/promql_parser_cases.json");
    for row in &rows {
        let text = input(row);
        if let Some(defect) = defect_of_table(row, &text) {
            eprintln!("left out: {text:?}: {defect}");
            continue;
        }
        let outcome = if row["fail"] == Value::Bool(true) {
            check_refusal(row, &text)
        } else {
            parse_expr(&text, &table_options()).map(|_| ()).map_err(|e| e.to_string())
        };
        failures.extend(outcome.err().map(|e| format!("{text:?}: {e}")));
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

#[test]
fn printer_spells_as_upstream_and_what_it_prints_parses_to_the_same() {
    let mut failures = Vec::new();
    let rows = rows("metrics/derived/promql_printer_cases.json");
    for row in &rows {
        let (text, expected) = (row["in"].as_str().unwrap(), row["out"].as_str().unwrap());
        match parse_expr(text, &ParserOptions::all()) {
            Ok(expr) if expr.to_string() == expected => {
                let again = parse_expr(expected, &ParserOptions::all()).map(|e| e.to_string());
                if again.as_deref() != Ok(expected) {
                    failures.push(format!("{expected:?} does not print as itself: {again:?}"));
                }
            }
            Ok(expr) => failures.push(format!("{text:?}: expected {expected:?}, got {:?}", expr.to_string())),
            Err(e) => failures.push(format!("{text:?}: {e}")),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

#[test]
fn prettifier_splits_as_upstream() {
    let mut failures = Vec::new();
    let rows = rows("metrics/derived/promql_prettier_cases.json");
    for row in &rows {
        let (text, expected) = (row["in"].as_str().unwrap(), row["out"].as_str().unwrap());
        match parse_expr(text, &ParserOptions::all()) {
            // Upstream's table was made with lines of 10 characters.
            Ok(expr) if prettify_to(&expr, 10) == expected => {}
            Ok(expr) => {
                failures.push(format!("{text:?}: expected\n{expected}\ngot\n{}", prettify_to(&expr, 10)));
            }
            Err(e) => failures.push(format!("{text:?}: {e}")),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

/// Every expression of upstream's scripts that is meant to parse does, and survives printing.
#[test]
fn expressions_of_the_scripts_survive_printing() {
    let mut failures = Vec::new();
    let rows = rows("metrics/derived/promqltest_exprs.json");
    for row in &rows {
        let (text, file, line) = (row["expr"].as_str().unwrap(), &row["file"], &row["line"]);
        let printed = match parse_expr(text, &ParserOptions::all()) {
            Ok(expr) => expr.to_string(),
            Err(e) => {
                failures.push(format!("{file}:{line} {text:?}: {e}"));
                continue;
            }
        };
        let again = parse_expr(&printed, &ParserOptions::all()).map(|e| e.to_string());
        if again.as_ref() != Ok(&printed) {
            failures.push(format!("{file}:{line} {text:?}: printed {printed:?}, then {again:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}
