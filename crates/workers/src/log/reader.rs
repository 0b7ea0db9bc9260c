//! Lines from a pipe, with a limit on their length.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line that is kept whole, in bytes; workerd writes a whole console call as one line.
const LONGEST: usize = 1 << 20;
const CHUNK: usize = 64 << 10;

/// Splits a stream into lines.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    inner: R,
    buffer: Vec<u8>,
    /// How much of `buffer` holds no line feed.
    searched: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::new(), searched: 0, ended: false }
    }

    /// The next line without its line feed; `None` at the end. A line beyond the limit comes in
    /// pieces. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
                line.pop();
                self.searched = 0;
                return Some(line);
            }
            self.searched = self.buffer.len();
            if self.searched >= LONGEST || (self.ended && self.searched > 0) {
                self.searched = 0;
                return Some(std::mem::take(&mut self.buffer));
            }
            if self.ended {
                return None;
            }
            self.buffer.reserve(CHUNK);
            // A broken pipe ends the stream like a closed one.
            self.ended = !matches!(self.inner.read_buf(&mut self.buffer).await, Ok(n) if n > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_one_by_one_and_the_last_needs_no_line_feed() {
        let mut reader = LineReader::new(&b"a\n\nbc\nd"[..]);
        for expected in [&b"a"[..], b"", b"bc", b"d"] {
            assert_eq!(reader.next().await.as_deref(), Some(expected));
        }
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn an_endless_line_does_not_fill_memory() {
        let long = vec![b'x'; 3 * LONGEST];
        let mut reader = LineReader::new(&long[..]);
        let piece = reader.next().await.expect("a piece");
        assert!(piece.len() >= LONGEST && piece.len() < 2 * LONGEST, "{}", piece.len());
    }
}
