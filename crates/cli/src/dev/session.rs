//! One run of `berth dev`: everything that is open, and what can be asked of it.
//!
//! Opened in [`Session::start`] in the order of a request, backwards; closed in the other order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::project::config::{Config, Purpose};
use edge::{BindError, Edge, Serving, Site};
use fs_err as fs;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use workers::toolchain::{self, Toolchain};
use workers::{DeployError, Event, WorkerProcess};

use super::containers::Containers;
use super::lock::Lock;
use super::project::DEVELOPMENT;
use super::watch::Watch;
use super::worker::Engine;
use super::{lines, packages, project, scheduled, worker};
use crate::args::{DevArgs, LogLevel};
use crate::commands::doctor::{self, Needs};
use crate::error::{CliError, Kind};
use crate::ingress;
use crate::paths;
use crate::printer::{Printer, style, styled};

/// How long the edge keeps a request while no Worker serves.
const HOLD: Duration = Duration::from_secs(30);

/// A project that runs.
pub(crate) struct Session {
    args: DevArgs,
    printer: Printer,
    paths: paths::Session,
    config: Config,
    toolchain: Toolchain,
    containers: Option<Containers>,
    worker: WorkerProcess,
    edge: Serving,
    site: Site,
    url: String,
    // Dropped last, in this order: the folder of what ran, then the right to use it.
    scratch: Scratch,
    _lock: Lock,
}

impl Session {
    /// Starts everything; `stop` ends it early.
    pub(crate) async fn start(
        args: DevArgs,
        printer: &Printer,
        stop: &CancellationToken,
    ) -> Result<(Self, Watch), CliError> {
        let config = project::load(Purpose::Dev, &args.project, args.env.as_deref(), printer)?;
        let applications = project::applications(&config, &args);
        doctor::require(match applications.as_slice() {
            [] => Needs::Worker,
            _ => Needs::WorkerAndContainers,
        })?;
        let (paths, mut lock) = lock(&args, &config)?;
        let scratch = Scratch::make(&paths.scratch, printer)?;
        let (ip, port) = project::address(&config, &args)?;
        let edge = Edge::bind(ip, port).await.map_err(bind_failed)?;
        let url = url(&edge)?;
        lock.says(&format!("process {} at {url}", std::process::id()))?;

        let prepare = async {
            packages::install(&config.root, printer).await?;
            let toolchain =
                install_toolchain(printer, &paths::Shared::under(&paths::home())).await?;
            let bundle = project::build(&config, &toolchain.esbuild, DEVELOPMENT, printer).await?;
            Ok((toolchain, bundle))
        };
        let prepared = stop.run_until_cancelled(prepare).await;
        let (toolchain, bundle) = prepared.ok_or_else(CliError::interrupted)??;
        let watch = watch(&config, &bundle.inputs)?;

        let options = workers::Options {
            workerd: toolchain.workerd.clone(),
            run_dir: paths.worker.clone(),
            cron_runs: None,
            grace: worker::GRACE,
        };
        let (worker, events) = WorkerProcess::new(options)
            .map_err(|error| CliError::failure("make the Worker's folder", error))?;
        print_events(events, args.log_level, printer.clone());
        let containers = if applications.is_empty() {
            None
        } else {
            Some(Containers::start(&config, applications, &args, &paths, printer, stop).await?)
        };
        let (edge, site) = edge.serve(edge_config(&worker, printer));
        let session = Self {
            args,
            printer: printer.clone(),
            paths,
            config,
            toolchain,
            containers,
            worker,
            edge,
            site,
            url,
            scratch,
            _lock: lock,
        };
        if let Err(error) = session.deploy(bundle).await {
            session.close().await;
            return Err(error);
        }
        Ok((session, watch))
    }

    /// Where the project is served.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Puts new code in the place of what runs; instances go on.
    async fn deploy(&self, bundle: ::project::Bundle) -> Result<(), CliError> {
        if let Some(warning) = worker::date_warning(&self.config) {
            self.printer.warning(warning);
        }
        let engine = match &self.containers {
            // A socket of its own for each process: the agent knows the old one's calls from the new
            // one's.
            Some(containers) => {
                Engine::Agent(containers.next_engine(self.worker.upstream()).await?)
            }
            None if project::runs_containers(&self.config, &self.args) => {
                Engine::external(&self.config).unwrap_or(Engine::None)
            }
            None => Engine::None,
        };
        let objects = self.paths.objects.clone();
        let spec = worker::spec(&self.config, bundle, &self.args, objects, engine);
        let deployed = self.worker.deploy(spec, self.site.drained()).await;
        if let Some(containers) = &self.containers {
            containers.deployed(deployed.is_ok()).await;
        }
        deployed.map_err(|error| {
            let not_started = matches!(error, DeployError::NotStarted(_));
            let error = CliError::attempt(Kind::Build, "start the Worker", error);
            if not_started { error.hint("the lines above may say more") } else { error }
        })
    }

    /// Takes up changed files: configuration, custom build, code.
    pub(crate) async fn reload(
        &mut self,
        changed: &BTreeSet<PathBuf>,
        watch: &mut Watch,
    ) -> Result<(), CliError> {
        let configured = self.config.inputs.iter().any(|input| changed.contains(input));
        if configured {
            let config = {
                let args = &self.args;
                project::load(Purpose::Dev, &args.project, args.env.as_deref(), &self.printer)?
            };
            if config.containers != self.config.containers {
                self.printer.warning(
                    "`containers` changed: this takes effect when `berth dev` starts again",
                );
            }
            self.config = config;
        }
        let bundle =
            project::build(&self.config, &self.toolchain.esbuild, DEVELOPMENT, &self.printer)
                .await?;
        let (files, trees) = project::watched(&self.config, &bundle.inputs);
        watch.set(files, trees);
        self.deploy(bundle).await?;
        self.printer.info(styled(style::SUCCESS, "Reloaded the Worker"));
        Ok(())
    }

    /// Rebuilds the images and restarts the instances.
    pub(crate) async fn rebuild(&self, stop: &CancellationToken) -> Result<(), CliError> {
        let Some(containers) = &self.containers else {
            self.printer.warning("this project runs no containers");
            return Ok(());
        };
        let build = project::run_build_command(&self.config, &self.printer);
        stop.run_until_cancelled(build).await.ok_or_else(CliError::interrupted)??;
        containers.rebuild(stop).await?;
        self.printer.info(styled(style::SUCCESS, "Rebuilt the images and restarted the instances"));
        Ok(())
    }

    /// Stops everything and removes every leftover; images and Durable Object storage stay. With
    /// `--keep-instances` so do the instances.
    pub(crate) async fn close(mut self) {
        self.edge.shutdown(Duration::from_secs(1)).await;
        if let Some(containers) = &self.containers {
            containers.stop_serving().await;
        }
        self.worker.stop().await;
        if let Some(containers) = self.containers {
            for line in containers.timings().iter().flat_map(|table| table.lines()) {
                self.printer.data(line);
            }
            if self.args.keep_instances {
                self.scratch.keep = true;
                containers.leave().await;
            } else {
                containers.close().await;
            }
        }
    }
}

/// Makes the project's state folder and takes its lock.
fn lock(args: &DevArgs, config: &Config) -> Result<(paths::Session, Lock), CliError> {
    let state = args.persist_to.clone().unwrap_or_else(|| config.root.join(".berth"));
    let failed = |error| CliError::failure("make the project's state folder", error);
    fs::create_dir_all(&state).map_err(failed)?;
    let state = fs::canonicalize(state).map_err(failed)?;
    let paths = paths::Session::of(&state, &paths::home());
    let lock = Lock::take(&paths.lock)?;
    Ok((paths, lock))
}

fn url(edge: &Edge) -> Result<String, CliError> {
    let address =
        edge.local_addr().map_err(|error| CliError::failure("ask for the bound address", error))?;
    let host = if address.ip().is_loopback() || address.ip().is_unspecified() {
        "localhost".to_owned()
    } else {
        address.ip().to_string()
    };
    Ok(format!("http://{host}:{}", address.port()))
}

fn bind_failed(error: BindError) -> CliError {
    let in_use = matches!(error, BindError::PortInUse { .. });
    let kind = if in_use { Kind::Held } else { Kind::Failure };
    let error = CliError::new(kind, crate::error::chain(&error).join(": "));
    if in_use {
        error.hint("take another one with `--port`, or a free one with `--port 0`")
    } else {
        error
    }
}

/// Installs what is missing of workerd and esbuild.
pub(crate) async fn install_toolchain(
    printer: &Printer,
    shared: &paths::Shared,
) -> Result<Toolchain, CliError> {
    let from_environment = |name| std::env::var_os(name).map(PathBuf::from);
    let options = toolchain::Options {
        cache_dir: shared.toolchain.clone(),
        workerd: from_environment("BERTH_WORKERD"),
        esbuild: from_environment("BERTH_ESBUILD"),
        npm: PathBuf::from("npm"),
    };
    let say = |line: &str| printer.info(line);
    toolchain::ensure(&options, &say).await.map_err(|error| {
        let hint = error.hint();
        let error = CliError::attempt(Kind::Host, "install workerd and esbuild", error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

fn watch(config: &Config, inputs: &[PathBuf]) -> Result<Watch, CliError> {
    let mut watch = Watch::new().map_err(|error| CliError::failure("watch files", error))?;
    let (files, trees) = project::watched(config, inputs);
    watch.set(files, trees);
    Ok(watch)
}

fn edge_config(worker: &WorkerProcess, printer: &Printer) -> edge::Config {
    let printer = printer.clone();
    edge::Config {
        upstream: worker.upstream(),
        hold: HOLD,
        headers: ingress::headers(),
        concurrency: None,
        intercept: Some(scheduled::intercept(worker.clone())),
        observe: Some(Arc::new(move |event| lines::request(&printer, None, &event))),
    }
}

/// Prints what happens in the Worker for as long as it has a host.
fn print_events(mut events: mpsc::Receiver<Event>, level: LogLevel, printer: Printer) {
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            lines::worker_event(&printer, None, level, &event);
        }
    });
}

/// The folder of everything that does not outlive the session. A killed session leaves it, with the
/// records by which the next one finds what still runs.
struct Scratch {
    dir: PathBuf,
    /// Whether it outlives the session after all.
    keep: bool,
    printer: Printer,
}

impl Scratch {
    fn make(dir: &Path, printer: &Printer) -> Result<Self, CliError> {
        fs::create_dir_all(dir)
            .map_err(|error| CliError::failure("make the session's folder", error))?;
        Ok(Self { dir: dir.to_owned(), keep: false, printer: printer.clone() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            self.printer.warning(format_args!("something stays behind: {error}"));
        }
    }
}
