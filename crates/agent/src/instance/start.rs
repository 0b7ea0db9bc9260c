//! Starting the program: from what was created to a running sandbox, or the reason why not.

use std::sync::Arc;

use model::instance::{ExitStatus, Refusal, State};
use model::{InstanceId, messages};
use runtime::{Output, Parked, Process, Runtime, RuntimeError, Sandbox, SandboxSpec, StartError};
use tokio_util::task::AbortOnDropHandle;

use super::environment::{self, command_line};
use super::layers::{self, Layers};
use super::{Creation, Files, Published, pid1};
use crate::application::Plain;
use crate::docker_api::is_snapshot;
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
    pub(super) files: Files,
}

/// A start about to happen.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) node: Arc<Node>,
    pub(super) creation: Creation,
    pub(super) subject: Subject,
    /// Whether its outbound connections are routed to the agent.
    pub(super) routed: bool,
    pub(super) preparation: Option<Preparation>,
    pub(super) stopwatch: Stopwatch,
    /// What it is beyond its application, if no object owns it.
    pub(super) plain: Option<Arc<Plain>>,
}

impl Start {
    /// Starts the program. The error completes "failed to …" and is for the user.
    pub(super) async fn run(self) -> Result<Started, String> {
        let process = self.process()?;
        let runtime = &self.node.runtime;
        let plain = self.plain.as_deref();
        let parked = match self.preparation {
            Some(preparation) => preparation.parked(runtime).await,
            None => runtime.prepare().await,
        };
        let parked = parked.map_err(|error| error.to_string())?;
        self.stopwatch.note(Phase::Taken);
        let layers = layers(&self.node, &self.creation, self.subject.instance).await?;
        self.stopwatch.note(Phase::Layered);
        let files = Files {
            image: self.creation.image.digest.as_str().to_owned(),
            restored: is_snapshot(&self.creation.request.image),
            mounts: layers.mounts,
        };
        let spec = SandboxSpec {
            layers: layers.all,
            upper: plain.map(|plain| plain.files.join("upper")),
            process: process.clone(),
            pid1: pid1::is_wanted(&process.args, &self.creation.image.config.labels),
            hostname: match plain {
                Some(plain) => plain.hostname.clone(),
                None => self.subject.instance.to_string(),
            },
            limits: match plain {
                Some(plain) => plain.limits,
                None => self.creation.application.application.instance_type.limits(),
            },
            internet: self.routed,
            mounts: plain.map(|plain| plain.binds.clone()).unwrap_or_default(),
            tmpfs: plain.map(|plain| plain.tmpfs.clone()).unwrap_or_default(),
        };
        let stdin = plain.is_some_and(|plain| plain.stdin);
        let started = match start(runtime, parked, spec.clone(), stdin).await {
            // The parked sandbox was killed, and nothing of it is left: another one will do.
            Err(StartError::Ended) => {
                let parked = runtime.prepare().await.map_err(|error| error.to_string())?;
                start(runtime, parked, spec, stdin).await
            }
            started => started,
        };
        let (sandbox, output) = started.map_err(|error| error.to_string())?;
        Ok(Started { sandbox, output, process, files })
    }

    fn process(&self) -> Result<Process, String> {
        let (config, request) = (&self.creation.image.config, &self.creation.request);
        let args = match &request.entrypoint {
            // Another entrypoint takes the image's command with it.
            Some(own) => command_line(own, &[], request.cmd.as_deref()),
            None => command_line(&config.entrypoint, &config.cmd, request.cmd.as_deref()),
        };
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
        let own_env = request.env.as_deref().unwrap_or(&[]);
        let Some(plain) = &self.plain else {
            let env = environment::merge(&config.env, own_env, subject);
            let (cwd, user) = (config.working_dir.clone(), config.user.clone());
            return Ok(Process { args, env, cwd, user, terminal: None });
        };
        let or_images = |own: &str, images: &str| match own {
            "" => images.to_owned(),
            own => own.to_owned(),
        };
        let mut env = environment::inherit(&config.env, own_env);
        if plain.tty {
            env.push("TERM=xterm".to_owned());
        }
        Ok(Process {
            args,
            // What comes later wins, so the defaults are in front.
            env: environment::inherit(&[format!("HOSTNAME={}", plain.hostname)], &env),
            cwd: or_images(&plain.working_dir, &config.working_dir),
            user: or_images(&plain.user, &config.user),
            terminal: plain.tty.then(|| plain.console.size().unwrap_or((80, 24))),
        })
    }
}

async fn start(
    runtime: &Runtime,
    parked: Parked,
    spec: SandboxSpec,
    stdin: bool,
) -> Result<(Sandbox, Output), StartError> {
    if stdin {
        runtime.start_with_stdin(parked, spec).await
    } else {
        runtime.start(parked, spec).await
    }
}

/// The image's layers, and above them those the instance alone has: most have none.
async fn layers(node: &Node, creation: &Creation, instance: InstanceId) -> Result<Layers, String> {
    if !creation.is_layered() {
        return Ok(Layers { all: creation.image.layers.clone(), ..Layers::default() });
    }
    let (dir, creation) = (node.layers_dir(instance), creation.clone());
    let made = tokio::task::spawn_blocking(move || layers::make(&dir, &creation));
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
