//! Visiting the nodes of a tree.

use super::{Expr, MatrixSelector, VectorSelector};

impl Expr {
    /// The direct children, in upstream's order (an aggregation's vector before its parameter).
    /// The selector inside a matrix selector is no `Expr`; see [`Expr::selector`].
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Aggregate(e) => std::iter::once(&e.expr).chain(e.param.as_ref()).collect(),
            Self::Binary(e) => vec![&e.lhs, &e.rhs],
            Self::Call(e) => e.args.iter().collect(),
            Self::Paren(e) => vec![&e.expr],
            Self::StepInvariant(e) => vec![e],
            Self::Subquery(e) => vec![&e.expr],
            Self::Unary(e) => vec![&e.expr],
            Self::Matrix(_) | Self::Number(_) | Self::String(_) | Self::Vector(_) => Vec::new(),
        }
    }

    /// [`Expr::children`], to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Aggregate(e) => std::iter::once(&mut e.expr).chain(e.param.as_mut()).collect(),
            Self::Binary(e) => vec![&mut e.lhs, &mut e.rhs],
            Self::Call(e) => e.args.iter_mut().collect(),
            Self::Paren(e) => vec![&mut e.expr],
            Self::StepInvariant(e) => vec![e],
            Self::Subquery(e) => vec![&mut e.expr],
            Self::Unary(e) => vec![&mut e.expr],
            Self::Matrix(_) | Self::Number(_) | Self::String(_) | Self::Vector(_) => Vec::new(),
        }
    }

    /// The vector selector of a vector or matrix selector.
    pub fn selector(&self) -> Option<&VectorSelector> {
        match self {
            Self::Vector(selector) => Some(selector),
            Self::Matrix(matrix) => Some(&matrix.selector),
            _ => None,
        }
    }

    /// The matrix selector, if this is one, parentheses aside.
    pub fn matrix(&self) -> Option<&MatrixSelector> {
        match self.unwrapped() {
            Self::Matrix(matrix) => Some(matrix),
            _ => None,
        }
    }

    /// Calls `visit` for this node and all below, parents first. `path` holds the ancestors, the
    /// root first. Depth is bounded by the parser.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self, &[&'a Self])) {
        self.walk_below(visit, &mut Vec::new());
    }

    fn walk_below<'a>(&'a self, visit: &mut impl FnMut(&'a Self, &[&'a Self]), path: &mut Vec<&'a Self>) {
        visit(self, path);
        path.push(self);
        for child in self.children() {
            child.walk_below(visit, path);
        }
        path.pop();
    }

    /// Every vector selector below, those inside matrix selectors included, in visiting order.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        self.walk(&mut |expr, _| found.extend(expr.selector()));
        found
    }
}
