//! The command line of `berth docker`: Docker's names and letters.

mod containers;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::args::Mirrors;
pub(crate) use containers::{
    ContainerCommand, ExecArgs, LogsArgs, PsArgs, RunArgs, RunOptions, StartArgs, StopArgs,
};

/// A Docker-compatible command for images and containers, without Docker.
#[derive(Debug, Parser)]
#[command(name = "berth-docker", version, disable_help_subcommand = true)]
pub(crate) struct DockerArgs {
    /// The engine's socket, as `unix://PATH` [default: DOCKER_HOST, or that of `berth docker serve`].
    #[arg(short = 'H', long, global = false)]
    pub(crate) host: Option<String>,
    #[command(subcommand)]
    pub(crate) command: DockerCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DockerCommand {
    /// Serve the Docker Engine API, for the `docker` command and for `wrangler dev`.
    Serve(ServeArgs),
    /// Say what the engine and this machine are.
    Info(FormatArgs),
    /// Show versions.
    Version(FormatArgs),
    /// Build, under its newer name.
    #[command(subcommand)]
    Buildx(BuildxCommand),
    /// Images.
    #[command(subcommand)]
    Image(ImageCommand),
    /// List images.
    Images(ListArgs),
    /// Remove images.
    Rmi(RemoveArgs),
    #[command(flatten)]
    OfImage(OfImage),
    /// Keep credentials for a registry.
    Login(LoginArgs),
    /// Forget them.
    Logout(LogoutArgs),
    /// Manifests in registries.
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Engines that can be asked.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Show all that is known of containers or images, as JSON.
    Inspect(InspectArgs),
    /// Create a container and start it.
    Run(Box<RunArgs>),
    /// Create a container.
    Create(Box<RunArgs>),
    /// Containers.
    #[command(subcommand)]
    Container(ContainerCommand),
    #[command(flatten)]
    Containers(ContainerCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen [default: docker.sock in BERTH_HOME].
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
    /// A network that containers may reach although it is private; may be given again.
    #[arg(long = "egress-allow", value_name = "NETWORK")]
    pub(crate) egress_allow: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// A Go template, or `json`.
    #[arg(short, long)]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BuildxCommand {
    /// Build an image from a Dockerfile.
    Build(Box<BuildArgs>),
    /// Show the version.
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Show all that is known of images, as JSON.
    Inspect(InspectArgs),
    /// List them.
    #[command(alias = "list")]
    Ls(ListArgs),
    /// Remove some.
    #[command(alias = "remove")]
    Rm(RemoveArgs),
    /// Remove those without a name.
    Prune(PruneArgs),
    #[command(flatten)]
    OfImage(OfImage),
}

/// Commands that stand below `image` and beside it.
#[derive(Debug, Subcommand)]
pub(crate) enum OfImage {
    /// Build an image from a Dockerfile.
    Build(Box<BuildArgs>),
    /// Show what an image was made by.
    History(HistoryArgs),
    /// Give an image another name.
    Tag(TagArgs),
    /// Push an image to its registry.
    Push(PushArgs),
    /// Pull an image from its registry.
    Pull(PullArgs),
    /// Write images into a tar archive.
    Save(SaveArgs),
    /// Read images from a tar archive.
    Load(LoadArgs),
    /// Make an image of a root file system's tar archive.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// The build context, a folder.
    pub(crate) context: PathBuf,
    /// The Dockerfile; `-` is standard input.
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// A name for the image; may be given again.
    #[arg(short, long)]
    pub(crate) tag: Vec<String>,
    /// NAME=value, or NAME for the value it has here; may be given again.
    #[arg(long = "build-arg")]
    pub(crate) build_args: Vec<String>,
    /// KEY=value; may be given again.
    #[arg(long = "label")]
    pub(crate) labels: Vec<String>,
    /// The stage to build.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// The platform to build for.
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// `none` for `RUN` steps without a network.
    #[arg(long)]
    pub(crate) network: Option<String>,
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Ask registries for base images although they are here.
    #[arg(long)]
    pub(crate) pull: bool,
    /// Print the image's id alone.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// A file to write the image's id to.
    #[arg(long)]
    pub(crate) iidfile: Option<PathBuf>,
    /// Push the image once it is built.
    #[arg(long)]
    pub(crate) push: bool,
    /// Keep the image here, as always.
    #[arg(long)]
    pub(crate) load: bool,
    /// Accepted and without effect: no attestations are made.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) provenance: Option<String>,
    /// Accepted and without effect: no attestations are made.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) sbom: Option<String>,
    /// How progress is shown; lines are plain in any case.
    #[arg(long)]
    pub(crate) progress: Option<String>,
    /// Accepted and without effect: nothing stays of a step.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) rm: Option<String>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[arg(short, long)]
    pub(crate) format: Option<String>,
    /// `image` or `container`.
    #[arg(long = "type")]
    pub(crate) kind: Option<String>,
    /// Accepted: sizes are always shown where they are known.
    #[arg(short, long)]
    pub(crate) size: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// A name, which may have `*`.
    pub(crate) reference: Option<String>,
    #[arg(short, long)]
    pub(crate) all: bool,
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[arg(long)]
    pub(crate) no_trunc: bool,
    #[arg(long)]
    pub(crate) digests: bool,
    #[arg(short, long)]
    pub(crate) filter: Vec<String>,
    #[arg(long)]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Accepted: an image has no parents here.
    #[arg(long)]
    pub(crate) no_prune: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Those that have a name too.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Accepted: nobody is asked.
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    pub(crate) name: String,
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[arg(long)]
    pub(crate) no_trunc: bool,
    #[arg(long)]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    pub(crate) source: String,
    pub(crate) target: String,
}

#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    pub(crate) name: String,
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    pub(crate) name: String,
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[arg(long)]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
}

#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// The file to write [default: standard output].
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The file to read [default: standard input].
    #[arg(short, long)]
    pub(crate) input: Option<PathBuf>,
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The archive; `-` is standard input.
    pub(crate) file: PathBuf,
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The registry's host [default: Docker Hub].
    pub(crate) server: Option<String>,
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// The password; who lists processes can read it.
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub(crate) password: Option<String>,
    /// Read the password from standard input.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The registry's host [default: Docker Hub].
    pub(crate) server: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Show the manifest that a registry has.
    Inspect(ManifestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ManifestArgs {
    pub(crate) name: String,
    /// With its descriptor.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Accepted: plain HTTP is used on loopback alone.
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List them.
    #[command(alias = "list")]
    Ls(ContextArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    #[arg(long)]
    pub(crate) format: Option<String>,
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        DockerArgs::command().debug_assert();
    }

    #[test]
    fn what_wrangler_calls_is_understood() {
        for line in [
            "info",
            "--host unix:///x.sock info --format {{.SecurityOptions}}",
            "build --load -t a:b --platform linux/amd64 --provenance=false --build-arg A=B -f - .",
            "image inspect a:b --format {{.Os}}",
            "login --password-stdin --username v1 localhost:5000",
            "manifest inspect -v a/b@sha256:1",
            "pull a --platform linux/amd64",
            "context ls --format json",
            "ps -a --filter ancestor=a --format {{.ID}}",
            "rm --force a",
            "buildx build --network host .",
        ] {
            let words = line.split(' ');
            DockerArgs::try_parse_from(std::iter::once("berth-docker").chain(words)).unwrap();
        }
    }

    #[test]
    fn what_follows_the_image_is_the_containers() {
        let words = ["berth-docker", "run", "--rm", "-p", "80:80", "img", "sh", "-c", "ls --rm"];
        let args = DockerArgs::try_parse_from(words).unwrap();
        let DockerCommand::Run(run) = args.command else { panic!("run") };
        assert_eq!((run.image.as_str(), run.command.len()), ("img", 3));
        assert!(run.options.rm && run.options.publish == ["80:80"]);
    }
}
