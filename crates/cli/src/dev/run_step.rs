//! `RUN` steps of a Dockerfile, run in the same sandboxes as instances.

use agent::{BuildEgress, Network};
use image::{RunRequest, RunStep, RunStepError, Stream};
use model::InstanceType;
use runtime::{Process, Runtime, Sandbox, SandboxSpec, StreamReader};
use tokio::io::AsyncReadExt;
use tokio::time::{Duration, interval};

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
        let egress = request
            .network
            .then(|| BuildEgress::serve(&sandbox, self.allow.clone()))
            .transpose()?;
        let result = follow(&sandbox, streams, request, output).await;
        drop(egress);
        // Also after a failure: nothing of the step may stay.
        sandbox.destroy().await?;
        result
    }
}

/// A step may use what the largest instance type may; its speed is the machine's.
fn spec(request: &RunRequest<'_>) -> SandboxSpec {
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
        limits: InstanceType::Standard4.limits(),
        internet: request.network,
        mounts: Vec::new(),
        tmpfs: Vec::new(),
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
