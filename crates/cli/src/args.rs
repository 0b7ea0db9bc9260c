//! The command line as clap sees it: options only, no decisions.

mod account;
mod build;
mod containers;
mod deploy;
#[cfg(test)]
mod documented;
mod edge;
mod images;
mod mirrors;
mod platform_images;
mod registries;
mod registry;
mod secrets_store;
mod serve;
mod tail;
mod tls;
mod worker;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use self::edge::EdgeArgs;
use crate::docker::args::DockerArgs;
pub(crate) use account::{DeleteArgs, EnvArgs, LoginArgs, WhoamiArgs};
pub(crate) use build::{BuildArgs, CacheTo, ImageBuilder, Network, ProgressKind, SecretFrom};
pub(crate) use containers::{
    ApplicationsPlace, ApplyArgs, ContainersArgs, ContainersCommand, CpArgs, EventsArgs, ExecArgs,
    InstancesArgs, LogsArgs, RolloutArgs, RolloutsCommand, SnapshotsCommand, SnapshotsPlace,
    SshArgs, TopArgs,
};
pub(crate) use deploy::{
    Builds, ContainersRollout, DeployArgs, Notes, ProjectPlace, UploadArgs, VersionOptions,
};
pub(crate) use images::{
    DfArgs, ExportArgs, ExportFormat, Filter, HistoryArgs, ImagesCommand, ImportArgs, InspectArgs,
    LsArgs, PruneArgs, PullArgs, PushArgs, RmArgs, TagArgs,
};
pub(crate) use mirrors::Mirrors;
pub(crate) use platform_images::{
    ContainersBuildArgs, ContainersPushArgs, PlatformImagesArgs, PlatformImagesCommand,
};
pub(crate) use registries::{
    ConfigureRegistryArgs, RegistriesArgs, RegistriesCommand, RegistryCredentialsArgs,
};
pub(crate) use registry::{
    CredentialsArgs, RegistryArgs, RegistryCommand, RegistryPlace, ServeArgs,
};
pub(crate) use secrets_store::{
    CreateSecretArgs, DuplicateSecretArgs, NewSecret, SecretsStoreArgs, SecretsStoreCommand,
    StoreCommand, StoredSecretCommand, UpdateSecretArgs, WhichSecret,
};

pub(crate) use serve::{
    BackupArgs, PlatformArgs, RestoreArgs, RotateKeyArgs, TokenArgs, TokenCommand,
};
pub(crate) use tail::{TailArgs, TailFormat, TailStatus};
pub(crate) use tls::{Tls, follow, listener_tls};
pub(crate) use worker::{
    DeployVersionsArgs, DeploymentsArgs, DeploymentsCommand, RollbackArgs, SecretArgs,
    SecretCommand, VersionSecretCommand, VersionsArgs, VersionsCommand, WorkerPlace,
};

/// Serverless containers that you own: Cloudflare Containers on any Linux machine.
#[derive(Debug, Parser)]
#[command(name = "berth", version, about, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Print errors and results only.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  all went well
    1  something failed
    2  the command line is wrong, or its settings do not go together
    3  a configuration file is wrong, or a file that it names
    4  the Worker or an image could not be built
    5  this machine lacks something (see `berth doctor`)
    6  a port or a lock is held by someone else
  130  interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a project here: Worker, Durable Objects and containers, with hot reload.
    Dev(DevArgs),
    /// Deploy a project to a platform: Worker, static files and containers.
    Deploy(Box<DeployArgs>),
    /// Delete a Worker with its objects' storage, and its containers.
    Delete(DeleteArgs),
    /// What a deployed Worker finds in its `env` and nobody can read back.
    Secret(SecretArgs),
    /// Secrets of an account, which Workers and registries refer to by name.
    SecretsStore(SecretsStoreArgs),
    /// Versions of a deployed Worker.
    Versions(VersionsArgs),
    /// Which versions of a Worker have served.
    Deployments(DeploymentsArgs),
    /// Let an earlier version of a Worker serve again.
    Rollback(RollbackArgs),
    /// Show what happens in a deployed Worker, while it happens.
    Tail(TailArgs),
    /// Log in to a platform, in place of lines in each project's `.env`.
    Login(LoginArgs),
    /// Say which platform is asked, and as whom.
    Whoami(WhoamiArgs),
    /// Print a platform's lines for a project's `.env`.
    Env(EnvArgs),
    /// Run the platform here: what is deployed to it, by wrangler or anybody else.
    Serve(Box<PlatformArgs>),
    /// Who may use the API of this machine's platform.
    Token(TokenArgs),
    /// Save what this machine's platform has in one file; it may run meanwhile.
    Backup(BackupArgs),
    /// Make a platform of what `berth backup` saved.
    Restore(RestoreArgs),
    /// Encrypt the secrets of this machine's platform with a new key; it must not run.
    RotateKey(RotateKeyArgs),
    /// Build an image from a Dockerfile.
    Build(Box<BuildArgs>),
    /// Say what this machine lacks to run Berth, and what to do about it.
    Doctor(DoctorArgs),
    /// Write an example as a new project.
    Init(InitArgs),
    /// Container applications of a platform, and what containers keep.
    Containers(ContainersArgs),
    /// Images on this machine.
    #[command(subcommand, visible_alias = "image")]
    Images(ImagesCommand),
    /// Images for other machines, and from them.
    Registry(RegistryArgs),
    /// A Docker-compatible command and engine, without Docker; also as `berth-docker`.
    Docker(DockerArgs),
    /// Print a script by which a shell completes this command line.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual's pages.
    #[command(hide = true)]
    Man {
        /// The folder to write them to.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

/// How much of the Worker's own logging is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LogLevel {
    None,
    Error,
    Warn,
    Info,
    Log,
    Debug,
}

#[derive(Debug, Parser)]
pub(crate) struct DevArgs {
    /// The project's folder, or its Wrangler configuration file.
    #[arg(default_value = ".")]
    pub(crate) project: PathBuf,
    /// Port to listen on; 0 takes a free one [default: `dev.port` of the configuration, or 8787].
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Address to listen on [default: `dev.ip` of the configuration, or localhost].
    #[arg(long)]
    pub(crate) ip: Option<IpAddr>,
    /// Environment of the configuration to use.
    #[arg(short, long, env = "CLOUDFLARE_ENV")]
    pub(crate) env: Option<String>,
    /// A variable for the Worker, over what the configuration says; may be given again.
    #[arg(long = "var", value_name = "KEY:VALUE", value_parser = parse_var)]
    pub(crate) vars: Vec<(String, String)>,
    /// Whether containers are built and started.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) enable_containers: Option<bool>,
    /// How much of the Worker's logging is shown.
    #[arg(long, value_enum, default_value_t = LogLevel::Log)]
    pub(crate) log_level: LogLevel,
    /// Where Durable Object storage is kept [default: `.berth` in the project].
    #[arg(long, value_name = "DIR")]
    pub(crate) persist_to: Option<PathBuf>,
    /// Leave the instances running when this ends; the next `berth dev` takes them up.
    #[arg(long)]
    pub(crate) keep_instances: bool,
    /// Time between SIGTERM and SIGKILL when an instance stops, such as `30s` [default:
    /// `berth.stop_grace` of the configuration, or 15 minutes].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) stop_grace: Option<Duration>,
    /// Tell of each cold start where its time went, and of all at the end.
    #[arg(long)]
    pub(crate) timings: bool,
    /// A build argument for every Dockerfile, over `image_vars`; may be given again.
    #[arg(long = "build-arg", value_name = "KEY=VALUE", value_parser = parse_build_arg)]
    pub(crate) build_args: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
}

#[derive(Debug, Parser)]
pub(crate) struct DoctorArgs {
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct InitArgs {
    /// Folder to write; it must not exist or be empty [default: the template's name].
    pub(crate) dir: Option<PathBuf>,
    /// Which example to write; `berth init --list` names them.
    #[arg(short, long, default_value = "hello")]
    pub(crate) template: String,
    /// List the templates.
    #[arg(long)]
    pub(crate) list: bool,
    /// With `--list`: print as JSON.
    #[arg(long, requires = "list")]
    pub(crate) json: bool,
}

fn parse_var(text: &str) -> Result<(String, String), String> {
    split(text, ':', "KEY:VALUE")
}

pub(crate) fn parse_build_arg(text: &str) -> Result<(String, String), String> {
    split(text, '=', "KEY=VALUE")
}

fn parse_time(text: &str) -> Result<Duration, String> {
    ::project::config::parse_duration(text).ok_or_else(|| {
        format!("`{text}` is no duration such as `500ms`, `5s`, `2m`, `1h` or `90d`")
    })
}

fn split(text: &str, at: char, form: &str) -> Result<(String, String), String> {
    match text.split_once(at) {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not of the form {form}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_var_keeps_colons_in_its_value() {
        assert_eq!(parse_var("A:b:c"), Ok(("A".into(), "b:c".into())));
        assert!(parse_var(":b").is_err() && parse_var("ab").is_err());
    }

    #[test]
    fn a_stop_grace_has_a_unit() {
        assert_eq!(parse_time("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(parse_time("5").is_err() && parse_time("soon").is_err());
    }

    #[test]
    fn containers_can_be_turned_off() {
        let args = Args::parse_from(["berth", "dev", "--enable-containers=false", "x"]);
        let Command::Dev(dev) = args.command else { panic!("dev") };
        assert_eq!(dev.enable_containers, Some(false));
        assert_eq!(dev.project, PathBuf::from("x"));
    }
}
