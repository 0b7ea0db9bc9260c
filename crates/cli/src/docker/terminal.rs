//! The streams of a container on this terminal: frames taken apart, keys handed on, the terminal
//! raw while a program has one.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use rustix::termios::{OptionalActions, Termios};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::error::CliError;

/// Longest payload of a frame that is believed.
const MOST_FRAME: usize = 64 * 1024 * 1024;

/// What a caller wants of a program's streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams {
    /// Whether standard input is handed on.
    pub(crate) stdin: bool,
    /// Whether the other side is a terminal: no frames.
    pub(crate) tty: bool,
}

/// A terminal that is raw, and as it was when this is dropped.
struct Raw(Option<Termios>);

impl Raw {
    fn new(tty: bool) -> Self {
        let stdin = std::io::stdin();
        if !tty || !stdin.is_terminal() {
            return Self(None);
        }
        let Ok(before) = rustix::termios::tcgetattr(stdin.as_fd()) else { return Self(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let set = rustix::termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw);
        Self(set.is_ok().then_some(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let stdin = std::io::stdin();
            let _ = rustix::termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, before);
        }
    }
}

/// This terminal's rows and columns, if it is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout().as_fd()).ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Hands bytes to and fro until the program's output ends.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    streams: Streams,
) -> Result<(), CliError> {
    let _raw = Raw::new(streams.tty && streams.stdin);
    let (from, mut to) = tokio::io::split(stream);
    let typing = async move {
        if streams.stdin {
            let mut keys = keys();
            while let Some(bytes) = keys.recv().await {
                if to.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            let _ = to.shutdown().await;
        }
        // The program may go on without input.
        std::future::pending::<()>().await;
    };
    let printing = async {
        match streams.tty {
            true => copy(from).await,
            false => demultiplex(from).await,
        }
    };
    let printed = tokio::select! {
        printed = printing => printed,
        () = typing => Ok(()),
    };
    printed.map_err(|error| CliError::failure("read the program's output", error))
}

/// What is typed, read by a thread: standard input may be anything, and cannot be waited for else.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = std::io::Read::read(&mut stdin, &mut buffer) {
            if send.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receive
}

/// Bytes to standard output as they come. Writing blocks: there is nothing else to do meanwhile.
pub(crate) async fn copy(mut from: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            count => write(std::io::stdout(), &buffer[..count])?,
        }
    }
}

fn write(mut to: impl std::io::Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Frames to standard output and standard error.
pub(crate) async fn demultiplex(mut from: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let mut payload = Vec::new();
    loop {
        let mut head = [0; 8];
        match from.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if length > MOST_FRAME {
            return Err(std::io::Error::other("a frame of the engine's is too long"));
        }
        payload.resize(length, 0);
        from.read_exact(&mut payload).await?;
        match head[0] {
            2 => write(std::io::stderr(), &payload)?,
            _ => write(std::io::stdout(), &payload)?,
        }
    }
    Ok(())
}
