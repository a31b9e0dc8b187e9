//! Expressions over several indented lines: a node longer than a line is split into its parts.

use std::fmt::{self, Display, Write};

use crate::ast::Expr;
use crate::printer::{AggregateHead, BinaryHead, SubquerySuffix};

/// The longest text, in bytes, that stays on one line.
const LINE_BYTES_MAX: usize = 100;

/// The expression, indented by two blanks per level where it is too long for a line.
pub fn prettify(expr: &Expr) -> String {
    prettify_to(expr, LINE_BYTES_MAX)
}

/// [`prettify`] with another length of line.
pub fn prettify_to(expr: &Expr, line_bytes: usize) -> String {
    let mut pretty = Pretty { out: String::new(), line_bytes };
    pretty.write(expr, 0).expect("writing to a String cannot fail");
    pretty.out
}

struct Pretty {
    out: String,
    line_bytes: usize,
}

/// Accepts a line's worth of text, then refuses.
struct Line {
    left: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// The blanks in front of a node of some level.
struct Indent(usize);

impl Display for Indent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.0).try_for_each(|_| f.write_str("  "))
    }
}

impl Pretty {
    fn fits_line(&self, expr: &Expr) -> bool {
        write!(Line { left: self.line_bytes }, "{expr}").is_ok()
    }

    fn write(&mut self, expr: &Expr, level: usize) -> fmt::Result {
        let indent = Indent(level);
        match expr {
            Expr::StepInvariant(e) => self.write(e, level),
            Expr::Subquery(e) if !self.fits_line(expr) => {
                self.write(&e.expr, level)?;
                write!(self.out, "{}", SubquerySuffix(e))
            }
            // Upstream gives a short subquery no indentation; formatted files depend on it.
            Expr::Subquery(_) => write!(self.out, "{expr}"),
            Expr::Unary(e) => {
                let mut child = Self { out: String::new(), line_bytes: self.line_bytes };
                child.write(&e.expr, level)?;
                write!(self.out, "{indent}{}{}", e.op.as_str(), child.out.trim())
            }
            Expr::Matrix(_) | Expr::Number(_) | Expr::String(_) | Expr::Vector(_) => {
                write!(self.out, "{indent}{expr}")
            }
            _ if self.fits_line(expr) => write!(self.out, "{indent}{expr}"),
            Expr::Aggregate(e) => {
                writeln!(self.out, "{indent}{}(", AggregateHead(e))?;
                self.write_list(e.param.iter().chain([&e.expr]), level + 1)?;
                write!(self.out, "\n{indent})")
            }
            Expr::Binary(e) => {
                self.write(&e.lhs, level + 1)?;
                writeln!(self.out, "\n{indent}{}", BinaryHead(e))?;
                self.write(&e.rhs, level + 1)
            }
            Expr::Call(e) => {
                writeln!(self.out, "{indent}{}(", e.function.name)?;
                self.write_list(e.args.iter(), level + 1)?;
                write!(self.out, "\n{indent})")
            }
            Expr::Paren(e) => {
                writeln!(self.out, "{indent}(")?;
                self.write(&e.expr, level + 1)?;
                write!(self.out, "\n{indent})")
            }
        }
    }

    fn write_list<'a>(&mut self, exprs: impl Iterator<Item = &'a Expr>, level: usize) -> fmt::Result {
        for (idx, expr) in exprs.enumerate() {
            if idx > 0 {
                self.out.push_str(",\n");
            }
            self.write(expr, level)?;
        }
        Ok(())
    }
}
