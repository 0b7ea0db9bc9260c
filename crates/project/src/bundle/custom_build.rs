//! The custom build, `build.command`: a shell command that makes the entry point.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::config::Build;

/// Why a custom build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildCommandError {
    /// The shell could not be started.
    #[error("could not run the custom build `{command}` in {}", cwd.display())]
    Spawn {
        /// The command.
        command: String,
        /// Where it should have run.
        cwd: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The command ended with an error.
    #[error("running custom build `{command}` failed ({status}){}", indented(last_lines))]
    Failed {
        /// The command.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
}

/// Lines kept for the error.
const LAST_LINES: usize = 20;

/// Longest line that is passed on; the rest of a longer one is cut off.
const LINE_BYTES: usize = 16 * 1024;

fn indented(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "\n  " + line)
}

/// Runs the custom build (`build.command`), if there is one, and waits for its end.
///
/// Each line it writes goes to `output` at once. Dropping the future ends the command.
///
/// # Errors
/// The command could not be started or failed.
pub async fn run_build_command(
    build: &Build,
    output: &mut (dyn FnMut(&str) + Send),
) -> Result<(), BuildCommandError> {
    let Some(command) = &build.command else { return Ok(()) };
    let spawn = |source| BuildCommandError::Spawn {
        command: command.clone(),
        cwd: build.cwd.clone(),
        source,
    };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(&build.cwd)
        .env("WRANGLER_COMMAND", "dev")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group, so that what the shell started ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(spawn)?;
    let mut group = Group(child.id());
    let (sender, mut lines) = mpsc::channel(64);
    let stdout = child.stdout.take().map(|pipe| tokio::spawn(forward(pipe, sender.clone())));
    let stderr = child.stderr.take().map(|pipe| tokio::spawn(forward(pipe, sender)));
    let mut last_lines = std::collections::VecDeque::new();
    while let Some(line) = lines.recv().await {
        output(&line);
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(line);
    }
    drop((stdout, stderr));
    let status = child.wait().await.map_err(spawn)?;
    // Reaped: the id may soon be another's. What the build left running is its own affair.
    group.0 = None;
    if status.success() {
        return Ok(());
    }
    Err(BuildCommandError::Failed {
        command: command.clone(),
        status: status.to_string(),
        last_lines: last_lines.into(),
    })
}

/// Ends the whole process group when the build is dropped before its end.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid =
            self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Nobody left is what is wanted.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn forward(pipe: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = String::from_utf8_lossy(&text[..text.len().min(LINE_BYTES)]);
        if lines.send(text.trim_end_matches('\r').to_owned()).await.is_err() {
            return;
        }
        line.clear();
    }
}
