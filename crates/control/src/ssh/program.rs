//! A program that an SSH client runs in an instance: its streams, its terminal, its end.

use std::fmt;

use bytes::Bytes;
use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::plan::ExecPlan;
use crate::platform::{Platform, PlatformError, Session};
use crate::streams::CHUNK;

/// What a client without a command gets: the image's best shell.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi";
/// The number of standard error in SSH.
const STDERR: u32 = 1;
/// Its number in a frame of the Docker Engine API.
const FRAME_OF_STDERR: u8 = 2;
/// The exit status of a program that could not be started: what `ssh` says of its own failures.
const NOT_STARTED: u32 = 255;
/// The signal of a terminal that is gone.
const SIGHUP: i32 = 1;
/// The largest terminal that is believed, in rows or columns.
const MOST_CELLS: u32 = 10_000;
/// What a terminal has of rows and columns when its client does not know.
const CELLS: (u16, u16) = (24, 80);
/// Longest name of a terminal that is believed.
const MOST_NAME: usize = 64;

/// A client's terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terminal {
    /// What programs know it by; `None` if it is no name.
    name: Option<String>,
    /// Its rows and columns.
    size: (u16, u16),
}

impl Terminal {
    pub(super) fn new(name: &str, rows: u32, columns: u32) -> Self {
        let is_name = !name.is_empty()
            && name.len() <= MOST_NAME
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        Self { name: is_name.then(|| name.to_owned()), size: size(rows, columns) }
    }
}

/// Rows and columns, of which 0 means that nobody knows.
fn size(rows: u32, columns: u32) -> (u16, u16) {
    let cells = |cells: u32, unknown| match cells {
        0 => unknown,
        cells => u16::try_from(cells.min(MOST_CELLS)).unwrap_or(unknown),
    };
    (cells(rows, CELLS.0), cells(columns, CELLS.1))
}

/// What is to run.
///
/// # Errors
/// The command is no text.
fn plan(command: Option<&[u8]>, terminal: Option<&Terminal>) -> Result<ExecPlan, PlatformError> {
    let script = match command {
        None => SHELL,
        Some(bytes) => str::from_utf8(bytes)
            .map_err(|_| PlatformError("the command is not in UTF-8".to_owned()))?,
    };
    let name = terminal.and_then(|terminal| terminal.name.as_deref());
    Ok(ExecPlan {
        command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        tty: terminal.is_some(),
        stdin: true,
        env: name.map(|name| format!("TERM={name}")).into_iter().collect(),
    })
}

/// Starts a command, or a shell if there is none.
///
/// # Errors
/// The instance has ended, or does not take it.
pub(super) async fn start(
    platform: &dyn Platform,
    instance: &str,
    command: Option<&[u8]>,
    terminal: Option<&Terminal>,
) -> Result<Session, PlatformError> {
    let plan = plan(command, terminal)?;
    let id = platform.create_exec(instance, &plan)?;
    platform.start_exec(&id, terminal.map(|terminal| terminal.size)).await
}

/// Says why a program was not started, and that this is its end.
pub(super) async fn refuse(channel: &Channel<Msg>, why: &impl fmt::Display) {
    // A client that has gone is told nothing.
    let text = format!("no program could be started in the instance: {why}\r\n");
    let _ = channel.extended_data_bytes(STDERR, text.into_bytes()).await;
    let _ = channel.eof().await;
    let _ = channel.exit_status(NOT_STARTED).await;
    let _ = channel.close().await;
}

/// Hands bytes between a program and its client until it has ended, and then says with which exit
/// code. A program whose client goes is at the end of its input, and its terminal hangs up.
pub(super) async fn serve(channel: Channel<Msg>, session: Session, has_terminal: bool) {
    let (mut from, to) = channel.split();
    let Session { stream, program } = session;
    let (mut output, mut input) = tokio::io::split(stream);
    // Both at once: a program may write while it does not read.
    let printing = async {
        match has_terminal {
            true => print_all(&mut output, &to).await,
            false => print_frames(&mut output, &to).await,
        }
        let code = program.ended().await;
        let _ = to.eof().await;
        let _ = to.exit_status(u32::try_from(code).unwrap_or(NOT_STARTED)).await;
        let _ = to.close().await;
    };
    let typing = async {
        while let Some(message) = from.wait().await {
            match message {
                // A program that has closed its input gets no more of it.
                ChannelMsg::Data { data } => _ = input.write_all(&data).await,
                ChannelMsg::Eof => _ = input.shutdown().await,
                ChannelMsg::WindowChange { col_width, row_height, .. } => {
                    let (rows, columns) = size(row_height, col_width);
                    program.resize(rows, columns);
                }
                ChannelMsg::Signal { signal } => {
                    if let Some(number) = number(&signal) {
                        program.signal(number);
                    }
                }
                ChannelMsg::Close => return,
                _ => {}
            }
        }
    };
    let has_left = tokio::select! {
        () = printing => false,
        () = typing => true,
    };
    if has_left && has_terminal {
        program.signal(SIGHUP);
    }
}

/// A terminal's output.
async fn print_all(output: &mut (impl AsyncRead + Unpin), to: &ChannelWriteHalf<Msg>) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        if to.data_bytes(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
            return;
        }
    }
}

/// Standard output and standard error, which come in frames.
async fn print_frames(output: &mut (impl AsyncRead + Unpin), to: &ChannelWriteHalf<Msg>) {
    let mut head = [0; 8];
    let mut buffer = vec![0; CHUNK];
    while output.read_exact(&mut head).await.is_ok() {
        let [stream, _, _, _, length @ ..] = head;
        let mut left = u32::from_be_bytes(length) as usize;
        while left > 0 {
            let most = left.min(CHUNK);
            let Ok(count @ 1..) = output.read(&mut buffer[..most]).await else { return };
            let bytes = Bytes::copy_from_slice(&buffer[..count]);
            let sent = match stream {
                FRAME_OF_STDERR => to.extended_data_bytes(STDERR, bytes).await,
                _ => to.data_bytes(bytes).await,
            };
            if sent.is_err() {
                return;
            }
            left -= count;
        }
    }
}

/// The number of a signal on Linux.
fn number(signal: &Sig) -> Option<i32> {
    Some(match signal {
        Sig::HUP => SIGHUP,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::Custom(name) if name == "USR2" => 12,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_shells_and_without_one_there_is_a_shell() {
        let command = plan(Some(b"echo $HOME"), None).unwrap();
        assert_eq!(command.command, ["/bin/sh", "-c", "echo $HOME"]);
        assert!(command.stdin && !command.tty && command.env.is_empty());
        let terminal = Terminal::new("xterm-256color", 50, 100);
        let shell = plan(None, Some(&terminal)).unwrap();
        assert!(shell.tty && shell.command[2].contains("exec bash"), "{shell:?}");
        assert_eq!(shell.env, ["TERM=xterm-256color"]);
        assert!(plan(Some(b"\xff"), None).is_err());
    }

    #[test]
    fn a_terminal_is_believed_within_reason() {
        assert_eq!(Terminal::new("vt100", 50, 100).size, (50, 100));
        assert_eq!(Terminal::new("vt100", 0, 0).size, (24, 80));
        assert_eq!(Terminal::new("vt100", u32::MAX, 1).size, (10_000, 1));
        for wrong in ["", "a b", "a\nB=c", &"x".repeat(65)] {
            assert_eq!(Terminal::new(wrong, 1, 1).name, None, "{wrong}");
        }
    }

    #[test]
    fn signals_have_their_numbers() {
        let custom = |name: &str| number(&Sig::Custom(name.to_owned()));
        assert_eq!((number(&Sig::TERM), number(&Sig::INT)), (Some(15), Some(2)));
        assert_eq!((custom("USR2"), custom("NOPE")), (Some(12), None));
    }
}
