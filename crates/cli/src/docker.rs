//! `berth docker`, also as `berth-docker`: what scripts, CI and Wrangler ask of a `docker` command.
//!
//! Commands about images work on the store in `BERTH_HOME`, without any daemon. Commands about
//! containers are calls of the Engine API, answered by `berth docker serve`, whose socket the real
//! `docker` command and `wrangler dev` can use as well.

pub(crate) mod args;
mod build;
mod client;
mod config;
mod containers;
mod images;
mod manifest;
pub(crate) mod name;
mod output;
mod run;
mod serve;
mod session;
mod system;
pub(crate) mod terminal;

use std::path::PathBuf;

use args::{DockerArgs, DockerCommand, ImageCommand, OfImage};

use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;

/// How a command ended: its exit code, where a program's own is handed on.
pub(crate) type Ended = Result<u8, CliError>;

/// The socket that is served, and asked, unless another is named.
pub(crate) fn default_socket() -> PathBuf {
    paths::home().join("docker.sock")
}

pub(crate) async fn run(args: DockerArgs, printer: &Printer) -> Ended {
    let host = args.host.as_deref();
    match args.command {
        DockerCommand::Serve(args) => serve::run(&args, printer).await.map(|()| 0),
        DockerCommand::Info(args) => system::info(host, &args, printer).await,
        DockerCommand::Version(args) => system::version(host, &args, printer).await,
        DockerCommand::Buildx(args::BuildxCommand::Build(args)) => build::run(*args, printer).await,
        DockerCommand::Buildx(args::BuildxCommand::Version) => {
            printer.data(format_args!("berth-docker buildx {}", env!("CARGO_PKG_VERSION")));
            Ok(0)
        }
        DockerCommand::Image(command) => image(command, printer).await,
        DockerCommand::Images(args) => images::list(&args, printer),
        DockerCommand::Rmi(args) => images::remove(&args, printer),
        DockerCommand::OfImage(command) => of_image(command, printer).await,
        DockerCommand::Login(args) => config::login(&args, printer),
        DockerCommand::Logout(args) => config::logout(&args, printer),
        DockerCommand::Manifest(args::ManifestCommand::Inspect(args)) => {
            manifest::inspect(args, printer).await
        }
        DockerCommand::Context(args::ContextCommand::Ls(args)) => {
            system::contexts(host, &args, printer)
        }
        DockerCommand::Inspect(args) => containers::inspect(host, &args, printer).await,
        DockerCommand::Run(args) => run::run(host, *args, printer).await,
        DockerCommand::Create(args) => run::create(host, *args, printer).await,
        DockerCommand::Container(command) => containers::run(host, command, printer).await,
        DockerCommand::Containers(command) => containers::run(host, command, printer).await,
    }
}

async fn image(command: ImageCommand, printer: &Printer) -> Ended {
    match command {
        ImageCommand::Inspect(args) => images::inspect(&args, printer),
        ImageCommand::Ls(args) => images::list(&args, printer),
        ImageCommand::Rm(args) => images::remove(&args, printer),
        ImageCommand::Prune(args) => images::prune(&args, printer),
        ImageCommand::OfImage(command) => of_image(command, printer).await,
    }
}

async fn of_image(command: OfImage, printer: &Printer) -> Ended {
    match command {
        OfImage::Build(args) => build::run(*args, printer).await,
        OfImage::History(args) => images::history(&args, printer),
        OfImage::Tag(args) => images::tag(&args),
        OfImage::Push(args) => images::push(args, printer).await,
        OfImage::Pull(args) => images::pull(args, printer).await,
        OfImage::Save(args) => images::save(args, printer).await,
        OfImage::Load(args) => images::load(args, printer).await,
        OfImage::Import(args) => images::import(args, printer).await,
    }
}

/// An engine's error as this command's.
fn failed(error: &agent::engine::EngineError) -> CliError {
    let said = CliError::new(Kind::Failure, error.to_string());
    match error.hint() {
        Some(hint) => said.hint(hint),
        None => said,
    }
}
