//! Whether what came is what was expected, and how to show the difference.

use super::report::{ShownAlert, ShownSample, ShownValue};

pub(super) fn alerts_agree(expected: &[ShownAlert], got: &[ShownAlert]) -> bool {
    expected == got
}

pub(super) fn samples_agree(expected: &[ShownSample], got: &[ShownSample], fuzzy: bool) -> bool {
    expected.len() == got.len()
        && expected
            .iter()
            .zip(got)
            .all(|(a, b)| a.labels == b.labels && values_agree(&a.value, &b.value, fuzzy))
}

fn values_agree(a: &ShownValue, b: &ShownValue, fuzzy: bool) -> bool {
    match (a, b) {
        (ShownValue::Float(a), ShownValue::Float(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (fuzzy && (a.next_up() == *b || a.next_down() == *b))
        }
        (ShownValue::Histogram(a), ShownValue::Histogram(b)) => a == b,
        _ => false,
    }
}

/// Lines of both texts with `-` before those only expected, `+` before those only got.
pub(super) fn line_diff(expected: &[String], got: &[String]) -> String {
    let mut out = String::new();
    let mut push = |sign: char, line: &str| {
        out.push(sign);
        out.push(' ');
        out.push_str(line);
        out.push('\n');
    };
    let common = longest_common(expected, got);
    let (mut at_expected, mut at_got) = (0, 0);
    for (next_expected, next_got) in common {
        expected[at_expected..next_expected].iter().for_each(|line| push('-', line));
        got[at_got..next_got].iter().for_each(|line| push('+', line));
        push(' ', &expected[next_expected]);
        (at_expected, at_got) = (next_expected + 1, next_got + 1);
    }
    expected[at_expected..].iter().for_each(|line| push('-', line));
    got[at_got..].iter().for_each(|line| push('+', line));
    out
}

/// Beyond this many pairs of lines the texts are shown one after the other.
const DIFF_CELLS_MAX: usize = 4_000_000;

/// Pairs of positions of a longest common subsequence.
fn longest_common(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    if a.len().saturating_mul(b.len()) > DIFF_CELLS_MAX {
        return Vec::new();
    }
    let width = b.len() + 1;
    let mut lengths = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i * width + j] = if a[i] == b[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}
