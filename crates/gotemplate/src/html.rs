//! `html/template`: the escaping that each action needs is worked out from the text around it.
//!
//! Escaping copies the trees that a template calls, once for every context they are called in,
//! with escapers added to their actions and comments taken out of their texts. Actions inside
//! JavaScript template literals are refused.

mod attribute;
mod context;
mod escapers;
mod json;
mod transition;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::labels::GoQuoted;

use crate::node::{Action, Branch, Invocation, Node, Operand, OperandKind, Pipe, Tree};
use context::{Context, Delim, JsCtx, State, UrlPart};
use transition::after_text;

pub(crate) use escapers::Escaper;

/// Trees by the names they are called by after escaping.
pub(crate) type Trees = BTreeMap<String, Arc<Tree>>;

/// Escapes the template `name` and all it calls. The error is the text of upstream's.
pub(crate) fn escape(trees: &Trees, name: &str) -> Result<Trees, String> {
    let Some(tree) = trees.get(name) else {
        return Err(format!("html/template: {} is undefined", GoQuoted(name)));
    };
    let mut pass = Pass {
        trees,
        tree,
        outputs: BTreeMap::new(),
        called: Vec::new(),
        escaped: Trees::new(),
        loops: Vec::new(),
        depth: 0,
    };
    let end = pass.tree(Context::default(), name, None)?.0;
    if end.state != State::Text {
        return Err(format!("html/template:{name}: ends in a non-text context: {end}"));
    }
    Ok(pass.escaped)
}

/// The deepest chain of templates that is followed.
const DEPTH_MAX: usize = 64;

type Escaped<T> = Result<T, String>;

struct Pass<'t> {
    trees: &'t Trees,
    /// The tree being escaped, for error positions.
    tree: &'t Tree,
    /// Contexts in which templates end, by escaped name; an assumption while one is being escaped.
    outputs: BTreeMap<String, Context>,
    /// Escaped names that were asked for.
    called: Vec<String>,
    escaped: Trees,
    /// Contexts at `break` and `continue` of the loops around.
    loops: Vec<Vec<Context>>,
    depth: usize,
}

impl<'t> Pass<'t> {
    fn error<T>(&self, pos: usize, message: &str) -> Escaped<T> {
        let before = &self.tree.text[..pos];
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        Err(format!("html/template:{}:{line}:{column}: {message}", self.tree.parse_name))
    }

    /// Escapes a template for the context it is called in; the context after it and its new name.
    fn tree(&mut self, start: Context, name: &str, pos: Option<usize>) -> Escaped<(Context, String)> {
        let new_name = if start == Context::default() {
            name.to_owned()
        } else {
            format!("{name}$htmltemplate_{start}")
        };
        self.called.push(new_name.clone());
        if let Some(end) = self.outputs.get(&new_name) {
            return Ok((*end, new_name));
        }
        let Some(tree) = self.trees.get(name) else {
            let message = format!("no such template {}", GoQuoted(name));
            return self.error(pos.unwrap_or(0), &message);
        };
        if self.depth >= DEPTH_MAX {
            return self.error(pos.unwrap_or(0), "templates call each other too deeply");
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.tree, tree);
        let outer_loops = std::mem::take(&mut self.loops);
        // A recursive template is first assumed to end as it begins, then as it was found to end.
        let mut assumed = start;
        let mut end = start;
        for attempt in 0..2 {
            self.outputs.insert(new_name.clone(), assumed);
            let calls_before = self.called.len();
            let (context, nodes) = self.list(start, &tree.root)?;
            end = context;
            let is_recursive = self.called[calls_before..].contains(&new_name);
            if !is_recursive || end == assumed {
                let escaped = Tree { name: tree.name.clone(), root: nodes, ..Tree::clone(tree) };
                self.escaped.insert(new_name.clone(), Arc::new(escaped));
                break;
            }
            if attempt == 1 {
                let message = format!("cannot compute output context for template {name}");
                return self.error(0, &message);
            }
            assumed = end;
        }
        self.outputs.insert(new_name.clone(), end);
        self.tree = outer;
        self.loops = outer_loops;
        self.depth -= 1;
        Ok((end, new_name))
    }

    fn list(&mut self, start: Context, nodes: &'t [Node]) -> Escaped<(Context, Vec<Node>)> {
        let mut context = start;
        let mut out = Vec::with_capacity(nodes.len());
        for node in nodes {
            if context.state == State::Dead {
                break;
            }
            let (next, escaped) = self.node(context, node)?;
            context = next;
            out.push(escaped);
        }
        Ok((context, out))
    }

    fn node(&mut self, c: Context, node: &'t Node) -> Escaped<(Context, Node)> {
        Ok(match node {
            Node::Text { text } => {
                let escaped = escape_text(c, text);
                let (next, text) = escaped.map_err(|e| format!("html/template:{}: {e}", self.tree.name))?;
                (next, Node::Text { text })
            }
            Node::Action(action) => {
                let (next, action) = self.action(c, action)?;
                (next, Node::Action(action))
            }
            Node::If(branch) => {
                let (next, branch) = self.branch(c, branch, "if")?;
                (next, Node::If(branch))
            }
            Node::With(branch) => {
                let (next, branch) = self.branch(c, branch, "with")?;
                (next, Node::With(branch))
            }
            Node::Range(branch) => {
                let (next, branch) = self.branch(c, branch, "range")?;
                (next, Node::Range(branch))
            }
            Node::Template(invocation) => {
                let (next, name) = self.tree(c, &invocation.name, Some(invocation.pos))?;
                (next, Node::Template(Invocation { name, ..invocation.clone() }))
            }
            Node::Break | Node::Continue => {
                if let Some(contexts) = self.loops.last_mut() {
                    contexts.push(c);
                }
                (Context::of(State::Dead, c.element), node.clone())
            }
        })
    }

    fn branch(&mut self, c: Context, branch: &'t Branch, kind: &str) -> Escaped<(Context, Branch)> {
        let pos = branch.pipe.pos;
        let is_range = kind == "range";
        if is_range {
            self.loops.push(Vec::new());
        }
        let (mut end, body) = self.list(c, &branch.body)?;
        if is_range {
            for at_jump in self.loops.pop().unwrap_or_default() {
                end = self.join(end, at_jump, pos, kind)?;
            }
            // The body may run again after itself.
            self.loops.push(Vec::new());
            let (again, _) = self.list(end, &branch.body)?;
            self.loops.pop();
            end = self.join(end, again, pos, kind)?;
        }
        let (other, otherwise) = self.list(c, &branch.otherwise)?;
        let end = self.join(end, other, pos, kind)?;
        Ok((end, Branch { pipe: branch.pipe.clone(), body, otherwise }))
    }

    /// The context after either of two ways through a template.
    fn join(&self, a: Context, b: Context, pos: usize, kind: &str) -> Escaped<Context> {
        if a.state == State::Dead || a == b {
            return Ok(b);
        }
        if b.state == State::Dead {
            return Ok(a);
        }
        if (Context { url_part: b.url_part, ..a }) == b {
            return Ok(Context { url_part: UrlPart::Unknown, ..a });
        }
        if (Context { js_ctx: b.js_ctx, ..a }) == b {
            return Ok(Context { js_ctx: JsCtx::Unknown, ..a });
        }
        let (nudged_a, nudged_b) = (a.nudged(), b.nudged());
        if (nudged_a, nudged_b) != (a, b)
            && let Ok(joined) = self.join(nudged_a, nudged_b, pos, kind)
        {
            return Ok(joined);
        }
        self.error(pos, &format!("{{{{{kind}}}}} branches end in different contexts: {a}, {b}"))
    }

    fn action(&mut self, c: Context, action: &'t Action) -> Escaped<(Context, Action)> {
        let pipe = &action.pipe;
        if !pipe.declared.is_empty() {
            return Ok((c, action.clone()));
        }
        let mut c = c.nudged();
        let last = pipe.commands.len() - 1;
        for (idx, command) in pipe.commands.iter().enumerate() {
            let Some(name) = predefined(&command.operands[0]) else { continue };
            let unquoted_html =
                c.state == State::Attr && c.delim == Delim::SpaceOrTagEnd && name == Escaper::PredefinedHtml;
            if idx < last || unquoted_html {
                let name = GoQuoted(&command.operands[0].to_string()).to_string();
                return self.error(pipe.pos, &format!("predefined escaper {name} disallowed in template"));
            }
        }
        let escapers = self.escapers(&mut c, pipe)?;
        Ok((c, with_escapers(pipe, escapers)))
    }

    fn escapers(&self, c: &mut Context, pipe: &Pipe) -> Escaped<Vec<Escaper>> {
        let mut escapers = Vec::with_capacity(3);
        match c.state {
            State::Url
            | State::CssDqStr
            | State::CssSqStr
            | State::CssDqUrl
            | State::CssSqUrl
            | State::CssUrl => {
                if c.url_part == UrlPart::None {
                    escapers.push(Escaper::UrlFilter);
                }
                escapers.push(match c.url_part {
                    UrlPart::None | UrlPart::PreQuery => match c.state {
                        State::CssDqStr | State::CssSqStr => Escaper::Css,
                        _ => Escaper::UrlNormalizer,
                    },
                    UrlPart::QueryOrFrag => Escaper::Url,
                    UrlPart::Unknown => {
                        let message = format!("{{{{{pipe}}}}} appears in an ambiguous context within a URL");
                        return self.error(pipe.pos, &message);
                    }
                });
            }
            State::Js => {
                escapers.push(Escaper::JsValue);
                c.js_ctx = JsCtx::DivOp;
            }
            State::JsDqStr | State::JsSqStr => escapers.push(Escaper::JsStr),
            State::JsBqStr => {
                let message = format!("{{{{{pipe}}}}} appears in a JS template literal");
                return self.error(pipe.pos, &message);
            }
            State::JsRegexp => escapers.push(Escaper::JsRegexp),
            State::Css => escapers.push(Escaper::CssValue),
            State::Text => escapers.push(Escaper::Html),
            State::Rcdata => escapers.push(Escaper::Rcdata),
            State::AttrName | State::Tag => {
                c.state = State::AttrName;
                escapers.push(Escaper::HtmlName);
            }
            State::Srcset => escapers.push(Escaper::Srcset),
            state if state.is_comment() => escapers.push(Escaper::Comment),
            _ => {}
        }
        match c.delim {
            Delim::None => {}
            Delim::SpaceOrTagEnd => escapers.push(Escaper::NoSpace),
            Delim::DoubleQuote | Delim::SingleQuote => escapers.push(Escaper::Attr),
        }
        Ok(escapers)
    }
}

/// `html` and `urlquery`, which authors may put at the end of a pipeline.
fn predefined(operand: &Operand) -> Option<Escaper> {
    match &operand.kind {
        OperandKind::Identifier(name) if name == "html" => Some(Escaper::PredefinedHtml),
        OperandKind::Identifier(name) if name == "urlquery" => Some(Escaper::PredefinedUrlQuery),
        _ => None,
    }
}

/// The pipeline with escapers at its end; one that the author wrote takes the place of its equal.
fn with_escapers(pipe: &Pipe, wanted: Vec<Escaper>) -> Action {
    let mut pipe = pipe.clone();
    let own = pipe.commands.last().and_then(|command| predefined(&command.operands[0]));
    let mut wanted = wanted;
    if let Some(own) = own
        && wanted.iter().any(|escaper| escaper.equivalent() == Some(own))
    {
        for escaper in &mut wanted {
            if escaper.equivalent() == Some(own) {
                *escaper = own;
            }
        }
        let only = pipe.commands.len() == 1;
        let last = pipe.commands.last_mut().expect("a pipeline has commands");
        if only {
            // `html a b` escapes what `print a b` gives.
            last.operands[0].kind = OperandKind::Identifier("print".to_owned());
        } else {
            pipe.commands.pop();
        }
    } else if let Some(own) = own {
        wanted.retain(|escaper| escaper.equivalent() != Some(own));
    }
    let mut escapers: Vec<Escaper> = Vec::with_capacity(wanted.len());
    for escaper in wanted {
        if escapers.last().is_none_or(|last| !escaper.is_redundant_after(*last)) {
            escapers.push(escaper);
        }
    }
    Action { pipe, escapers }
}

/// Literal text with comments removed and stray `<` escaped, and the context after it.
fn escape_text(start: Context, text: &str) -> Escaped<(Context, String)> {
    let mut c = start;
    let (mut at, mut written) = (0, 0);
    let mut out = String::new();
    while at < text.len() {
        let (next, n) = after_text(c, &text[at..])?;
        let end = at + n;
        if matches!(c.state, State::Text | State::Rcdata) {
            let mut markup = end;
            if next.state != c.state {
                markup = text[at..end].rfind('<').map_or(end, |open| at + open);
            }
            for (open, _) in text[at..markup].match_indices('<').map(|(open, s)| (at + open, s)) {
                let is_doctype =
                    text[open..].get(..9).is_some_and(|tag| tag.eq_ignore_ascii_case("<!DOCTYPE"));
                if !is_doctype {
                    out.push_str(&text[written..open]);
                    out.push_str("&lt;");
                    written = open + 1;
                }
            }
        } else if c.state.is_comment() && c.delim == Delim::None {
            match c.state {
                State::JsBlockCmt if text[written..end].contains(['\n', '\r', '\u{2028}', '\u{2029}']) => {
                    out.push('\n');
                }
                State::JsBlockCmt | State::CssBlockCmt => out.push(' '),
                _ => {}
            }
            written = end;
        }
        if c.state != next.state && next.state.is_comment() && next.delim == Delim::None {
            let opening = match next.state {
                State::HtmlCmt | State::JsHtmlOpenCmt => 4,
                State::JsHtmlCloseCmt => 3,
                _ => 2,
            };
            out.push_str(&text[written..end - opening]);
            written = end;
        }
        if n == 0 && c.state == next.state {
            return Err("the text does not move the context".to_owned());
        }
        (c, at) = (next, end);
    }
    if !c.state.is_comment() || c.delim != Delim::None {
        out.push_str(&text[written..]);
    }
    Ok((c, out))
}
