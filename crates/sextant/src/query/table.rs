//! Answers as aligned columns.

use serde_json::Value;

use super::metric_text;
use crate::output;

/// Rows of a range query that are printed per series before the rest is counted.
const POINTS_SHOWN_MAX: usize = 20;

pub(super) fn print(data: &Value) {
    for line in lines(data) {
        output::line(&line);
    }
}

fn lines(data: &Value) -> Vec<String> {
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("scalar" | "string") => vec![result[1].as_str().unwrap_or_default().to_owned()],
        Some("vector") => {
            let rows = result.as_array().into_iter().flatten();
            aligned(&rows.map(|row| (metric_text(&row["metric"]), value_text(row))).collect::<Vec<_>>())
        }
        Some("matrix") => result.as_array().into_iter().flatten().flat_map(series_lines).collect(),
        _ => vec![data.to_string()],
    }
}

fn value_text(row: &Value) -> String {
    match row["value"][1].as_str() {
        Some(text) => text.to_owned(),
        None => format!("histogram {}", row["histogram"][1]),
    }
}

fn aligned(rows: &[(String, String)]) -> Vec<String> {
    let width = rows.iter().map(|(metric, _)| metric.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(metric, value)| format!("{metric:<width$}  {value}")).collect()
}

fn series_lines(series: &Value) -> Vec<String> {
    let mut lines = vec![metric_text(&series["metric"])];
    let of = |kind: &str| series[kind].as_array().into_iter().flatten();
    let mut points: Vec<&Value> = of("values").chain(of("histograms")).collect();
    points.sort_by(|a, b| a[0].as_f64().unwrap_or(0.0).total_cmp(&b[0].as_f64().unwrap_or(0.0)));
    for point in points.iter().take(POINTS_SHOWN_MAX) {
        let value = point[1].as_str().map_or_else(|| format!("histogram {}", point[1]), str::to_owned);
        lines.push(format!("  {}  {value}", point[0]));
    }
    if points.len() > POINTS_SHOWN_MAX {
        lines.push(format!(
            "  … and {} more points (--format json shows all)",
            points.len() - POINTS_SHOWN_MAX
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let data = serde_json::json!({ "resultType": "vector", "result": [
            { "metric": { "__name__": "up", "job": "a" }, "value": [0, "1"] },
            { "metric": { "__name__": "up" }, "value": [0, "0"] },
        ]});
        assert_eq!(lines(&data), ["up{job=\"a\"}  1", "up           0"]);
    }

    #[test]
    fn ranges_show_floats_and_histograms_by_time() {
        let data = serde_json::json!({ "resultType": "matrix", "result": [
            { "metric": { "__name__": "h" }, "values": [[2, "1"]], "histograms": [[1, { "count": "3" }]] },
        ]});
        assert_eq!(lines(&data), ["h", "  1  histogram {\"count\":\"3\"}", "  2  1"]);
    }
}
