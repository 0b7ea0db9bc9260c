//! From text to nodes.

use serde_json::Value;

use super::{DEEPEST, TemplateError};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// A value that is shown.
    Show(Pipe),
    /// `$name := value`
    Set(String, Pipe),
    /// Alternatives in their order; the last may have no condition. `with`: the value is the dot.
    If {
        arms: Vec<(Option<Pipe>, Vec<Node>)>,
        with: bool,
    },
    Range {
        variables: Vec<String>,
        over: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Calls, each with the result of the one before as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipe(pub(super) Vec<Vec<Operand>>);

/// A word of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// `.A.B`, or the dot itself.
    Field(Vec<String>),
    /// `$x.A`; `$` has no name.
    Variable(String, Vec<String>),
    Literal(Value),
    Function(String),
    /// `(…).A`
    Nested(Box<Pipe>, Vec<String>),
}

/// Functions that can be called.
pub(super) const FUNCTIONS: [&str; 20] = [
    "json", "len", "index", "join", "split", "eq", "ne", "lt", "le", "gt", "ge", "and", "or",
    "not", "lower", "upper", "title", "truncate", "print", "println",
];

/// What stands between braces, and where.
struct Action<'a> {
    at: usize,
    text: &'a str,
}

enum Part<'a> {
    Text(String),
    Action(Action<'a>),
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let parts = split(text)?;
    let mut parts = parts.into_iter().peekable();
    let (nodes, end) = block(&mut parts, 0)?;
    match end {
        None => Ok(nodes),
        Some(action) => Err(wrong(action.at, format!("unexpected {{{{{}}}}}", action.text))),
    }
}

fn wrong(at: usize, what: impl Into<String>) -> TemplateError {
    TemplateError::Syntax { at, what: what.into() }
}

/// Text and actions, trims applied, comments gone.
fn split(text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    let (mut at, mut trim) = (0, false);
    loop {
        let open = text[at..].find("{{").map(|found| at + found);
        let mut plain = &text[at..open.unwrap_or(text.len())];
        if trim {
            plain = plain.trim_start();
        }
        let Some(open) = open else {
            parts.push(Part::Text(plain.to_owned()));
            return Ok(parts);
        };
        let inner = open + 2;
        let left = text[inner..]
            .strip_prefix('-')
            .is_some_and(|rest| rest.starts_with(char::is_whitespace));
        if left {
            plain = plain.trim_end();
        }
        parts.push(Part::Text(plain.to_owned()));
        let close = close(text, inner).ok_or_else(|| wrong(open, "unclosed action"))?;
        let start = if left { inner + 1 } else { inner };
        let action = text.get(start..close).unwrap_or_default();
        let right = action.strip_suffix('-').filter(|rest| rest.ends_with(char::is_whitespace));
        trim = right.is_some();
        let action = right.unwrap_or(action).trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            parts.push(Part::Action(Action { at: open, text: action }));
        }
        at = close + 2;
    }
}

/// Where the braces of an action close; those in a string are not it.
fn close(text: &str, from: usize) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, char) in text[from..].char_indices().map(|(at, char)| (from + at, char)) {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if char == '\\' => escaped = true,
            Some(open) if char == open => quote = None,
            Some(_) => {}
            None if char == '"' || char == '`' => quote = Some(char),
            None if text[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

type Parts<'a> = std::iter::Peekable<std::vec::IntoIter<Part<'a>>>;

/// Nodes until the end, or an action that ends or divides a block.
fn block<'a>(
    parts: &mut Parts<'a>,
    depth: usize,
) -> Result<(Vec<Node>, Option<Action<'a>>), TemplateError> {
    let mut nodes = Vec::new();
    while let Some(part) = parts.next() {
        let action = match part {
            Part::Text(text) => {
                if !text.is_empty() {
                    nodes.push(Node::Text(text));
                }
                continue;
            }
            Part::Action(action) => action,
        };
        if depth > DEEPEST {
            return Err(wrong(action.at, "too many blocks in each other"));
        }
        let (word, rest) = action.text.split_once(char::is_whitespace).unwrap_or((action.text, ""));
        match word {
            "end" | "else" => return Ok((nodes, Some(action))),
            "if" | "with" => nodes.push(alternatives(parts, &action, rest, word == "with", depth)?),
            "range" => nodes.push(range(parts, &action, rest, depth)?),
            "define" | "template" | "block" | "break" | "continue" => {
                return Err(wrong(action.at, format!("\"{word}\" is not supported")));
            }
            _ => nodes.push(simple(&action)?),
        }
    }
    Ok((nodes, None))
}

fn simple(action: &Action<'_>) -> Result<Node, TemplateError> {
    match assignment(action.text) {
        Some((names, value)) if names.len() == 1 => {
            Ok(Node::Set(names[0].clone(), pipe(value, action.at)?))
        }
        Some(_) => Err(wrong(action.at, "two variables are set by range alone")),
        None => Ok(Node::Show(pipe(action.text, action.at)?)),
    }
}

/// `$a, $b := value`
fn assignment(text: &str) -> Option<(Vec<String>, &str)> {
    let (names, value) = text.split_once(":=").or_else(|| text.split_once('='))?;
    let names: Option<Vec<String>> = names
        .split(',')
        .map(|name| name.trim().strip_prefix('$').filter(|name| is_word(name)).map(str::to_owned))
        .collect();
    Some((names?, value.trim()))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_alphanumeric() || char == '_')
}

fn alternatives(
    parts: &mut Parts<'_>,
    action: &Action<'_>,
    condition: &str,
    with: bool,
    depth: usize,
) -> Result<Node, TemplateError> {
    let mut arms = Vec::new();
    let mut condition = Some(pipe(condition, action.at)?);
    loop {
        let (body, end) = block(parts, depth + 1)?;
        let end = end.ok_or_else(|| wrong(action.at, "the block has no {{end}}"))?;
        let last = condition.is_none();
        arms.push((condition, body));
        let words = end.text.strip_prefix("else").map(str::trim);
        condition = match words {
            None => return Ok(Node::If { arms, with }),
            Some(_) if last => return Err(wrong(end.at, "unexpected {{else}}")),
            Some("") => None,
            Some(words) => match words.strip_prefix(if with { "with" } else { "if" }) {
                Some(words) => Some(pipe(words, end.at)?),
                None => return Err(wrong(end.at, "unexpected words after else")),
            },
        };
    }
}

fn range(
    parts: &mut Parts<'_>,
    action: &Action<'_>,
    over: &str,
    depth: usize,
) -> Result<Node, TemplateError> {
    let (variables, over) = match assignment(over) {
        Some((names, over)) if names.len() <= 2 => (names, over),
        Some(_) => return Err(wrong(action.at, "range has two variables at most")),
        None => (Vec::new(), over),
    };
    let over = pipe(over, action.at)?;
    let unended = || wrong(action.at, "the range has no {{end}}");
    let (body, end) = block(parts, depth + 1)?;
    let otherwise = match end.ok_or_else(unended)?.text {
        "else" => {
            let (otherwise, end) = block(parts, depth + 1)?;
            if end.ok_or_else(unended)?.text != "end" {
                return Err(unended());
            }
            otherwise
        }
        _ => Vec::new(),
    };
    Ok(Node::Range { variables, over, body, otherwise })
}

/// Reads the words of an action.
struct Words<'a> {
    text: &'a str,
    at: usize,
    /// Where the action stands.
    base: usize,
}

fn pipe(text: &str, at: usize) -> Result<Pipe, TemplateError> {
    let mut words = Words { text, at: 0, base: at };
    let pipe = words.pipe(0)?;
    words.blanks();
    match words.peek() {
        None => Ok(pipe),
        Some(char) => Err(words.wrong(format!("unexpected {char:?}"))),
    }
}

impl Words<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn wrong(&self, what: impl Into<String>) -> TemplateError {
        wrong(self.base, format!("{} in {{{{{}}}}}", what.into(), self.text))
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|char| !wanted(char)).unwrap_or(rest.len());
        let taken = rest[..end].to_owned();
        self.at += end;
        taken
    }

    /// Calls with `|` between them, until a `)` or the end.
    fn pipe(&mut self, depth: usize) -> Result<Pipe, TemplateError> {
        if depth > DEEPEST {
            return Err(self.wrong("too many parentheses"));
        }
        let mut calls = Vec::new();
        loop {
            let mut call = Vec::new();
            loop {
                self.blanks();
                match self.peek() {
                    None | Some(')' | '|') => break,
                    Some(_) => call.push(self.operand(depth)?),
                }
            }
            if call.is_empty() {
                return Err(self.wrong("missing value"));
            }
            let function = matches!(call[0], Operand::Function(_));
            if !function && (call.len() > 1 || !calls.is_empty()) {
                return Err(self.wrong("a value is called that is no function"));
            }
            calls.push(call);
            if self.peek() != Some('|') {
                return Ok(Pipe(calls));
            }
            self.at += 1;
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, TemplateError> {
        match self.peek() {
            Some('.') => self.path(true).map(Operand::Field),
            Some('$') => {
                self.at += 1;
                let name = self.take_while(|char| char.is_alphanumeric() || char == '_');
                Ok(Operand::Variable(name, self.path(false)?))
            }
            Some('(') => {
                self.at += 1;
                let pipe = self.pipe(depth + 1)?;
                if self.peek() != Some(')') {
                    return Err(self.wrong("unclosed parenthesis"));
                }
                self.at += 1;
                Ok(Operand::Nested(Box::new(pipe), self.path(false)?))
            }
            Some('"') => self.string(),
            Some('`') => {
                self.at += 1;
                let text = self.take_while(|char| char != '`');
                self.end_of_string('`')?;
                Ok(Operand::Literal(Value::String(text)))
            }
            Some(char) if char.is_ascii_digit() || char == '-' => {
                let text = self.take_while(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
                let number = text.parse::<i64>().map(Value::from);
                number.map(Operand::Literal).map_err(|_| self.wrong(format!("bad number {text}")))
            }
            _ => {
                let word = self.take_while(|char| char.is_alphanumeric() || char == '_');
                match word.as_str() {
                    "true" => Ok(Operand::Literal(Value::Bool(true))),
                    "false" => Ok(Operand::Literal(Value::Bool(false))),
                    "nil" => Ok(Operand::Literal(Value::Null)),
                    word if FUNCTIONS.contains(&word) => Ok(Operand::Function(word.to_owned())),
                    "" => Err(self.wrong("unexpected character")),
                    word => Err(self.wrong(format!("function \"{word}\" is not known"))),
                }
            }
        }
    }

    /// `.A.B`; with `dot`, a lone `.` is the dot itself.
    fn path(&mut self, dot: bool) -> Result<Vec<String>, TemplateError> {
        let mut path = Vec::new();
        while self.peek() == Some('.') {
            self.at += 1;
            let name = self.take_while(|char| char.is_alphanumeric() || char == '_');
            if name.is_empty() {
                if dot && path.is_empty() && !self.rest().starts_with('.') {
                    return Ok(path);
                }
                return Err(self.wrong("a field has no name"));
            }
            path.push(name);
        }
        Ok(path)
    }

    /// A string with Go's escapes, which but for a few are JSON's.
    fn string(&mut self) -> Result<Operand, TemplateError> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        while let Some(char) = self.peek() {
            if char == '"' && !escaped {
                break;
            }
            escaped = char == '\\' && !escaped;
            self.at += char.len_utf8();
        }
        self.end_of_string('"')?;
        let text = serde_json::from_str::<String>(&self.text[start..self.at]);
        let text = text.map_err(|_| self.wrong("bad string"))?;
        Ok(Operand::Literal(Value::String(text)))
    }

    fn end_of_string(&mut self, quote: char) -> Result<(), TemplateError> {
        if self.peek() != Some(quote) {
            return Err(self.wrong("unclosed string"));
        }
        self.at += 1;
        Ok(())
    }
}

/// The first field each shown value is made of.
pub(super) fn fields(nodes: &[Node]) -> Vec<String> {
    let shown = nodes.iter().filter_map(|node| match node {
        Node::Show(pipe) => pipe.0.iter().flatten().find_map(|operand| match operand {
            Operand::Field(path) => path.last().cloned(),
            _ => None,
        }),
        _ => None,
    });
    shown.collect()
}
