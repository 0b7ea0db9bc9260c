//! What a command about images works with: the store in `BERTH_HOME`, and sandboxes when a
//! Dockerfile's commands are to be run.

use std::sync::Arc;

use agent::Network;
use agent::engine::{Images, Messages};
use image::{ImageStore, PullOptions, RunRequest, RunStep, RunStepError, Stream};
use runtime::{Runtime, RuntimeConfig};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::args::Mirrors;
use crate::commands::snapshots::images_in_use;
use crate::dev::run_step::SandboxRunStep;
use crate::dev::signals;
use crate::error::CliError;
use crate::paths;
use crate::printer::Printer;
use crate::sandboxes;

/// The images, for commands that run nothing.
pub(super) fn images() -> Result<Images, CliError> {
    images_with(&Mirrors::default(), Arc::new(RunsNothing), Vec::new())
}

/// The images, with how they are pulled and built.
pub(super) fn images_with(
    mirrors: &Mirrors,
    run: Arc<dyn RunStep>,
    egress_allow: Vec<Network>,
) -> Result<Images, CliError> {
    let store = ImageStore::open(paths::Shared::under(&paths::home()).images)
        .map_err(|error| CliError::failure("open the image store", error))?;
    let pull = PullOptions { mirrors: mirrors.by_host(), ..PullOptions::default() };
    Ok(Images::new(store, pull, run, egress_allow, images_in_use))
}

/// Sandboxes for the commands of a Dockerfile, or of containers.
pub(super) async fn open_runtime(
    folder: &str,
    parked: usize,
    printer: &Printer,
) -> Result<Runtime, CliError> {
    let home = paths::home();
    let config = RuntimeConfig {
        dir: home.join(folder),
        cgroup: format!("berth/{}", folder.replace('/', "-")),
        parked,
        disks: vec![20_000],
        layers: vec![paths::Shared::under(&home).images],
    };
    sandboxes::open(config, printer).await
}

/// Runs a Dockerfile's commands in that runtime.
pub(super) fn run_step(runtime: &Runtime, allow: Vec<Network>) -> Arc<dyn RunStep> {
    let handle = tokio::runtime::Handle::current();
    Arc::new(SandboxRunStep { runtime: runtime.clone(), allow, handle })
}

/// Works where blocking is fine; Ctrl-C ends it. `show` gets its messages.
pub(super) async fn told<T: Send + 'static>(
    show: impl Fn(Value) + Send + Sync + 'static,
    work: impl FnOnce(&Messages) -> Result<T, agent::engine::EngineError> + Send + 'static,
) -> Result<T, CliError> {
    let stop = signals::stop_token()?;
    let cancel = CancellationToken::new();
    let messages = Messages::new(show, cancel.clone());
    let mut working = tokio::task::spawn_blocking(move || work(&messages));
    let done = tokio::select! {
        done = &mut working => done,
        () = stop.cancelled() => {
            cancel.cancel();
            let _ = working.await;
            return Err(CliError::interrupted());
        }
    };
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(super::failed(&error)),
        Err(error) => Err(CliError::failure("finish the work", error)),
    }
}

/// For commands that build nothing.
#[derive(Debug)]
pub(super) struct RunsNothing;

impl RunStep for RunsNothing {
    fn run(
        &self,
        _request: &RunRequest<'_>,
        _output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        Err("this command runs nothing".into())
    }
}
