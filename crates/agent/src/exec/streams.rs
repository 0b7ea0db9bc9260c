//! The streams of an exec over its upgraded connection: frames or a raw terminal one way, standard
//! input the other. Nothing is buffered beyond one chunk: a slow reader slows the program.

use std::time::Duration;

use runtime::{StreamReader, StreamWriter};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::sync::watch;

use super::Progress;
use super::frames::{FrameStream, frame};

/// Bytes of output handed on at once.
const CHUNK: usize = 16 * 1024;
/// After the program's end its output is read until it ends, or is quiet for this long: a process
/// it left in the background may hold the pipe for ever.
const QUIET: Duration = Duration::from_millis(250);

/// What an exec's connection is served with.
#[derive(Debug)]
pub(crate) struct Attached {
    tty: bool,
    stdin: Option<StreamWriter>,
    stdout: Option<StreamReader>,
    stderr: Option<StreamReader>,
    /// `None` when there is no program to wait for.
    progress: Option<watch::Receiver<Progress>>,
    /// A text of ours on standard error.
    text: Option<String>,
}

impl Attached {
    pub(super) fn streams(
        tty: bool,
        stdin: Option<StreamWriter>,
        stdout: Option<StreamReader>,
        stderr: Option<StreamReader>,
        progress: watch::Receiver<Progress>,
    ) -> Self {
        Self { tty, stdin, stdout, stderr, progress: Some(progress), text: None }
    }

    /// No streams at all.
    pub(super) fn nothing(tty: bool) -> Self {
        Self { tty, stdin: None, stdout: None, stderr: None, progress: None, text: None }
    }

    /// Only a text, for a program that could not be executed.
    pub(super) fn failure(tty: bool, text: String) -> Self {
        Self { text: Some(text), ..Self::nothing(tty) }
    }
}

/// Serves one connection until the program's output is at its end.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    attached: Attached,
) {
    let (from_caller, mut to_caller) = tokio::io::split(stream);
    let Attached { tty, stdin, stdout, stderr, progress, text } = attached;
    let input = feed(from_caller, stdin);
    let output = async {
        if let Some(text) = text {
            let bytes =
                if tty { text.into_bytes() } else { frame(FrameStream::Stderr, text.as_bytes()) };
            let _ = to_caller.write_all(&bytes).await;
        }
        let mut writer = OutputWriter { to: &mut to_caller, tty, gone: false };
        drain(stdout, stderr, progress, &mut writer).await;
        let _ = to_caller.shutdown().await;
    };
    // The end of input ends nothing; the end of output ends everything.
    tokio::select! {
        () = output => {}
        never = input => match never {},
    }
}

/// Hands the caller's bytes to the program; their end is the end of its input.
async fn feed<S: AsyncRead>(
    mut from: ReadHalf<S>,
    stdin: Option<StreamWriter>,
) -> std::convert::Infallible {
    if let Some(mut stdin) = stdin {
        let mut buffer = vec![0; CHUNK];
        let mut in_line = false;
        let ended = loop {
            match from.read(&mut buffer).await {
                Ok(0) => break true,
                Ok(count) if stdin.write_all(&buffer[..count]).await.is_ok() => {
                    in_line = buffer[count - 1] != b'\n';
                }
                // The program reads no more, or the caller broke off.
                _ => break false,
            }
        };
        if ended {
            stdin.end(in_line).await;
        }
    }
    std::future::pending().await
}

/// Reads both outputs until they end.
async fn drain<S: AsyncWrite>(
    mut stdout: Option<StreamReader>,
    mut stderr: Option<StreamReader>,
    progress: Option<watch::Receiver<Progress>>,
    writer: &mut OutputWriter<'_, S>,
) {
    let mut ended = std::pin::pin!(program_ended(progress));
    let mut after_end = false;
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
    while stdout.is_some() || stderr.is_some() {
        // Whichever is ready, in no fixed order: a flood on one stream must not starve the other.
        let (stream, count) = tokio::select! {
            count = read(&mut stdout, &mut out) => (FrameStream::Stdout, count),
            count = read(&mut stderr, &mut err) => (FrameStream::Stderr, count),
            () = &mut ended, if !after_end => {
                after_end = true;
                continue;
            }
            () = tokio::time::sleep(QUIET), if after_end => return,
        };
        match stream {
            FrameStream::Stdout => writer.write(stream, &out[..count]).await,
            FrameStream::Stderr => writer.write(stream, &err[..count]).await,
        }
    }
    if !after_end {
        ended.await;
    }
}

async fn program_ended(progress: Option<watch::Receiver<Progress>>) {
    if let Some(mut progress) = progress {
        let _ = progress.wait_for(|progress| matches!(progress, Progress::Ended { .. })).await;
    }
}

/// The next bytes; zero at the end, after which it waits for ever.
async fn read(source: &mut Option<StreamReader>, buffer: &mut [u8]) -> usize {
    let Some(reader) = source else { return std::future::pending().await };
    let count = reader.read(buffer).await.unwrap_or(0);
    if count == 0 {
        *source = None;
    }
    count
}

/// The caller's side.
struct OutputWriter<'a, S> {
    to: &'a mut WriteHalf<S>,
    tty: bool,
    /// The caller has left; the program goes on and its output is thrown away, as Docker does.
    gone: bool,
}

impl<S: AsyncWrite> OutputWriter<'_, S> {
    async fn write(&mut self, stream: FrameStream, bytes: &[u8]) {
        if self.gone || bytes.is_empty() {
            return;
        }
        let result = if self.tty {
            self.to.write_all(bytes).await
        } else {
            self.to.write_all(&frame(stream, bytes)).await
        };
        self.gone = result.is_err();
    }
}
