//! Cap'n Proto's text format, as much as a configuration needs: nested fields, lists, strings.

use std::fmt::Write as _;

/// A value in text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `true`, a number, `.name` or anything else that stands for itself.
    Raw(String),
    /// A quoted string.
    Text(String),
    /// `embed "path"`: the bytes of a file beside the configuration.
    Embed(String),
    /// `[a, b]`.
    List(Vec<Value>),
    /// `(name = value, …)`.
    Struct(Vec<(&'static str, Value)>),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn bool(value: bool) -> Self {
        Self::Raw(value.to_string())
    }

    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// The text, with nested values on lines of their own, indented by `depth`.
    pub(super) fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Raw(raw) => out.push_str(raw),
            Self::Text(text) => quote(text, out),
            Self::Embed(path) => {
                out.push_str("embed ");
                quote(path, out);
            }
            Self::List(items) if self.is_flat() => {
                separated(out, '[', ']', items, |out, item| item.write(out, depth));
            }
            Self::List(items) => {
                out.push_str("[\n");
                for item in items {
                    indent(out, depth + 1);
                    item.write(out, depth + 1);
                    out.push_str(",\n");
                }
                indent(out, depth);
                out.push(']');
            }
            Self::Struct(fields) if self.is_flat() => {
                separated(out, '(', ')', fields, |out, (name, value)| field(out, name, value, 0));
            }
            Self::Struct(fields) => {
                out.push_str("(\n");
                for (name, value) in fields {
                    indent(out, depth + 1);
                    field(out, name, value, depth + 1);
                    out.push_str(",\n");
                }
                indent(out, depth);
                out.push(')');
            }
        }
    }

    /// Whether it fits on a line: there is no list of structs in it.
    fn is_flat(&self) -> bool {
        match self {
            Self::List(items) => !items.iter().any(|item| matches!(item, Self::Struct(_))),
            Self::Struct(fields) => fields.iter().all(|(_, value)| value.is_flat()),
            Self::Raw(_) | Self::Text(_) | Self::Embed(_) => true,
        }
    }
}

fn field(out: &mut String, name: &str, value: &Value, depth: usize) {
    out.push_str(name);
    out.push_str(" = ");
    value.write(out, depth);
}

fn separated<T>(
    out: &mut String,
    open: char,
    close: char,
    items: &[T],
    f: impl Fn(&mut String, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        f(out, item);
    }
    out.push(close);
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Escapes what would end or break a string literal; everything else, also beyond ASCII, stands.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_quotes() {
        let mut out = String::new();
        Value::text("a\"b\\c\nd\u{0}e\u{7f}ü").write(&mut out, 0);
        assert_eq!(out, r#""a\"b\\c\nd\x00e\x7fü""#);
    }

    #[test]
    fn nested_structs_get_lines_of_their_own() {
        let mut out = String::new();
        let inner = Value::Struct(vec![("name", Value::text("x")), ("on", Value::bool(true))]);
        Value::Struct(vec![("list", Value::List(vec![inner])), ("none", Value::List(vec![]))])
            .write(&mut out, 0);
        assert_eq!(out, "(\n  list = [\n    (name = \"x\", on = true),\n  ],\n  none = [],\n)");
    }
}
