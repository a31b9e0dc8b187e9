//! YAML text → a tree that remembers where everything stood. Anchors, aliases and merge keys are
//! resolved here, within limits, so that nothing after this module meets them.

mod load;
mod scalar;

pub use load::{YamlError, parse};
pub use rules::config::SourcePos;
pub use scalar::{Resolved, Scalar};

/// A value with the place of its first character.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub pos: SourcePos,
    pub kind: NodeKind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// In file order; keys may repeat (the decoder reports it, since the message names the type).
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// Whether upstream's library sees null: nothing, `~` or `null`, unquoted.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar(scalar) if scalar.resolve() == Resolved::Null)
    }

    /// The text of a scalar, whatever its type.
    pub fn scalar_text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The pairs of a mapping.
    pub fn entries(&self) -> Option<&[(Self, Self)]> {
        match &self.kind {
            NodeKind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The elements of a sequence.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            NodeKind::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries()?.iter().find(|(name, _)| name.scalar_text() == Some(key));
        found.map(|(_, value)| value)
    }
}
