//! `Time.Format`: layouts written as the reference time would look.

use std::fmt::Write as _;

use super::GoTime;
use super::civil::Civil;

/// One element of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// Whether UTC shows as `Z`, whether colons stand between, and how many of hours, minutes, seconds.
    Zone {
        z: bool,
        colons: bool,
        parts: u8,
    },
    /// Digits of the second, and whether trailing zeros go.
    Fraction {
        digits: usize,
        trim: bool,
    },
}

/// Texts that stand for elements; longer ones first where one begins another.
const PARTS: [(&str, Part); 37] = [
    ("January", Part::LongMonth),
    ("Jan", Part::Month),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::Weekday),
    ("MST", Part::ZoneName),
    ("002", Part::ZeroYearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("1", Part::NumMonth),
    ("2006", Part::LongYear),
    ("2", Part::Day),
    ("__2", Part::UnderYearDay),
    ("_2", Part::UnderDay),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::UpperPm),
    ("pm", Part::LowerPm),
    ("-07:00:00", Part::Zone { z: false, colons: true, parts: 3 }),
    ("-070000", Part::Zone { z: false, colons: false, parts: 3 }),
    ("-07:00", Part::Zone { z: false, colons: true, parts: 2 }),
    ("-0700", Part::Zone { z: false, colons: false, parts: 2 }),
    ("-07", Part::Zone { z: false, colons: false, parts: 1 }),
    ("Z07:00:00", Part::Zone { z: true, colons: true, parts: 3 }),
    ("Z070000", Part::Zone { z: true, colons: false, parts: 3 }),
    ("Z07:00", Part::Zone { z: true, colons: true, parts: 2 }),
    ("Z0700", Part::Zone { z: true, colons: false, parts: 2 }),
    ("Z07", Part::Zone { z: true, colons: false, parts: 1 }),
    (".0", Part::Fraction { digits: 0, trim: false }),
    (",0", Part::Fraction { digits: 0, trim: false }),
    (".9", Part::Fraction { digits: 0, trim: true }),
    (",9", Part::Fraction { digits: 0, trim: true }),
];

/// The element that `layout` begins with and its length.
fn part_at(layout: &str) -> Option<(Part, usize)> {
    // "_2006" is an underscore and a year.
    if layout.starts_with("_2006") {
        return None;
    }
    let (text, part) = PARTS.iter().find(|(text, _)| layout.starts_with(text))?;
    let after = &layout[text.len()..];
    match part {
        Part::Month | Part::Weekday if after.starts_with(|c: char| c.is_ascii_lowercase()) => None,
        Part::Fraction { trim, .. } => {
            let digit = text.chars().nth(1)?;
            let digits = layout[1..].len() - layout[1..].trim_start_matches(digit).len();
            let ends = !layout[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
            ends.then_some((Part::Fraction { digits, trim: *trim }, digits + 1))
        }
        part => Some((*part, text.len())),
    }
}

pub(super) fn format(time: &GoTime, layout: &str) -> String {
    let civil = time.civil();
    let mut out = String::with_capacity(layout.len() + 10);
    let mut at = 0;
    while let Some(c) = layout[at..].chars().next() {
        match part_at(&layout[at..]) {
            Some((part, len)) => {
                let separator = c;
                push(&mut out, time, &civil, part, separator);
                at += len;
            }
            None => {
                out.push(c);
                at += c.len_utf8();
            }
        }
    }
    out
}

fn push(out: &mut String, time: &GoTime, civil: &Civil, part: Part, separator: char) {
    let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
    let written = match part {
        Part::LongMonth => out.write_str(civil.month_name()),
        Part::Month => out.write_str(&civil.month_name()[..3]),
        Part::NumMonth => write!(out, "{}", civil.month),
        Part::ZeroMonth => write!(out, "{:02}", civil.month),
        Part::LongWeekday => out.write_str(civil.weekday_name()),
        Part::Weekday => out.write_str(&civil.weekday_name()[..3]),
        Part::Day => write!(out, "{}", civil.day),
        Part::UnderDay => write!(out, "{:2}", civil.day),
        Part::ZeroDay => write!(out, "{:02}", civil.day),
        Part::UnderYearDay => write!(out, "{:3}", civil.year_day),
        Part::ZeroYearDay => write!(out, "{:03}", civil.year_day),
        Part::Hour => write!(out, "{:02}", civil.hour),
        Part::Hour12 => write!(out, "{hour12}"),
        Part::ZeroHour12 => write!(out, "{hour12:02}"),
        Part::Minute => write!(out, "{}", civil.minute),
        Part::ZeroMinute => write!(out, "{:02}", civil.minute),
        Part::Second => write!(out, "{}", civil.second),
        Part::ZeroSecond => write!(out, "{:02}", civil.second),
        Part::LongYear if civil.year < 0 => write!(out, "-{:04}", -civil.year),
        Part::LongYear => write!(out, "{:04}", civil.year),
        Part::Year => write!(out, "{:02}", civil.year.rem_euclid(100)),
        Part::UpperPm => out.write_str(if civil.hour >= 12 { "PM" } else { "AM" }),
        Part::LowerPm => out.write_str(if civil.hour >= 12 { "pm" } else { "am" }),
        Part::ZoneName if time.is_utc => out.write_str("UTC"),
        Part::ZoneName => push_zone(out, time.offset_seconds, false, 2),
        Part::Zone { z: true, .. } if time.offset_seconds == 0 => out.write_str("Z"),
        Part::Zone { colons, parts, .. } => push_zone(out, time.offset_seconds, colons, parts),
        Part::Fraction { digits, trim } => push_fraction(out, time.nanoseconds, digits, trim, separator),
    };
    written.expect("writing to a String cannot fail");
}

fn push_zone(out: &mut String, offset: i32, colons: bool, parts: u8) -> std::fmt::Result {
    let (sign, abs) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    let colon = if colons { ":" } else { "" };
    write!(out, "{sign}{:02}", abs / 3600)?;
    if parts > 1 {
        write!(out, "{colon}{:02}", abs / 60 % 60)?;
    }
    if parts > 2 {
        write!(out, "{colon}{:02}", abs % 60)?;
    }
    Ok(())
}

fn push_fraction(out: &mut String, ns: u32, digits: usize, trim: bool, separator: char) -> std::fmt::Result {
    let all = format!("{ns:09}");
    let mut shown = format!("{:0<digits$}", &all[..digits.min(9)]);
    if trim {
        shown.truncate(shown.trim_end_matches('0').len());
        if shown.is_empty() {
            return Ok(());
        }
    }
    write!(out, "{separator}{shown}")
}
