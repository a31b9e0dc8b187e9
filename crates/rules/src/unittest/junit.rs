//! The report as JUnit XML, for continuous integration.

use std::fmt::Write as _;

use super::report::UnitTestReport;

/// One `testsuite` for each file, one `testcase` for each test group.
pub fn junit_xml(reports: &[UnitTestReport]) -> String {
    let mut out = String::from("<testsuites>");
    for report in reports {
        push_suite(&mut out, report).expect("writing to a String cannot fail");
    }
    out.push_str("</testsuites>");
    out
}

fn push_suite(out: &mut String, report: &UnitTestReport) -> std::fmt::Result {
    let failures = report.groups.iter().filter(|group| !group.failures.is_empty()).count();
    let errors = usize::from(report.error.is_some());
    let (name, tests) = (escaped(&report.file), report.groups.len());
    write!(
        out,
        "<testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" timestamp=\"\">"
    )?;
    for group in &report.groups {
        write!(out, "<testcase name=\"{}\"", escaped(&group.name))?;
        if group.failures.is_empty() {
            out.push_str("></testcase>");
            continue;
        }
        out.push('>');
        for failure in &group.failures {
            write!(out, "<failure message=\"\" type=\"\">{}</failure>", escaped(&failure.to_string()))?;
        }
        out.push_str("</testcase>");
    }
    if let Some(error) = &report.error {
        write!(out, "<testcase name=\"\"><error message=\"{}\"></error></testcase>", escaped(error))?;
    }
    out.push_str("</testsuite>");
    Ok(())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\n' => out.push_str("&#xA;"),
            '\0'..='\u{8}' | '\u{b}'..='\u{1f}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
