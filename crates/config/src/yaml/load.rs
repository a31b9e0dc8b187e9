//! Events of the parser → tree.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use thiserror::Error;

use super::{Node, NodeKind, Scalar, SourcePos};

/// The largest text that is read.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 20;
/// The most values a text may have once aliases are written out: no alias bomb grows past it.
pub(crate) const NODE_COUNT_MAX: usize = 1_000_000;
/// The deepest nesting.
pub(crate) const DEPTH_MAX: usize = 200;

/// Why a text is no YAML document we accept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("yaml: line {}: {message}", pos.line)]
pub struct YamlError {
    pub pos: SourcePos,
    pub message: String,
}

/// Reads the first document. `None` when the text holds none (empty, or only comments).
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("document of {} bytes is larger than {TEXT_BYTES_MAX}", text.len());
        return Err(YamlError { pos: SourcePos::default(), message });
    }
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|err| syntax_error(&err))?;
        if event == Event::DocumentEnd {
            break;
        }
        builder.take(event, pos_of(&span.start))?;
    }
    Ok(builder.root)
}

fn syntax_error(err: &ScanError) -> YamlError {
    YamlError { pos: pos_of(err.marker()), message: err.info().to_owned() }
}

fn pos_of(marker: &Marker) -> SourcePos {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    SourcePos { line: count(marker.line()), column: count(marker.col() + 1) }
}

/// A collection that is still open.
#[derive(Debug)]
struct Open {
    pos: SourcePos,
    anchor: usize,
    /// Children in order; for a mapping keys and values take turns.
    children: Vec<Node>,
}

#[derive(Debug, Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    /// By anchor id; `None` while the anchored value is still open.
    anchors: Vec<Option<(Node, usize)>>,
    node_count: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, pos: SourcePos) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar_of(&text, style, tag.as_deref(), pos)?;
                self.add(Node { pos, kind: NodeKind::Scalar(scalar) }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => self.push_open(pos, anchor),
            Event::SequenceEnd => {
                let open = self.pop_open(pos)?;
                let size = 1;
                self.add(Node { pos: open.pos, kind: NodeKind::Sequence(open.children) }, open.anchor, size)
            }
            Event::MappingEnd => {
                let open = self.pop_open(pos)?;
                let kind = NodeKind::Mapping(merged_entries(open.children)?);
                self.add(Node { pos: open.pos, kind }, open.anchor, 1)
            }
            Event::Alias(anchor) => {
                let Some(Some((node, size))) = self.anchors.get(anchor) else {
                    return Err(refuse(pos, "anchor value contains itself"));
                };
                let (node, size) = (node.clone(), *size);
                self.add(Node { pos, kind: node.kind }, 0, size)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
            Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn push_open(&mut self, pos: SourcePos, anchor: usize) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(refuse(pos, "exceeded max depth"));
        }
        self.open.push(Open { pos, anchor, children: Vec::new() });
        Ok(())
    }

    fn pop_open(&mut self, pos: SourcePos) -> Result<Open, YamlError> {
        self.open.pop().ok_or_else(|| refuse(pos, "unexpected end of a collection"))
    }

    fn add(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), YamlError> {
        self.node_count += size;
        if self.node_count > NODE_COUNT_MAX {
            return Err(refuse(node.pos, "document contains excessive aliasing"));
        }
        if anchor > 0 {
            if self.anchors.len() <= anchor {
                self.anchors.resize(anchor + 1, None);
            }
            // Storing the anchored copy costs as much as an alias to it, so that nested anchors are bounded too.
            let size = count_nodes(&node);
            self.node_count += size;
            self.anchors[anchor] = Some((node.clone(), size));
        }
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

fn refuse(pos: SourcePos, message: &str) -> YamlError {
    YamlError { pos, message: message.to_owned() }
}

fn count_nodes(node: &Node) -> usize {
    1 + match &node.kind {
        NodeKind::Scalar(_) => 0,
        NodeKind::Sequence(items) => items.iter().map(count_nodes).sum(),
        NodeKind::Mapping(entries) => entries.iter().map(|(k, v)| count_nodes(k) + count_nodes(v)).sum(),
    }
}

/// Pairs up keys and values and writes merge keys (`<<`) out: a key of the mapping itself wins, then
/// the first merged mapping that has it.
fn merged_entries(children: Vec<Node>) -> Result<Vec<(Node, Node)>, YamlError> {
    let mut entries = Vec::with_capacity(children.len() / 2);
    let mut merges = Vec::new();
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        match &key.kind {
            NodeKind::Scalar(scalar) if scalar.plain && scalar.text == "<<" => merges.push(value),
            _ => entries.push((key, value)),
        }
    }
    for merge in merges {
        let sources = match merge.kind {
            NodeKind::Sequence(items) => items,
            _ => vec![merge],
        };
        for source in sources {
            let NodeKind::Mapping(source_entries) = source.kind else {
                return Err(refuse(source.pos, "map merge requires map or sequence of maps as the value"));
            };
            for (key, value) in source_entries {
                if !entries.iter().any(|(known, _): &(Node, Node)| known.kind == key.kind) {
                    entries.push((key, value));
                }
            }
        }
    }
    Ok(entries)
}

fn scalar_of(text: &str, style: ScalarStyle, tag: Option<&Tag>, pos: SourcePos) -> Result<Scalar, YamlError> {
    let core_tag = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    let mut scalar = Scalar { text: text.to_owned(), plain: style == ScalarStyle::Plain, invalid_utf8: None };
    match core_tag {
        Some("binary") => {
            let bytes = decode_base64(text)
                .ok_or_else(|| refuse(pos, "!!binary value contains invalid base64 data"))?;
            scalar.plain = false;
            match String::from_utf8(bytes) {
                Ok(decoded) => scalar.text = decoded,
                Err(err) => {
                    scalar.text = String::from_utf8_lossy(err.as_bytes()).into_owned();
                    scalar.invalid_utf8 = Some(err.into_bytes());
                }
            }
        }
        // An explicit type other than a string makes the quotes irrelevant (`!!int "3"`).
        Some("int" | "float" | "bool" | "null") => scalar.plain = true,
        Some("str") => scalar.plain = false,
        _ if tag.is_some_and(|tag| tag.handle.is_empty() && tag.suffix == "!") => scalar.plain = false,
        _ => {}
    }
    Ok(scalar)
}

/// Standard base64 with padding; line breaks are skipped as Go's decoder does.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    for (at, chunk) in digits.chunks_exact(4).enumerate() {
        let last = (at + 1) * 4 == digits.len();
        let padding = chunk.iter().rev().take_while(|b| **b == b'=').count();
        if padding > 2 || (padding > 0 && !last) {
            return None;
        }
        let mut word = 0u32;
        for digit in &chunk[..4 - padding] {
            word = word << 6 | base64_digit(*digit)?;
        }
        word <<= 6 * padding;
        let bytes = word.to_be_bytes();
        out.extend_from_slice(&bytes[1..4 - padding]);
    }
    Some(out)
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests;
