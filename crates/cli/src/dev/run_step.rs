//! `RUN` steps of a Dockerfile, run in the same sandboxes as instances.

use agent::{BuildEgress, Network};
use image::{RunMount, RunNetwork, RunRequest, RunStep, RunStepError, Stream};
use model::InstanceType;
use runtime::{BindMount, Process, Runtime, Sandbox, SandboxSpec, StreamReader, TmpfsMount};
use tokio::io::AsyncReadExt;
use tokio::time::{Duration, interval};

/// All addresses: the host's network is whatever the host reaches.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// Permission bits of a memory file system, as Docker's.
const TMPFS_MODE: u32 = 0o1777;

/// How often a running step looks whether it was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// Runs each command in a sandbox of its own. Blocking, as builds are; `handle` is where its async
/// parts run.
#[derive(Debug, Clone)]
pub(crate) struct SandboxRunStep {
    pub(crate) runtime: Runtime,
    /// Networks that steps may reach although they are the host's or private.
    pub(crate) allow: Vec<Network>,
    pub(crate) handle: tokio::runtime::Handle,
}

impl RunStep for SandboxRunStep {
    fn run(
        &self,
        request: &RunRequest<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        self.handle.block_on(self.run_step(request, output))
    }
}

impl SandboxRunStep {
    async fn run_step(
        &self,
        request: &RunRequest<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        let parked = self.runtime.prepare().await?;
        let (sandbox, streams) = self.runtime.start(parked, spec(request)).await?;
        let egress = match request.network {
            RunNetwork::None => Ok(None),
            network => BuildEgress::serve(&sandbox, self.allowed(network)).map(Some),
        };
        // Nothing of the step may stay when it cannot go on.
        let egress = match egress {
            Ok(egress) => egress,
            Err(error) => {
                sandbox.destroy().await?;
                return Err(error.into());
            }
        };
        let result = follow(&sandbox, streams, request, output).await;
        drop(egress);
        // Also after a failure: nothing of the step may stay.
        sandbox.destroy().await?;
        result
    }
}

impl SandboxRunStep {
    fn allowed(&self, network: RunNetwork) -> Vec<Network> {
        match network {
            RunNetwork::Host => {
                EVERYWHERE.iter().filter_map(|network| network.parse().ok()).collect()
            }
            _ => self.allow.clone(),
        }
    }
}

/// A step may use what the largest instance type may; its speed is the machine's.
fn spec(request: &RunRequest<'_>) -> SandboxSpec {
    let limits = InstanceType::Standard4.limits();
    let (mut mounts, mut tmpfs) = (Vec::new(), Vec::new());
    for mount in request.mounts {
        match mount {
            RunMount::Bind { source, target, read_only } => mounts.push(BindMount {
                source: source.clone(),
                target: target.clone(),
                read_only: *read_only,
            }),
            RunMount::Tmpfs { target, size } => tmpfs.push(TmpfsMount {
                target: target.clone(),
                // It counts against the step's memory in any case.
                size: size.unwrap_or(limits.memory_mib << 20),
                mode: TMPFS_MODE,
            }),
        }
    }
    SandboxSpec {
        layers: request.layers.to_vec(),
        upper: Some(request.upper.to_owned()),
        process: Process {
            args: request.args.to_vec(),
            env: request.env.to_vec(),
            cwd: request.cwd.to_owned(),
            user: request.user.to_owned(),
            terminal: None,
        },
        pid1: false,
        hostname: "build".to_owned(),
        limits,
        internet: request.network != RunNetwork::None,
        mounts,
        tmpfs,
    }
}

/// Hands over what the step prints until it has ended or is cancelled.
async fn follow(
    sandbox: &Sandbox,
    streams: runtime::Output,
    request: &RunRequest<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<i32, RunStepError> {
    let (mut stdout, mut stderr) = (Some(streams.stdout), Some(streams.stderr));
    let (mut out, mut err) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut cancel = interval(CANCEL_POLL);
    while stdout.is_some() || stderr.is_some() {
        tokio::select! {
            n = read(&mut stdout, &mut out) => output(Stream::Stdout, &out[..n?]),
            n = read(&mut stderr, &mut err) => output(Stream::Stderr, &err[..n?]),
            _ = cancel.tick() => if (request.cancelled)() {
                sandbox.kill().await?;
                return Err("cancelled".into());
            },
        }
    }
    Ok(sandbox.wait().await.code)
}

/// Reads from a stream; at its end it becomes `None`, and a stream that is gone is waited for forever.
async fn read(stream: &mut Option<StreamReader>, buffer: &mut [u8]) -> std::io::Result<usize> {
    let Some(reader) = stream else { return std::future::pending().await };
    let n = reader.read(buffer).await?;
    if n == 0 {
        *stream = None;
    }
    Ok(n)
}
