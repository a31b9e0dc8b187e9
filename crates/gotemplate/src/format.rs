//! Package `fmt`: `print`, `printf` and how values look.

mod number;
mod verbs;

use crate::value::Value;
use verbs::Spec;

/// Printing a value stops somewhere beyond this length: values may share parts, so that a small one
/// prints without end. No output is allowed to be longer, so that nothing is cut unnoticed.
pub(crate) const PRINTED_BYTES_MAX: usize = 4 << 20;

/// A value as an action prints it.
pub(crate) fn print_value(value: &Value) -> String {
    match value {
        Value::Nil => "<no value>".to_owned(),
        Value::Str(text) | Value::Safe(_, text) => text.to_string(),
        other => shown(other),
    }
}

/// A value as `%v` prints it.
pub(crate) fn shown(value: &Value) -> String {
    let mut out = String::new();
    verbs::push_arg(&mut out, value, 'v', &Spec::default());
    out
}

/// `fmt.Sprint`: a space between operands when neither is a string.
pub fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    let mut previous_is_string = true;
    for (idx, arg) in args.iter().enumerate() {
        let is_string = arg.as_str().is_some();
        if idx > 0 && !is_string && !previous_is_string {
            out.push(' ');
        }
        out.push_str(&shown(arg));
        previous_is_string = is_string;
    }
    out
}

/// What `html`, `js` and `urlquery` escape: one string as it is, else `fmt.Sprint`.
pub(crate) fn print_args(args: &[Value]) -> String {
    match args {
        [Value::Str(text) | Value::Safe(_, text)] => text.to_string(),
        [Value::Nil] => "<no value>".to_owned(),
        _ => sprint(args),
    }
}

/// `fmt.Sprintf` with all its verbs, flags, explicit argument indexes and complaints.
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut directive = Directives { rest: format, args, next: 0, reordered: false, good_index: true };
    while let Some(at) = directive.rest.find('%') {
        out.push_str(&directive.rest[..at]);
        directive.rest = &directive.rest[at + 1..];
        directive.expand(&mut out);
    }
    out.push_str(directive.rest);
    if !directive.reordered && directive.next < args.len() {
        out.push_str("%!(EXTRA ");
        for (idx, arg) in args[directive.next..].iter().enumerate() {
            if idx > 0 {
                out.push_str(", ");
            }
            match arg {
                Value::Nil => out.push_str("<nil>"),
                arg => {
                    out.push_str(arg.type_name());
                    out.push('=');
                    out.push_str(&shown(arg));
                }
            }
        }
        out.push(')');
    }
    out
}

/// Widths and precisions beyond this are ignored, as by Go.
const WIDTH_MAX: usize = 1_000_000;

struct Directives<'a> {
    rest: &'a str,
    args: &'a [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
}

impl Directives<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn flags(&mut self) -> Spec {
        let mut spec = Spec::default();
        while let Some(c) = self.peek() {
            match c {
                '#' => spec.sharp = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                ' ' => spec.space = true,
                _ => break,
            }
            self.skip(c);
        }
        spec
    }

    /// `[n]`; true if one was there.
    fn arg_index(&mut self) -> bool {
        if self.peek() != Some('[') {
            return false;
        }
        self.reordered = true;
        let Some(end) = self.rest.find(']') else {
            self.good_index = false;
            self.skip('[');
            return false;
        };
        let index: Option<usize> = self.rest[1..end].parse().ok();
        self.rest = &self.rest[end + 1..];
        match index.filter(|n| (1..=self.args.len()).contains(n)) {
            Some(n) => self.next = n - 1,
            None => self.good_index = false,
        }
        true
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let number = self.rest[..digits].parse().ok().filter(|n| *n <= WIDTH_MAX);
        self.rest = &self.rest[digits..];
        number
    }

    /// The argument of a `*`.
    fn star(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        match arg.plain() {
            Value::Int(v) if v.unsigned_abs() <= WIDTH_MAX as u64 => Some(v),
            _ => None,
        }
    }

    fn width(&mut self, out: &mut String, spec: &mut Spec) {
        if self.peek() != Some('*') {
            spec.width = self.number();
            return;
        }
        self.skip('*');
        match self.star() {
            Some(v) => {
                if v < 0 {
                    spec.minus = true;
                    spec.zero = false;
                }
                spec.width = usize::try_from(v.unsigned_abs()).ok();
            }
            None => out.push_str("%!(BADWIDTH)"),
        }
    }

    fn precision(&mut self, out: &mut String, spec: &mut Spec) {
        if self.peek() != Some('.') {
            return;
        }
        self.skip('.');
        self.arg_index();
        if self.peek() != Some('*') {
            spec.precision = Some(self.number().unwrap_or(0));
            return;
        }
        self.skip('*');
        match self.star() {
            Some(v) => spec.precision = usize::try_from(v).ok(),
            None => out.push_str("%!(BADPREC)"),
        }
    }

    fn expand(&mut self, out: &mut String) {
        self.good_index = true;
        let mut spec = self.flags();
        let had_index = self.arg_index();
        self.width(out, &mut spec);
        if had_index && spec.width.is_some() {
            self.good_index = false;
        }
        self.precision(out, &mut spec);
        self.arg_index();
        let Some(verb) = self.peek() else {
            out.push_str("%!(NOVERB)");
            return;
        };
        self.skip(verb);
        if verb == '%' {
            out.push('%');
            return;
        }
        if !self.good_index {
            out.push_str(&format!("%!{verb}(BADINDEX)"));
            return;
        }
        let Some(arg) = self.args.get(self.next) else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            return;
        };
        self.next += 1;
        verbs::push_arg(out, arg, verb, &spec);
    }
}
