//! Starting the program: from what was created to a running sandbox, or the reason why not.

use std::path::PathBuf;
use std::sync::Arc;

use model::instance::{ExitStatus, Refusal, State};
use model::{InstanceId, messages};
use runtime::{Output, Parked, Process, Runtime, RuntimeError, Sandbox, SandboxSpec, StartError};
use tokio_util::task::AbortOnDropHandle;

use super::environment::{self, command_line};
use super::{Creation, Published};
use crate::event::Subject;
use crate::node::Node;
use crate::timings::{Phase, Stopwatch};

/// A sandbox in the making. Dropping it gives the sandbox back.
#[derive(Debug)]
pub(super) struct Preparation(AbortOnDropHandle<Result<Parked, RuntimeError>>);

impl Preparation {
    /// Begins to prepare a sandbox.
    pub(super) fn begin(runtime: Runtime) -> Self {
        Self(AbortOnDropHandle::new(tokio::spawn(async move { runtime.prepare().await })))
    }

    async fn parked(self, runtime: &Runtime) -> Result<Parked, RuntimeError> {
        match self.0.await {
            Ok(Ok(parked)) => Ok(parked),
            _ => runtime.prepare().await,
        }
    }
}

/// What was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) sandbox: Sandbox,
    pub(super) output: Output,
    pub(super) process: Process,
}

/// A start about to happen.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) node: Arc<Node>,
    pub(super) creation: Creation,
    pub(super) subject: Subject,
    pub(super) internet: bool,
    pub(super) preparation: Option<Preparation>,
    pub(super) stopwatch: Stopwatch,
}

impl Start {
    /// Starts the program. The error completes "failed to …" and is for the user.
    pub(super) async fn run(self) -> Result<Started, String> {
        let process = self.process()?;
        let runtime = &self.node.runtime;
        let parked = match self.preparation {
            Some(preparation) => preparation.parked(runtime).await,
            None => runtime.prepare().await,
        };
        let parked = parked.map_err(|error| error.to_string())?;
        self.stopwatch.note(Phase::Taken);
        let layers = layers(&self.node, &self.creation, self.subject.instance).await?;
        self.stopwatch.note(Phase::Layered);
        let spec = SandboxSpec {
            layers,
            upper: None,
            process: process.clone(),
            hostname: self.subject.instance.to_string(),
            limits: self.creation.application.application.instance_type.limits(),
            internet: self.internet,
            mounts: Vec::new(),
            tmpfs: Vec::new(),
        };
        let started = match runtime.start(parked, spec.clone()).await {
            // The parked sandbox was killed, and nothing of it is left: another one will do.
            Err(StartError::Ended) => {
                let parked = runtime.prepare().await.map_err(|error| error.to_string())?;
                runtime.start(parked, spec).await
            }
            started => started,
        };
        let (sandbox, output) = started.map_err(|error| error.to_string())?;
        Ok(Started { sandbox, output, process })
    }

    fn process(&self) -> Result<Process, String> {
        let (config, request) = (&self.creation.image.config, &self.creation.request);
        let args = command_line(&config.entrypoint, &config.cmd, request.cmd.as_deref());
        if args.is_empty() {
            return Err("find a command to run: the image has neither ENTRYPOINT nor CMD, \
                        and `start()` was given no `entrypoint`"
                .to_owned());
        }
        let subject = environment::Subject {
            application: &self.creation.application.id,
            object: &self.subject.object,
            instance: self.subject.instance,
            placement: &self.node.placement,
        };
        let env = environment::merge(&config.env, request.env.as_deref().unwrap_or(&[]), subject);
        Ok(Process {
            args,
            env,
            cwd: config.working_dir.clone(),
            user: config.user.clone(),
            terminal: None,
        })
    }
}

/// The image's layers, and above them those the instance alone has: most have none.
async fn layers(
    node: &Node,
    creation: &Creation,
    instance: InstanceId,
) -> Result<Vec<PathBuf>, String> {
    let layers = creation.image.layers.clone();
    if !creation.is_layered() {
        return Ok(layers);
    }
    let (dir, injections) = (node.layers_dir(instance), creation.injections.clone());
    let made = tokio::task::spawn_blocking(move || super::layers::make(&dir, layers, &injections));
    match made.await {
        Ok(made) => made.map_err(|error| error.to_string()),
        Err(error) => Err(format!("make the instance's layers: {error}")),
    }
}

/// The text `/wait` answers with when there is no exit code to give, if there is none. The npm class
/// looks for its words anywhere in it.
pub(crate) fn why_not(published: &Published, max_instances: Option<u32>) -> Option<String> {
    match &published.state {
        State::Refused(Refusal::MaxInstances) => {
            let limit = max_instances.map(|most| format!(" (max_instances is {most})"));
            let limit = limit.unwrap_or_default();
            Some(format!("{}{limit}: {}", messages::MAX_INSTANCES, messages::NO_INSTANCE))
        }
        State::Refused(Refusal::TooManyStarts) => Some(messages::TOO_MANY_STARTS.to_owned()),
        State::Failed { reason } => Some(format!("failed to {reason}")),
        _ => None,
    }
}

/// The runtime's word for how a program ended, in the model's.
pub(super) fn exit_status(status: runtime::ExitStatus) -> ExitStatus {
    ExitStatus { code: status.code, out_of_memory: status.oom }
}
