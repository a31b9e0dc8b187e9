//! Evaluation against series in memory.

mod fragments;
mod limits;
mod names;
mod statistics;
mod steps;

use model::Labels;

use crate::ast::Expr;
use crate::parser::{ParserOptions, parse_expr};

fn parse(query: &str) -> Expr {
    parse_expr(query, &ParserOptions::all()).unwrap_or_else(|e| panic!("{query}: {e:?}"))
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}
