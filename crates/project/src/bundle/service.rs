//! The esbuild process: requests to it, and its questions to our plugins while it works.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::packet::{Packet, Value};

/// Why esbuild could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum EsbuildError {
    /// The binary could not be started.
    #[error("could not start the bundler {}", path.display())]
    Start {
        /// The binary.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended in the middle of the work.
    #[error("the bundler ended before it was done{}", detail(stderr))]
    Ended {
        /// What it wrote last.
        stderr: String,
    },
    /// It sent something that is no packet.
    #[error("the bundler sent something that is not its protocol")]
    Protocol,
    /// It refused a request.
    #[error("the bundler refused a request: {text}")]
    Refused {
        /// Its words.
        text: String,
    },
}

fn detail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// Largest packet that is read; a bundle of this size would not be a Worker.
const PACKET_BYTES: u32 = 1 << 30;

/// What esbuild asks while it builds.
pub(super) trait Host {
    /// Answers a question, or says what has to be resolved first.
    fn question(&mut self, question: &Value) -> Reply;
    /// Answers the question that waited for a resolution.
    fn resolved(&mut self, waiting: Waiting, resolution: &Value) -> Value;
}

/// What a [`Host`] says to a question.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(Value),
    /// Ask esbuild to resolve this, then go on with [`Host::resolved`].
    Resolve(Value, Waiting),
}

/// A question that waits for a resolution.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Which callback of ours asked.
    pub(super) callback: u32,
    /// The import as written, without its query.
    pub(super) path: String,
    /// The folder of the importing file.
    pub(super) dir: PathBuf,
}

/// A running esbuild. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
    next: u32,
}

impl Service {
    /// Starts the binary as a service.
    pub(super) async fn start(path: &Path) -> Result<Self, EsbuildError> {
        let failed = |source| EsbuildError::Start { path: path.to_owned(), source };
        let version = Command::new(path)
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(failed)?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let mut child = Command::new(path)
            .arg(format!("--service={version}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut pipe = child.stderr.take().expect("stderr is piped");
        let stderr = tokio::spawn(async move {
            let mut bytes = Vec::new();
            // What was read before an error is all there is to say.
            let _ = pipe.read_to_end(&mut bytes).await;
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            let lines: Vec<_> = text.lines().take(10).collect();
            lines.join("\n")
        });
        let mut service = Self { child, stdin, stdout, stderr, next: 0 };
        let greeting = service.read().await?;
        if greeting != version.as_bytes() {
            return Err(EsbuildError::Protocol);
        }
        Ok(service)
    }

    /// Sends a request and waits for its answer; questions that come meanwhile go to `host`.
    pub(super) async fn request(
        &mut self,
        value: Value,
        host: &mut (dyn Host + Send),
    ) -> Result<Value, EsbuildError> {
        let id = self.send(value).await?;
        let mut waiting: HashMap<u32, (u32, Waiting)> = HashMap::new();
        loop {
            let bytes = self.read().await?;
            let packet = Packet::decode(&bytes).ok_or(EsbuildError::Protocol)?;
            if packet.is_request {
                match host.question(&packet.value) {
                    Reply::Answer(value) => self.answer(packet.id, value).await?,
                    Reply::Resolve(value, then) => {
                        let asked = self.send(value).await?;
                        waiting.insert(asked, (packet.id, then));
                    }
                }
            } else if packet.id == id {
                let text = packet.value.text("error");
                if !text.is_empty() {
                    return Err(EsbuildError::Refused { text: text.to_owned() });
                }
                return Ok(packet.value);
            } else if let Some((question, then)) = waiting.remove(&packet.id) {
                let value = host.resolved(then, &packet.value);
                self.answer(question, value).await?;
            }
        }
    }

    async fn send(&mut self, value: Value) -> Result<u32, EsbuildError> {
        let id = self.next;
        self.next += 1;
        self.write(&Packet { id, is_request: true, value }).await?;
        Ok(id)
    }

    async fn answer(&mut self, id: u32, value: Value) -> Result<(), EsbuildError> {
        self.write(&Packet { id, is_request: false, value }).await
    }

    async fn write(&mut self, packet: &Packet) -> Result<(), EsbuildError> {
        match self.stdin.write_all(&packet.encode()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    /// One packet without its length.
    async fn read(&mut self) -> Result<Vec<u8>, EsbuildError> {
        let Ok(length) = self.stdout.read_u32_le().await else { return Err(self.ended().await) };
        if length > PACKET_BYTES {
            return Err(EsbuildError::Protocol);
        }
        let mut bytes = vec![0; length as usize];
        match self.stdout.read_exact(&mut bytes).await {
            Ok(_) => Ok(bytes),
            Err(_) => Err(self.ended().await),
        }
    }

    async fn ended(&mut self) -> EsbuildError {
        // It may have closed its output without ending; its last words come at its end.
        let _ = self.child.kill().await;
        let stderr = (&mut self.stderr).await.unwrap_or_default();
        EsbuildError::Ended { stderr }
    }
}
