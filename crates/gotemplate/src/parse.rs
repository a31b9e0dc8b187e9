//! Tokens into trees, refusing with Go's texts.

mod pipeline;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lex::{Kind, Token, tokens};
use crate::literal::unquote;
use crate::node::{Action, Branch, Invocation, Node, Tree, is_empty};

/// How deep blocks and parentheses may nest.
const NESTING_MAX: usize = 100;

/// Parses `text`, adding the template `name` and those it defines to `trees`. On an error `trees`
/// may hold some of them.
pub(crate) fn parse(
    name: &str,
    text: &str,
    trees: &mut BTreeMap<String, Arc<Tree>>,
    has_function: &dyn Fn(&str) -> bool,
) -> Result<(), String> {
    let mut parser = Parser {
        tokens: tokens(text),
        next: 0,
        line: 1,
        vars: vec!["$".to_owned()],
        range_depth: 0,
        nesting: 0,
        action_line: 0,
        parse_name: Arc::from(name),
        text: Arc::from(text),
        trees,
        has_function,
    };
    let root = parser.top_level()?;
    parser.add(name, root)
}

struct Parser<'p> {
    tokens: Vec<Token>,
    next: usize,
    /// The line of the last token read, for errors.
    line: usize,
    vars: Vec<String>,
    range_depth: usize,
    nesting: usize,
    /// The line of the action being parsed, 0 between actions.
    action_line: usize,
    parse_name: Arc<str>,
    text: Arc<str>,
    trees: &'p mut BTreeMap<String, Arc<Tree>>,
    has_function: &'p dyn Fn(&str) -> bool,
}

type Parsed<T> = Result<T, String>;

/// What ended a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    End,
    Else,
}

impl Closing {
    fn describe(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

enum Item {
    Node(Node),
    Closing(Closing),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BranchKind {
    If,
    With,
    Range,
}

impl BranchKind {
    fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }

    fn node(self, branch: Branch) -> Node {
        match self {
            Self::If => Node::If(branch),
            Self::With => Node::With(branch),
            Self::Range => Node::Range(branch),
        }
    }
}

impl Parser<'_> {
    fn advance(&mut self) -> Token {
        let at = self.next.min(self.tokens.len() - 1);
        self.next += 1;
        self.line = self.tokens[at].line;
        self.tokens[at].clone()
    }

    fn back_up(&mut self) {
        self.next -= 1;
    }

    fn peek(&mut self) -> &Token {
        let at = self.next.min(self.tokens.len() - 1);
        self.line = self.tokens[at].line;
        &self.tokens[at]
    }

    fn peek_non_space(&mut self) -> &Token {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn next_non_space(&mut self) -> Token {
        self.peek_non_space();
        self.advance()
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Parsed<T> {
        Err(format!("template: {}:{}: {message}", self.parse_name, self.line))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.error(format_args!("unexpected {} in {context}", token.describe()));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            extra = format!(" in action started at {}:{}", self.parse_name, self.action_line);
            if token.text.ends_with(" action") {
                extra = extra[" in action".len()..].to_owned();
            }
        }
        self.error(format_args!("{}{extra}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return self.error(format_args!("nested more than {NESTING_MAX} deep"));
        }
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    fn add(&mut self, name: &str, root: Vec<Node>) -> Parsed<()> {
        if let Some(known) = self.trees.get(name)
            && !is_empty(&known.root)
            && is_empty(&root)
        {
            return Ok(());
        }
        let tree = Tree {
            name: name.to_owned(),
            parse_name: Arc::clone(&self.parse_name),
            text: Arc::clone(&self.text),
            root,
        };
        self.trees.insert(name.to_owned(), Arc::new(tree));
        Ok(())
    }

    fn top_level(&mut self) -> Parsed<Vec<Node>> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let mark = self.next;
                self.advance();
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.next = mark;
            }
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Closing(closing) => {
                    return self.error(format_args!("unexpected {}", closing.describe()));
                }
            }
        }
        Ok(nodes)
    }

    fn name(&mut self, context: &str) -> Parsed<(String, usize)> {
        let token = self.next_non_space();
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return self.unexpected(&token, context);
        }
        match unquote(&token.text) {
            Some(name) => Ok((name, token.pos)),
            None => self.error("invalid syntax"),
        }
    }

    /// Parses a body with variables and loops of its own: those outside are not seen inside.
    fn separate_body(&mut self) -> Parsed<(Vec<Node>, Closing)> {
        let vars = std::mem::replace(&mut self.vars, vec!["$".to_owned()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let body = self.nested(Self::item_list);
        self.vars = vars;
        self.range_depth = range_depth;
        body
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let (name, _) = self.name(CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        let (body, closing) = self.separate_body()?;
        if closing != Closing::End {
            return self.error(format_args!("unexpected {} in {CONTEXT}", closing.describe()));
        }
        self.add(&name, body)
    }

    fn item_list(&mut self) -> Parsed<(Vec<Node>, Closing)> {
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Closing(closing) => return Ok((nodes, closing)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { text: token.text })),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let item = self.action();
                if item.is_ok() {
                    self.action_line = 0;
                }
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Block => self.block(),
            Kind::Break | Kind::Continue => self.loop_control(&token),
            Kind::Else => self.otherwise(),
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                Ok(Item::Closing(Closing::End))
            }
            Kind::If => self.branch(BranchKind::If),
            Kind::Range => self.branch(BranchKind::Range),
            Kind::With => self.branch(BranchKind::With),
            Kind::Template => self.invocation(),
            _ => {
                self.back_up();
                let pipe = self.pipeline("command", Kind::RightDelim)?;
                Ok(Item::Node(Node::Action(Action { pipe, escapers: Vec::new() })))
            }
        }
    }

    fn loop_control(&mut self, token: &Token) -> Parsed<Item> {
        let keyword = &token.text;
        let closing = self.next_non_space();
        if closing.kind != Kind::RightDelim {
            return self.unexpected(&closing, &format!("{{{{{keyword}}}}}"));
        }
        if self.range_depth == 0 {
            return self.error(format_args!("{{{{{keyword}}}}} outside {{{{range}}}}"));
        }
        Ok(Item::Node(if token.kind == Kind::Break { Node::Break } else { Node::Continue }))
    }

    fn otherwise(&mut self) -> Parsed<Item> {
        let kind = self.peek_non_space().kind;
        if !matches!(kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Item::Closing(Closing::Else))
    }

    fn branch(&mut self, kind: BranchKind) -> Parsed<Item> {
        self.nested(|parser| parser.branch_node(kind)).map(Item::Node)
    }

    fn branch_node(&mut self, kind: BranchKind) -> Parsed<Node> {
        let vars = self.vars.len();
        let pipe = self.pipeline(kind.name(), Kind::RightDelim)?;
        if kind == BranchKind::Range {
            self.range_depth += 1;
        }
        let (body, mut closing) = self.item_list()?;
        if kind == BranchKind::Range {
            self.range_depth -= 1;
        }
        let mut otherwise = Vec::new();
        if closing == Closing::Else {
            let chained = match (kind, self.peek().kind) {
                (BranchKind::If, Kind::If) => Some(BranchKind::If),
                (BranchKind::With, Kind::With) => Some(BranchKind::With),
                _ => None,
            };
            if let Some(chained) = chained {
                self.advance();
                otherwise.push(self.nested(|parser| parser.branch_node(chained))?);
            } else {
                (otherwise, closing) = self.item_list()?;
                if closing != Closing::End {
                    return self.error(format_args!("expected end; found {}", closing.describe()));
                }
            }
        }
        self.vars.truncate(vars);
        Ok(kind.node(Branch { pipe, body, otherwise }))
    }

    fn block(&mut self) -> Parsed<Item> {
        const CONTEXT: &str = "block clause";
        let (name, pos) = self.name(CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let (body, closing) = self.separate_body()?;
        if closing != Closing::End {
            return self.error(format_args!("unexpected {} in {CONTEXT}", closing.describe()));
        }
        self.add(&name, body)?;
        Ok(Item::Node(Node::Template(Invocation { pos, name, pipe: Some(pipe) })))
    }

    fn invocation(&mut self) -> Parsed<Item> {
        const CONTEXT: &str = "template clause";
        let (name, pos) = self.name(CONTEXT)?;
        let mut pipe = None;
        if self.peek_non_space().kind == Kind::RightDelim {
            self.advance();
        } else {
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelim)?);
        }
        Ok(Item::Node(Node::Template(Invocation { pos, name, pipe })))
    }
}
