//! Bytes into lines: pure, bounded, whatever the bytes are.

use model::limits::LOG_LINE_BYTES;

/// One line, or a piece of a line that is too long to be shown as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its text without the end of line; bytes that are no UTF-8 are replaced.
    pub(super) text: String,
    /// Whether the line goes on in the next piece.
    pub(super) partial: bool,
}

/// Collects bytes until a line is whole.
#[derive(Debug)]
pub(super) struct LineSplitter {
    rest: Vec<u8>,
}

impl LineSplitter {
    pub(super) fn new() -> Self {
        Self { rest: Vec::new() }
    }

    /// Adds bytes and gives the lines that are whole now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ended) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            self.extend(piece, &mut lines);
            if ended {
                let text = self.rest.strip_suffix(b"\r").unwrap_or(&self.rest);
                lines.push(Line { text: readable(text), partial: false });
                self.rest.clear();
            }
        }
        lines
    }

    /// What is left when the stream ends without an end of line.
    pub(super) fn finish(&mut self) -> Vec<Line> {
        if self.rest.is_empty() {
            return Vec::new();
        }
        vec![Line { text: readable(&std::mem::take(&mut self.rest)), partial: false }]
    }

    /// Adds bytes without an end of line, cutting off full pieces.
    fn extend(&mut self, mut bytes: &[u8], lines: &mut Vec<Line>) {
        while self.rest.len() + bytes.len() > LOG_LINE_BYTES {
            let (head, tail) = bytes.split_at(LOG_LINE_BYTES - self.rest.len());
            self.rest.extend_from_slice(head);
            lines.push(Line { text: readable(&self.rest), partial: true });
            self.rest.clear();
            bytes = tail;
        }
        self.rest.extend_from_slice(bytes);
    }
}

/// The text, with control characters other than tab and escape made visible: a program's output
/// must not move a console's cursor about. Escape stays, for colours.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.chars().all(is_harmless) {
        return text.into_owned();
    }
    text.chars().map(|c| if is_harmless(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn is_harmless(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\u{1b}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_are_given_when_they_end_however_they_arrive() {
        let mut splitter = LineSplitter::new();
        assert_eq!(texts(&splitter.push(b"one\ntw")), ["one"]);
        assert_eq!(texts(&splitter.push(b"o\r\n\nthree")), ["two", ""]);
        assert_eq!(texts(&splitter.finish()), ["three"]);
        assert!(splitter.finish().is_empty());
    }

    #[test]
    fn a_line_that_never_ends_comes_in_pieces() {
        let mut splitter = LineSplitter::new();
        let lines = splitter.push(&vec![b'x'; LOG_LINE_BYTES * 2 + 1]);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.partial && line.text.len() == LOG_LINE_BYTES));
        assert_eq!(splitter.push(b"\n"), [Line { text: "x".to_owned(), partial: false }]);
    }

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(readable(b"a\x08b\x00\tc"), "a\u{fffd}b\u{fffd}\tc");
    }

    proptest! {
        #[test]
        fn no_byte_of_a_text_is_lost(
            text in "[a-z\n]{0,300}",
            cuts in proptest::collection::vec(1_usize..40, 0..20),
        ) {
            let mut splitter = LineSplitter::new();
            let (mut lines, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                lines.extend(splitter.push(head));
                rest = tail;
            }
            lines.extend(splitter.push(rest));
            lines.extend(splitter.finish());
            prop_assert_eq!(texts(&lines), text.lines().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_give_bounded_lines(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut splitter = LineSplitter::new();
            for line in splitter.push(&bytes) {
                prop_assert!(line.text.chars().all(is_harmless));
            }
        }
    }
}
