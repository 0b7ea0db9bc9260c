//! Bytes on their way between the platform's connection and threads that read and write files.

use std::io::{self, Read, Write};

use bytes::Bytes;
use model::limits::ARCHIVE_BYTES;
use tokio::sync::mpsc;

/// Pieces on their way that nobody has taken yet.
const AHEAD: usize = 4;

/// Where pieces come in; an error is the last.
pub(super) type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// Reads pieces as one stream of bytes. Waiting for them blocks.
#[derive(Debug)]
pub(super) struct Reader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

/// Writes pieces, as many bytes as an archive may have. Waiting for their reader blocks.
#[derive(Debug)]
pub(super) struct Writer {
    pieces: Pieces,
    written: u64,
}

pub(super) fn channel() -> (Pieces, Reader) {
    let (send, pieces) = mpsc::channel(AHEAD);
    (send, Reader { pieces, piece: Bytes::new() })
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

impl Writer {
    pub(super) fn new(pieces: Pieces) -> Self {
        Self { pieces, written: 0 }
    }

    /// Bytes so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len() as u64;
        if self.written > ARCHIVE_BYTES {
            let gib = ARCHIVE_BYTES / 1024 / 1024 / 1024;
            return Err(io::Error::other(format!(
                "an archive of more than {gib} GiB is not taken"
            )));
        }
        let sent = self.pieces.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_they_were_written_until_an_error() {
        let (pieces, mut reader) = channel();
        let mut writer = Writer::new(pieces.clone());
        writer.write_all(b"ab").unwrap();
        writer.write_all(b"c").unwrap();
        assert_eq!(writer.written(), 3);
        drop(writer);
        pieces.blocking_send(Err(io::Error::other("why"))).unwrap();
        let mut read = [0; 3];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"abc");
        assert_eq!(reader.read(&mut read).unwrap_err().to_string(), "why");
        drop(reader);
        let mut writer = Writer::new(pieces);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
