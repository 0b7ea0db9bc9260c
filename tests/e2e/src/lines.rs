//! The lines a program has written so far, gathered while it runs.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// All lines of stdout and stderr in the order they came, without colours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Lines {
    /// Gathers what comes out of `stream` until it ends.
    pub(crate) fn gather(&self, stream: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                // A terminal whose last writer went away is an error, and an end all the same.
                let Ok(line) = line else { return };
                let line = without_colours(&String::from_utf8_lossy(&line));
                lines.lock().push(line.trim_end().to_owned());
                lines.0.more.notify_all();
            }
        });
    }

    /// All lines so far that contain `text`.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        self.lock().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Waits until `count` lines contain `text` and returns the last of them.
    pub(crate) fn wait(&self, text: &str, count: usize, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines.iter().filter(|line| line.contains(text)).nth(count - 1) {
                return Some(line.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            lines = self.0.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().iter().try_for_each(|line| writeln!(f, "  | {line}"))
    }
}

/// `text` without terminal escape sequences (`ESC [ … letter`).
pub(crate) fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char == '\u{1b}' {
            let _ = rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_cut_out() {
        assert_eq!(without_colours("\u{1b}[1;32mok\u{1b}[0m done"), "ok done");
    }

    #[test]
    fn a_line_is_waited_for_by_its_count() {
        let lines = Lines::default();
        lines.gather("one\ntwo\none more".as_bytes());
        let patience = Duration::from_secs(5);
        assert_eq!(lines.wait("one", 2, patience).as_deref(), Some("one more"));
        assert_eq!(lines.wait("three", 1, Duration::ZERO), None);
        assert_eq!(lines.with("one").len(), 2);
    }
}
