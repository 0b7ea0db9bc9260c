//! What is wrong with a file, and where: file, line, column, the line itself with a caret.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
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
    #[must_use]
    pub fn render(&self, _color: bool) -> String {
        format!("{}:{}:{}: {}", self.path().display(), self.line(), self.column(), self.message)
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
