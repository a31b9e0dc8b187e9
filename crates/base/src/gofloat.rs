//! Floats as Go's `strconv` prints and parses them: sample values in JSON, label values, templates
//! and exposition all depend on it to the byte.

use std::fmt::Write as _;

/// `strconv.FormatFloat(v, 'f', -1, 64)`: the shortest decimal that reads back, never an exponent.
pub fn format_f(v: f64) -> String {
    let mut out = String::new();
    push_f(&mut out, v);
    out
}

/// [`format_f`] into an existing buffer.
pub fn push_f(out: &mut String, v: f64) {
    if !push_special(out, v) {
        write!(out, "{v}").expect("writing to a String cannot fail");
    }
}

/// `strconv.FormatFloat(v, 'g', -1, 64)`, also `%v` of a float64: an exponent below -4 and from 6 on, whatever the digits.
pub fn format_g(v: f64) -> String {
    let mut out = String::new();
    if push_special(&mut out, v) {
        return out;
    }
    let (digits, exponent) = shortest(v);
    if !(-4..6).contains(&exponent) {
        push_exponential(&mut out, v.is_sign_negative(), &digits, exponent);
    } else {
        push_f(&mut out, v);
    }
    out
}

/// `strconv.FormatFloat(v, 'e', -1, 64)`.
pub fn format_e(v: f64) -> String {
    let mut out = String::new();
    if !push_special(&mut out, v) {
        let (digits, exponent) = shortest(v);
        push_exponential(&mut out, v.is_sign_negative(), &digits, exponent);
    }
    out
}

/// No float has more digits that are not zero, before and after the point together; and the formatter of
/// the standard library panics beyond 65535.
const SIGNIFICANT_DIGITS_MAX: usize = 1_100;

/// Go's `%.{precision}f`: so many digits after the point.
pub fn format_f_precision(v: f64, precision: usize) -> String {
    let digits = precision.min(SIGNIFICANT_DIGITS_MAX);
    let mut out = format!("{v:.digits$}");
    out.extend(std::iter::repeat_n('0', precision - digits));
    out
}

/// Go's `%.{precision}e`: so many digits after the point.
pub fn format_e_precision(v: f64, precision: usize) -> String {
    let digits = precision.min(SIGNIFICANT_DIGITS_MAX);
    let text = format!("{v:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').expect("{:e} always prints an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} prints a whole exponent");
    let sign = if exponent < 0 { '-' } else { '+' };
    let zeros = "0".repeat(precision - digits);
    format!("{mantissa}{zeros}e{sign}{:02}", exponent.abs())
}

/// Go's `%.{precision}g`: `precision` significant digits, trailing zeros removed.
pub fn format_g_precision(v: f64, precision: usize) -> String {
    let mut out = String::new();
    if push_special(&mut out, v) {
        return out;
    }
    // Zeros at the end are cut off anyway.
    let precision = precision.clamp(1, SIGNIFICANT_DIGITS_MAX);
    let scientific = format!("{:.*e}", precision - 1, v.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} always prints an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} prints a whole exponent");
    if exponent < -4 || exponent >= i32::try_from(precision).unwrap_or(i32::MAX) {
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        push_exponential(&mut out, v.is_sign_negative(), digits.trim_end_matches('0'), exponent);
        return out;
    }
    let decimals = usize::try_from(i32::try_from(precision).unwrap_or(0) - 1 - exponent).unwrap_or(0);
    let fixed = format!("{v:.decimals$}");
    if fixed.contains('.') {
        out.push_str(fixed.trim_end_matches('0').trim_end_matches('.'));
    } else {
        out.push_str(&fixed);
    }
    out
}

fn push_special(out: &mut String, v: f64) -> bool {
    let special = if v.is_nan() {
        "NaN"
    } else if v == f64::INFINITY {
        "+Inf"
    } else if v == f64::NEG_INFINITY {
        "-Inf"
    } else {
        return false;
    };
    out.push_str(special);
    true
}

/// The shortest digits that read back as `v`, and the decimal exponent of the first.
fn shortest(v: f64) -> (String, i32) {
    let text = format!("{:e}", v.abs());
    let (mantissa, exponent) = text.split_once('e').expect("{:e} always prints an exponent");
    let digits = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse().expect("{:e} prints a whole exponent"))
}

fn push_exponential(out: &mut String, negative: bool, digits: &str, exponent: i32) {
    if negative {
        out.push('-');
    }
    let (first, rest) = if digits.is_empty() { ("0", "") } else { digits.split_at(1) };
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "e{sign}{:02}", exponent.abs()).expect("writing to a String cannot fail");
}

/// `strconv.ParseFloat(s, 64)`: decimal, hexadecimal floats with `p` exponents, `inf`, `infinity` and
/// `nan` in any case. Underscores are refused, as by Go outside base prefix 0. Out of range gives
/// an infinity, which Go reports as an error together with that value; callers here want the value.
pub fn parse(text: &str) -> Option<f64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
        f64::INFINITY
    } else if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    } else if body.len() > 2 && body.as_bytes()[0] == b'0' && matches!(body.as_bytes()[1], b'x' | b'X') {
        parse_hex(&body[2..])?
    } else {
        let plain = body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
        if !plain || !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        body.parse::<f64>().ok()?
    };
    Some(if negative { -magnitude } else { magnitude })
}

fn parse_hex(body: &str) -> Option<f64> {
    let split = body.find(['p', 'P'])?;
    let (mantissa, exponent) = (&body[..split], &body[split + 1..]);
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let fraction_bits = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2f64.powi(exponent.saturating_sub(fraction_bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (v, f, g) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (0.1, "0.1", "0.1"),
            (1e6, "1000000", "1e+06"),
            (1e20, "100000000000000000000", "1e+20"),
            (1e21, "1000000000000000000000", "1e+21"),
            (123_456_789.0, "123456789", "1.23456789e+08"),
            (0.00001, "0.00001", "1e-05"),
            (0.0001, "0.0001", "0.0001"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(format_f(v), f);
            assert_eq!(format_g(v), g);
        }
        assert_eq!(format_e(1500.0), "1.5e+03");
        assert_eq!(format_e(0.0), "0e+00");
        assert_eq!(format_g_precision(1234.5678, 4), "1235");
        assert_eq!(format_g_precision(0.00001234, 4), "1.234e-05");
        assert_eq!(format_g_precision(100.0, 4), "100");
        assert_eq!(format_g_precision(1e6, 4), "1e+06");
    }

    #[test]
    fn precisions_beyond_the_digits_of_a_float_give_zeros() {
        for v in [0.0, 1.5, -2.25e300, 5e-324, f64::MAX] {
            for precision in [0, 6, 1_100, 1_101, 60_000] {
                assert_eq!(format_f_precision(v, precision), format!("{v:.precision$}"), "{v} {precision}");
            }
            assert_eq!(format_g_precision(v, 70_000), format_g_precision(v, 1_100), "{v}");
        }
        assert_eq!(format_f_precision(1.5, 70_000), format!("1.5{}", "0".repeat(69_999)));
        assert_eq!(format_e_precision(-1.5, 70_000), format!("-1.5{}e+00", "0".repeat(69_999)));
        assert_eq!(format_e_precision(1e-7, 2), "1.00e-07");
    }

    #[test]
    fn floats_parse_as_go_parses_them() {
        for (text, v) in
            [("1", 1.0), ("-1.5e3", -1500.0), ("+Inf", f64::INFINITY), (".5", 0.5), ("0x1p-2", 0.25)]
        {
            assert_eq!(parse(text), Some(v), "{text}");
        }
        assert!(parse("nan").unwrap().is_nan());
        for bad in ["", "1_000", "abc", "0x", "1e", "--1", "infinit", "-nan"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
