//! Findings about a configuration file, and the small checks that every key is made of.
//!
//! The texts are wrangler's, so that a search for one finds wrangler's documentation.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::tree::{Entry, Node, Object, quoted};

/// Collects every finding about one file.
#[derive(Debug)]
pub(crate) struct Report {
    source: Arc<Source>,
    findings: Vec<Diagnostic>,
}

impl Report {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, findings: Vec::new() }
    }

    /// All findings, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.findings.sort_by_key(|finding| finding.span.start);
        self.findings
    }

    fn add(&mut self, severity: Severity, span: &Range<usize>, message: String) -> &mut Diagnostic {
        self.findings.push(Diagnostic {
            severity,
            message,
            span: span.clone(),
            source: Arc::clone(&self.source),
            help: None,
        });
        self.findings.last_mut().expect("one was just pushed")
    }

    pub(crate) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.add(Severity::Error, span, message.into());
    }

    pub(crate) fn error_with(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, span, message.into()).help = Some(help.into());
    }

    pub(crate) fn warn(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.add(Severity::Warning, span, message.into());
    }

    pub(crate) fn warn_with(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, span, message.into()).help = Some(help.into());
    }

    /// `Expected "<field>" to be of type <type> but got <value>.`
    pub(crate) fn wrong_type(&mut self, field: &str, node: &Node, wanted: &str) {
        let message =
            format!("Expected \"{field}\" to be of type {wanted} but got {}.", node.json());
        self.error(&node.span, message);
    }

    /// Warns of keys that nobody reads, one finding each.
    pub(crate) fn unexpected_fields(&mut self, field: &str, object: &Object, known: &[&str]) {
        for entry in &object.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let message =
                format!("Unexpected fields found in {field} field: {}", quoted(&entry.key));
            match nearest(&entry.key, known) {
                Some(name) => {
                    self.warn_with(&entry.key_span, message, format!("did you mean \"{name}\"?"));
                }
                None => self.warn(&entry.key_span, message),
            }
        }
    }
}

/// A text, or a finding.
pub(crate) fn string<'a>(report: &mut Report, field: &str, node: &'a Node) -> Option<&'a str> {
    let text = node.as_str();
    if text.is_none() {
        report.wrong_type(field, node, "string");
    }
    text
}

/// A boolean, or a finding.
pub(crate) fn boolean(report: &mut Report, field: &str, node: &Node) -> Option<bool> {
    let value = node.as_bool();
    if value.is_none() {
        report.wrong_type(field, node, "boolean");
    }
    value
}

/// A number, or a finding.
pub(crate) fn number(report: &mut Report, field: &str, node: &Node) -> Option<f64> {
    let value = node.as_f64();
    if value.is_none() {
        report.wrong_type(field, node, "number");
    }
    value
}

/// An object, or a finding.
pub(crate) fn object<'a>(report: &mut Report, field: &str, node: &'a Node) -> Option<&'a Object> {
    let value = node.as_object();
    if value.is_none() {
        report.error(
            &node.span,
            format!("The field \"{field}\" should be an object but got {}.", node.json()),
        );
    }
    value
}

/// A list, or a finding.
pub(crate) fn array<'a>(report: &mut Report, field: &str, node: &'a Node) -> Option<&'a [Node]> {
    let value = node.as_array();
    if value.is_none() {
        report.error(
            &node.span,
            format!("The field \"{field}\" should be an array but got {}.", node.json()),
        );
    }
    value
}

/// A list of texts; items of other types are findings and left out.
pub(crate) fn strings(report: &mut Report, field: &str, node: &Node) -> Option<Vec<String>> {
    let Some(items) = node.as_array() else {
        report.error(
            &node.span,
            format!("Expected \"{field}\" to be an array of strings but got {}", node.json()),
        );
        return None;
    };
    let mut texts = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(text) = string(report, &format!("{field}.[{index}]"), item) {
            texts.push(text.to_owned());
        }
    }
    Some(texts)
}

/// A text out of a fixed choice, or a finding.
pub(crate) fn choice<'a>(
    report: &mut Report,
    field: &str,
    node: &'a Node,
    choices: &[&str],
) -> Option<&'a str> {
    let text = string(report, field, node)?;
    if choices.contains(&text) {
        return Some(text);
    }
    let all: Vec<_> = choices.iter().map(|choice| quoted(choice)).collect();
    let message = format!(
        "Expected \"{field}\" field to be one of [{}] but got {}.",
        all.join(","),
        node.json()
    );
    match nearest(text, choices) {
        Some(name) => report.error_with(&node.span, message, format!("did you mean \"{name}\"?")),
        None => report.error(&node.span, message),
    }
    None
}

/// The value of a key, if it is there and not `null`.
pub(crate) fn value<'a>(object: &'a Object, key: &str) -> Option<&'a Entry> {
    object.get(key).filter(|entry| !entry.node.is_null())
}

/// A text that must be there: `"<field>" is a required field.`
pub(crate) fn required_string<'a>(
    report: &mut Report,
    field: &str,
    object: &'a Object,
    key: &str,
    place: &Range<usize>,
) -> Option<&'a str> {
    let field = if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
    match object.get(key) {
        Some(entry) => string(report, &field, &entry.node),
        None => {
            report.error(place, format!("\"{field}\" is a required field."));
            None
        }
    }
}

/// The known name that a mistyped one most likely means.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = if name.chars().count() < 5 { 1 } else { 2 };
    let near = known.iter().map(|other| (distance(name, other), *other));
    near.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// How many letters must be added, removed or changed to get from `a` to `b`; case costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_finds_its_neighbour() {
        let known = ["class_name", "image", "max_instances"];
        assert_eq!(nearest("className", &known), Some("class_name"));
        assert_eq!(nearest("imgae", &known), Some("image"));
        assert_eq!(nearest("Image", &known), Some("image"));
        assert_eq!(nearest("port", &known), None);
    }
}
