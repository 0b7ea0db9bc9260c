//! Everything Berth says: data to stdout, the rest to stderr, progress bars only on a terminal.
//!
//! Styles carry meaning and are never its only carrier; `NO_COLOR` and pipes are honoured by
//! `anstream`.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::error::CliError;

/// Styles by meaning.
pub(crate) mod style {
    use super::{AnsiColor, Style};

    const fn color(color: AnsiColor) -> Style {
        Style::new().fg_color(Some(anstyle::Color::Ansi(color)))
    }
    pub(crate) const ERROR: Style = color(AnsiColor::Red).bold();
    pub(crate) const WARNING: Style = color(AnsiColor::Yellow).bold();
    pub(crate) const SUCCESS: Style = color(AnsiColor::Green).bold();
    pub(crate) const HINT: Style = color(AnsiColor::Cyan).bold();
    pub(crate) const WORKER: Style = color(AnsiColor::Cyan);
    pub(crate) const OBJECT: Style = color(AnsiColor::Magenta);
    pub(crate) const CONTAINER: Style = color(AnsiColor::Blue);
    pub(crate) const DIM: Style = Style::new().dimmed();
}

/// `text` in `style`, reset after.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The one place that writes to the terminal.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    quiet: bool,
    bars: MultiProgress,
}

impl Printer {
    pub(crate) fn new(quiet: bool) -> Self {
        let target = if quiet || !io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self { quiet, bars: MultiProgress::with_draw_target(target) }
    }

    /// Whether only errors and results are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether progress is drawn as bars; plain lines are printed otherwise.
    pub(crate) fn draws_bars(&self) -> bool {
        !self.bars.is_hidden()
    }

    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// A line of data, to stdout.
    pub(crate) fn data(&self, line: impl Display) {
        // A closed pipe is the reader's way to say "enough".
        self.bars.suspend(|| _ = writeln!(anstream::stdout(), "{line}"));
    }

    /// Lines in the place of what stands on the terminal, to stdout.
    pub(crate) fn screen(&self, lines: &[String]) {
        // Home; each line to its end; and all below. Not by `anstream`, which takes this for a style.
        let text: String = lines.iter().map(|line| format!("{line}\x1b[K\r\n")).collect();
        let mut stdout = io::stdout().lock();
        self.bars.suspend(|| _ = write!(stdout, "\x1b[H{text}\x1b[J"));
        _ = stdout.flush();
    }

    /// A line about what happens, to stderr.
    pub(crate) fn info(&self, line: impl Display) {
        if !self.quiet {
            self.stderr(line);
        }
    }

    pub(crate) fn success(&self, line: impl Display) {
        self.info(format_args!("{} {line}", styled(style::SUCCESS, "✓")));
    }

    pub(crate) fn warning(&self, line: impl Display) {
        self.info(format_args!("{} {line}", styled(style::WARNING, "warning:")));
    }

    /// An error with its causes and its hint.
    pub(crate) fn error(&self, error: &CliError) {
        let (message, causes, hint) = error.parts();
        let mut text = format!("{} {message}", styled(style::ERROR, "error:"));
        for cause in causes {
            text += &format!("\n  {} {}", styled(style::ERROR, "caused by:"), indent(cause));
        }
        if let Some(hint) = hint {
            text += &format!("\n\n{} {}", styled(style::HINT, "hint:"), indent(hint));
        }
        self.stderr(text);
    }

    fn stderr(&self, text: impl Display) {
        self.bars.suspend(|| _ = writeln!(anstream::stderr(), "{text}"));
    }

    /// Where `tracing` writes: stderr, above the bars.
    pub(crate) fn diagnostics(&self) -> impl Fn() -> Diagnostics + Send + Sync + 'static {
        let printer = self.clone();
        move || Diagnostics(printer.clone())
    }
}

/// One diagnostic record on its way to stderr.
#[derive(Debug)]
pub(crate) struct Diagnostics(Printer);

impl Write for Diagnostics {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bars.suspend(|| io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Later lines of a text stand under its first.
fn indent(text: &str) -> String {
    text.replace('\n', "\n  ")
}
