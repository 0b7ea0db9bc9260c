//! A program's output and input as tokio streams.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::termios::{LocalModes, SpecialCodeIndex, Winsize};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, Interest, ReadBuf};

use crate::sys;

/// What the main program prints, and what it reads. Both ends of its pipes are also held by the sandbox's init, so
/// dropping this neither breaks the program nor loses bytes: they wait for the next adoption.
/// End of file comes once the sandbox has ended and everything was read.
#[derive(Debug)]
pub struct Output {
    /// Standard input: a terminal's, or a pipe that was asked for. Dropping a pipe's is its end.
    pub stdin: Option<StreamWriter>,
    /// Standard output, or everything when the program has a terminal.
    pub stdout: StreamReader,
    /// Standard error; at its end from the start when the program has a terminal.
    pub stderr: StreamReader,
}

/// The reading end of a pipe or terminal.
#[derive(Debug)]
pub struct StreamReader {
    fd: Option<AsyncFd<OwnedFd>>,
}

/// The writing end of a pipe or terminal. Dropping a pipe's end closes it.
#[derive(Debug)]
pub struct StreamWriter {
    fd: AsyncFd<OwnedFd>,
}

impl StreamReader {
    /// Wraps `fd` and makes it non-blocking. Must be called inside a tokio runtime.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&fd)?;
        Ok(Self { fd: Some(sys::watch(fd, Interest::READABLE)?) })
    }

    /// A stream that is at its end.
    pub(crate) fn empty() -> Self {
        Self { fd: None }
    }
}

impl StreamWriter {
    /// Wraps `fd` and makes it non-blocking. Must be called inside a tokio runtime.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&fd)?;
        Ok(Self { fd: sys::watch(fd, Interest::WRITABLE)? })
    }

    /// Sets the size of the terminal this leads to.
    ///
    /// # Errors
    /// It leads to none.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(self.fd.get_ref(), size)?)
    }

    /// Ends the input. A pipe is closed. A terminal that reads by lines gets its end-of-file
    /// character, as somebody at it would press it: twice when the last line is not complete
    /// (`in_line`), because the first only hands that line over. A raw terminal knows no end.
    pub async fn end(mut self, in_line: bool) {
        let Ok(settings) = rustix::termios::tcgetattr(self.fd.get_ref()) else { return };
        if settings.local_modes.contains(LocalModes::ICANON) {
            let end = settings.special_codes[SpecialCodeIndex::VEOF];
            let times = if in_line { 2 } else { 1 };
            // Whoever does not read any more needs no end either.
            let _ = self.write_all(&[end; 2][..times]).await;
        }
    }
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(fd) = &self.fd else { return Poll::Ready(Ok(())) };
        loop {
            let mut ready = std::task::ready!(fd.poll_read_ready(cx))?;
            let unfilled = buf.initialize_unfilled();
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut *unfilled)?)) {
                Ok(Ok(n)) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                // A terminal whose programs have all closed it; a pipe would say end of file.
                Ok(Err(e)) if e.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(e)) => return Poll::Ready(Err(e)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = std::task::ready!(self.fd.poll_write_ready(cx))?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd, buf)?)) {
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
