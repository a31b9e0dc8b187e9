//! Where in a document a template's text has got to.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum State {
    #[default]
    Text,
    Tag,
    AttrName,
    AfterName,
    BeforeValue,
    HtmlCmt,
    Rcdata,
    Attr,
    Url,
    Srcset,
    Js,
    JsDqStr,
    JsSqStr,
    JsBqStr,
    JsRegexp,
    JsBlockCmt,
    JsLineCmt,
    JsHtmlOpenCmt,
    JsHtmlCloseCmt,
    Css,
    CssDqStr,
    CssSqStr,
    CssDqUrl,
    CssSqUrl,
    CssUrl,
    CssBlockCmt,
    CssLineCmt,
    /// After `break` or `continue`.
    Dead,
}

impl State {
    pub(super) fn is_comment(self) -> bool {
        matches!(
            self,
            Self::HtmlCmt
                | Self::JsBlockCmt
                | Self::JsLineCmt
                | Self::JsHtmlOpenCmt
                | Self::JsHtmlCloseCmt
                | Self::CssBlockCmt
                | Self::CssLineCmt
        )
    }

    pub(super) fn is_in_tag(self) -> bool {
        matches!(self, Self::Tag | Self::AttrName | Self::AfterName | Self::BeforeValue | Self::Attr)
    }
}

/// What ends the attribute value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Delim {
    #[default]
    None,
    DoubleQuote,
    SingleQuote,
    SpaceOrTagEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum UrlPart {
    #[default]
    None,
    PreQuery,
    QueryOrFrag,
    Unknown,
}

/// What a slash would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum JsCtx {
    #[default]
    Regexp,
    DivOp,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Attr {
    #[default]
    None,
    Script,
    ScriptType,
    Style,
    Url,
    Srcset,
}

impl Attr {
    /// The state in which the attribute's value begins.
    pub(super) fn value_state(self) -> State {
        match self {
            Self::None | Self::ScriptType => State::Attr,
            Self::Script => State::Js,
            Self::Style => State::Css,
            Self::Url => State::Url,
            Self::Srcset => State::Srcset,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Element {
    #[default]
    None,
    Script,
    Style,
    Textarea,
    Title,
}

impl Element {
    pub(super) fn content_state(self) -> State {
        match self {
            Self::None => State::Text,
            Self::Script => State::Js,
            Self::Style => State::Css,
            Self::Textarea | Self::Title => State::Rcdata,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Script => "script",
            Self::Style => "style",
            Self::Textarea => "textarea",
            Self::Title => "title",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Context {
    pub(super) state: State,
    pub(super) delim: Delim,
    pub(super) url_part: UrlPart,
    pub(super) js_ctx: JsCtx,
    pub(super) attr: Attr,
    pub(super) element: Element,
}

impl Context {
    pub(super) fn of(state: State, element: Element) -> Self {
        Self { state, element, ..Self::default() }
    }

    /// The context after the transitions that need no text: an action in a tag begins an attribute
    /// name, one after `=` an unquoted value.
    pub(super) fn nudged(self) -> Self {
        match self.state {
            State::Tag => Self { state: State::AttrName, ..self },
            State::BeforeValue => {
                Self { state: self.attr.value_state(), delim: Delim::SpaceOrTagEnd, attr: Attr::None, ..self }
            }
            State::AfterName => Self { state: State::AttrName, attr: Attr::None, ..self },
            _ => self,
        }
    }
}

/// As upstream's messages show contexts: `{stateURL delimDoubleQuote urlPartNone ...}`.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = format!("{:?}", self.state);
        let state = match self.state {
            State::Url | State::Rcdata | State::Css | State::Js => state.to_uppercase(),
            State::HtmlCmt => "HTMLCmt".to_owned(),
            _ => {
                state.replace("Js", "JS").replace("Css", "CSS").replace("Url", "URL").replace("Html", "HTML")
            }
        };
        let attr = format!("{:?}", self.attr).replace("Url", "URL");
        write!(
            f,
            "{{state{state} delim{:?} urlPart{:?} jsCtx{:?} attr{attr} element{:?} <nil>}}",
            self.delim, self.url_part, self.js_ctx, self.element
        )
    }
}
