//! Integers and floats under their verbs.

use model::labels::GoQuoted;

use super::verbs::Spec;

/// False if the verb is none for integers.
pub(super) fn integer(out: &mut String, v: i128, verb: char, spec: &Spec) -> bool {
    let magnitude = v.unsigned_abs();
    let (digits, prefix) = match verb {
        'v' | 'd' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), if spec.sharp { "0b" } else { "" }),
        'o' => (format!("{magnitude:o}"), if spec.sharp { "0" } else { "" }),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), if spec.sharp { "0x" } else { "" }),
        'X' => (format!("{magnitude:X}"), if spec.sharp { "0X" } else { "" }),
        'c' | 'q' => {
            let c = u32::try_from(v).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = if verb == 'c' { c.to_string() } else { quoted_char(c) };
            spec.pad(out, &text, false);
            return true;
        }
        'U' => {
            let mut text = format!("U+{magnitude:04X}");
            if spec.sharp
                && let Some(c) = u32::try_from(v).ok().and_then(char::from_u32)
            {
                text.push_str(&format!(" '{c}'"));
            }
            spec.pad(out, &text, false);
            return true;
        }
        _ => return false,
    };
    let digits = match spec.precision {
        Some(0) if v == 0 => String::new(),
        Some(n) => "0".repeat(n.saturating_sub(digits.len())) + &digits,
        None => digits,
    };
    let sign = if v < 0 {
        "-"
    } else if spec.plus {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    if spec.zero && !spec.minus && spec.precision.is_none() {
        let missing = spec.width.unwrap_or(0).saturating_sub(sign.len() + prefix.len() + digits.len());
        out.push_str(sign);
        out.push_str(prefix);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(&digits);
        return true;
    }
    spec.pad(out, &format!("{sign}{prefix}{digits}"), false);
    true
}

fn quoted_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = GoQuoted(c.encode_utf8(&mut [0; 4])).to_string();
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// False if the verb is none for floats.
pub(super) fn float(out: &mut String, v: f64, verb: char, spec: &Spec) -> bool {
    let text = match (verb, spec.precision) {
        ('v' | 'g' | 'G', None) => base::gofloat::format_g(v),
        ('v' | 'g' | 'G', Some(n)) => base::gofloat::format_g_precision(v, n),
        ('e' | 'E', n) => exponential(v, n.unwrap_or(6)),
        ('f' | 'F', n) if v.is_finite() => base::gofloat::format_f_precision(v, n.unwrap_or(6)),
        ('f' | 'F', _) => base::gofloat::format_f(v),
        ('x' | 'X' | 'b', _) => return hexadecimal(out, v, verb, spec),
        _ => return false,
    };
    let text = if verb.is_ascii_uppercase() && v.is_finite() { text.to_uppercase() } else { text };
    let bare = text.trim_start_matches('+');
    let signed = match bare.starts_with('-') {
        true => bare.to_owned(),
        false if spec.plus || (v == f64::INFINITY && !spec.space) => format!("+{bare}"),
        false if spec.space => format!(" {bare}"),
        false => bare.to_owned(),
    };
    spec.pad(out, &signed, v.is_finite());
    true
}

fn exponential(v: f64, precision: usize) -> String {
    if !v.is_finite() {
        return base::gofloat::format_f(v);
    }
    base::gofloat::format_e_precision(v, precision)
}

/// `%x` and `%b` of a float: mantissa and binary exponent.
fn hexadecimal(out: &mut String, v: f64, verb: char, spec: &Spec) -> bool {
    if !v.is_finite() {
        spec.pad(out, &base::gofloat::format_f(v), false);
        return true;
    }
    let bits = v.to_bits();
    let raw_exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let sign = if v.is_sign_negative() { "-" } else { "" };
    let (mantissa, exponent) =
        if raw_exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, raw_exponent - 1075) };
    if verb == 'b' {
        spec.pad(out, &format!("{sign}{mantissa}p{exponent:+}"), true);
        return true;
    }
    let (lead, digits, exponent) = if mantissa == 0 {
        (0, String::new(), 0)
    } else {
        let shift = mantissa.leading_zeros() - 11;
        let normal = (mantissa << shift) & ((1 << 52) - 1);
        let digits = format!("{normal:013x}");
        (1, digits.trim_end_matches('0').to_owned(), exponent + 52 - i32::try_from(shift).unwrap_or(0))
    };
    let point = if digits.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    let text = format!("{sign}0x{lead}{point}{digits}p{exponent_sign}{:02}", exponent.abs());
    let text = if verb == 'X' { text.to_uppercase() } else { text };
    spec.pad(out, &text, true);
    true
}
