//! Start timestamps of loaded samples: `metric@st -1m _ -10sx3 -1m+15sx4`.

use base::duration;

use super::script::ScriptErrorKind;

/// Values that one line may spell out with `x`; a script is written by hand and stays far below.
pub(super) const VALUES_MAX: usize = 1_000_000;

/// Splits a line of start timestamps into the series and the values; `None` for other lines.
pub(super) fn split_line(line: &str) -> Option<(&str, &str)> {
    let (metric, values) = line.split_once([' ', '\t'])?;
    Some((metric.strip_suffix("@st")?, values.trim()))
}

/// One offset in milliseconds per sample, relative to the sample's time; `None` where unknown.
pub(super) fn parse_values(values: &str) -> Result<Vec<Option<i64>>, ScriptErrorKind> {
    let mut offsets = Vec::new();
    for item in values.split_whitespace() {
        let invalid = || ScriptErrorKind::StartTime { item: item.to_owned() };
        parse_item(item, &mut offsets).ok_or_else(invalid)?;
    }
    Ok(offsets)
}

fn parse_item(item: &str, offsets: &mut Vec<Option<i64>>) -> Option<()> {
    if let Some(blank) = item.strip_prefix('_') {
        let times = if blank.is_empty() { 1 } else { repeats(blank)? };
        return (times > 0).then(|| offsets.extend(std::iter::repeat_n(None, times)));
    }
    let (base_ms, rest) = parse_offset(item)?;
    let (step_ms, rest) = match rest.as_bytes().first() {
        Some(b'+' | b'-') => parse_offset(rest)?,
        _ => (0, rest),
    };
    let times = if rest.is_empty() && step_ms == 0 { 0 } else { repeats(rest)? };
    let mut offset_ms = base_ms;
    for _ in 0..=times {
        offsets.push(Some(offset_ms));
        offset_ms = offset_ms.checked_add(step_ms)?;
    }
    Some(())
}

fn repeats(text: &str) -> Option<usize> {
    text.strip_prefix('x')?.parse().ok().filter(|times| *times <= VALUES_MAX)
}

/// A duration with an optional sign at the beginning of `text`, in milliseconds, and what follows.
fn parse_offset(text: &str) -> Option<(i64, &str)> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    let unit = body[digits..]
        .find(|c: char| !c.is_ascii_alphabetic() || c == 'x')
        .map_or(body.len(), |n| digits + n);
    let ms = duration::parse_ms(&body[..unit]).ok()?;
    Some((if negative { -ms } else { ms }, &body[unit..]))
}
