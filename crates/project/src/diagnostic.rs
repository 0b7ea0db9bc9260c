//! What is wrong with a file, and where: file, line, column, the line itself with a caret.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A file's path and text, shared by everything that points into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// A file as it was read.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into() })
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte, both from 1; columns count characters.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.boundary(offset);
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    /// The nearest place at or before `offset` where a character begins.
    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    /// The one line that holds the start of `span`, and the part of `span` on that line.
    fn line(&self, span: &Range<usize>) -> (&str, Range<usize>) {
        let start = self.boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let from = (start - line_start).min(line.len());
        let to = self.boundary(span.end).clamp(start, line_end) - line_start;
        (line, from..to.clamp(from, line.len()))
    }
}

/// Whether a diagnostic stops the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The input cannot be used.
    Error,
    /// The input is used; somebody should look at it.
    Warning,
}

/// One finding, with the place it was found at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, possibly in several lines.
    pub message: String,
    /// Bytes of [`Self::source`] that the finding is about.
    pub span: Range<usize>,
    /// The file.
    pub source: Arc<Source>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The file that the finding is in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.source.position(self.span.start).0
    }

    /// Column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.source.position(self.span.start).1
    }

    /// The finding as text, with colours for a terminal or without.
    ///
    /// The first line of the message is the title; the others come after the source line, as does
    /// the help.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (title, rest) = self.message.split_once('\n').unwrap_or((&self.message, ""));
        let (line, span) = self.source.line(&self.span);
        let path = self.path().display().to_string();
        let snippet = Snippet::source(line)
            .path(path)
            .line_start(self.line())
            .annotation(AnnotationKind::Primary.span(span));
        let mut group: Group<'_> = level.primary_title(title).element(snippet);
        let rest = rest.trim();
        if !rest.is_empty() {
            group = group.element(Level::NOTE.message(rest));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Several findings, one after the other.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], color: bool) -> String {
    let texts: Vec<_> = diagnostics.iter().map(|finding| finding.render(color)).collect();
    texts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(text: &str, span: Range<usize>, message: &str) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.to_owned(),
            span,
            source: Source::new("wrangler.jsonc", text),
            help: Some("write a number".to_owned()),
        }
    }

    #[test]
    fn a_finding_shows_file_line_column_and_the_line_with_a_caret() {
        let text = "{\n  \"name\": \"x\",\n  \"port\": \"high\"\n}\n";
        let shown = finding(text, 27..33, "wrong\nfirst\nsecond").to_string();
        let expected = "\
error: wrong
 --> wrangler.jsonc:3:11
  |
3 |   \"port\": \"high\"
  |           ^^^^^^
  |
  = note: first
          second
  = help: write a number";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_span_of_several_lines_shows_its_first_line() {
        let shown = finding("a = {\n b\n}\n", 4..10, "wrong").to_string();
        assert!(shown.contains("1 | a = {\n  |     ^"), "{shown}");
    }

    #[test]
    fn any_span_in_any_text_renders() {
        let text = "é\r\n\tü = \u{fe0f}日本\n\0";
        for start in 0..=text.len() + 2 {
            for end in 0..=text.len() + 2 {
                let found = finding(text, start..end, "");
                assert!(!found.render(true).is_empty());
                assert!(!found.render(false).is_empty());
            }
        }
    }
}
