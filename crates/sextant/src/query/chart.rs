//! A range as a chart of braille dots, with its scale and a legend.

use serde_json::Value;

use super::metric_text;
use crate::output;

const WIDTH_CELLS: usize = 80;
const HEIGHT_CELLS: usize = 16;
/// Series that are drawn; the rest is counted.
const SERIES_MAX: usize = 8;
/// ANSI colours, one per series.
const COLOURS: [u8; SERIES_MAX] = [36, 33, 35, 32, 34, 31, 96, 93];

/// One drawn series.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

pub(super) fn print(data: &Value) {
    use std::io::IsTerminal as _;
    for line in draw(data, std::io::stdout().is_terminal()) {
        output::line(&line);
    }
}

fn draw(data: &Value, coloured: bool) -> Vec<String> {
    let all: Vec<Line> = data["result"].as_array().into_iter().flatten().map(line_of).collect();
    let shown = &all[..all.len().min(SERIES_MAX)];
    let points = || shown.iter().flat_map(|line| &line.points).filter(|(_, v)| v.is_finite());
    let Some(bounds) = Bounds::of(points().copied()) else { return vec!["no data".to_owned()] };

    let mut cells = vec![[(0u8, 0usize); WIDTH_CELLS]; HEIGHT_CELLS];
    for (idx, line) in shown.iter().enumerate() {
        for (t, v) in line.points.iter().filter(|(_, v)| v.is_finite()) {
            let (x, y) = bounds.dot(*t, *v);
            let cell = &mut cells[y / 4][x / 2];
            *cell = (cell.0 | dot_bit(x % 2, y % 4), idx);
        }
    }
    let mut lines = Vec::new();
    for (row, row_cells) in cells.iter().enumerate() {
        let label = match row {
            0 => format!("{:>12.5}", bounds.v_max),
            _ if row == HEIGHT_CELLS - 1 => format!("{:>12.5}", bounds.v_min),
            _ => " ".repeat(12),
        };
        let body: String = row_cells.iter().map(|(dots, idx)| glyph(*dots, *idx, coloured)).collect();
        lines.push(format!("{label} ┤{body}"));
    }
    for (idx, line) in shown.iter().enumerate() {
        lines.push(format!("{} {}", paint("●", idx, coloured), line.name));
    }
    if all.len() > SERIES_MAX {
        lines.push(format!("… and {} more series", all.len() - SERIES_MAX));
    }
    lines
}

fn line_of(series: &Value) -> Line {
    let point = |p: &Value| Some((p[0].as_f64()?, base::gofloat::parse(p[1].as_str()?)?));
    let points: Vec<_> = series["values"].as_array().into_iter().flatten().filter_map(point).collect();
    if !points.is_empty() {
        return Line { name: metric_text(&series["metric"]), points };
    }
    // A line can show one number of a histogram.
    let count = |p: &Value| Some((p[0].as_f64()?, base::gofloat::parse(p[1]["count"].as_str()?)?));
    let points = series["histograms"].as_array().into_iter().flatten().filter_map(count).collect();
    Line { name: format!("{} (count of the histogram)", metric_text(&series["metric"])), points }
}

struct Bounds {
    t_min: f64,
    t_max: f64,
    v_min: f64,
    v_max: f64,
}

impl Bounds {
    fn of(points: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let fold = |bounds: Option<Self>, (t, v): (f64, f64)| {
            let b = bounds.unwrap_or(Self { t_min: t, t_max: t, v_min: v, v_max: v });
            Some(Self {
                t_min: b.t_min.min(t),
                t_max: b.t_max.max(t),
                v_min: b.v_min.min(v),
                v_max: b.v_max.max(v),
            })
        };
        points.fold(None, fold)
    }

    /// Dots from the left and from the top.
    fn dot(&self, t: f64, v: f64) -> (usize, usize) {
        let part = |x: f64, min: f64, max: f64| if max > min { (x - min) / (max - min) } else { 0.5 };
        let x = part(t, self.t_min, self.t_max) * (WIDTH_CELLS * 2 - 1) as f64;
        let y = (1.0 - part(v, self.v_min, self.v_max)) * (HEIGHT_CELLS * 4 - 1) as f64;
        (x.round() as usize, y.round() as usize)
    }
}

/// The bit of a dot within a braille cell (Unicode block 2800).
fn dot_bit(x: usize, y: usize) -> u8 {
    const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    BITS[x][y]
}

fn glyph(dots: u8, idx: usize, coloured: bool) -> String {
    if dots == 0 {
        return " ".to_owned();
    }
    let c = char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' ');
    paint(&c.to_string(), idx, coloured)
}

fn paint(text: &str, idx: usize, coloured: bool) -> String {
    if coloured { format!("\u{1b}[{}m{text}\u{1b}[0m", COLOURS[idx % SERIES_MAX]) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_goes_from_bottom_left_to_top_right() {
        let data = serde_json::json!({ "resultType": "matrix", "result": [
            { "metric": { "__name__": "x" }, "values": [[0, "0"], [1, "NaN"], [2, "10"]] },
        ]});
        let lines = draw(&data, false);
        assert!(lines[0].ends_with('⢈') || lines[0].ends_with('⠈'), "{}", lines[0]);
        assert!(lines[HEIGHT_CELLS - 1].contains('⡀'), "{}", lines[HEIGHT_CELLS - 1]);
        assert!(lines.last().unwrap().ends_with("● x"));
        assert_eq!(draw(&serde_json::json!({ "result": [] }), false), ["no data"]);
        let histogram = serde_json::json!({ "resultType": "matrix", "result": [
            { "metric": { "__name__": "h" }, "histograms": [[0, { "count": "1" }], [2, { "count": "10" }]] },
        ]});
        assert!(draw(&histogram, false).last().unwrap().ends_with("● h (count of the histogram)"));
    }
}
