//! Options of `berth containers`.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::deploy::{Builds, ContainersRollout, ProjectPlace};
use super::parse_time;
use super::platform_images::{ContainersBuildArgs, ContainersPushArgs, PlatformImagesArgs};
use super::registries::RegistriesArgs;

#[derive(Debug, Parser)]
pub(crate) struct ContainersArgs {
    #[command(subcommand)]
    pub(crate) command: ContainersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContainersCommand {
    /// List the container applications of a platform.
    #[command(visible_alias = "ls")]
    List {
        /// Show so many at once; Enter shows more.
        #[arg(long, value_name = "N")]
        per_page: Option<NonZeroU32>,
        /// Print all of them as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: ApplicationsPlace,
    },
    /// Say what a container application is.
    Info {
        /// Its id or its name.
        application: String,
        /// Print all that is known of it as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: ApplicationsPlace,
    },
    /// Delete a container application; its instances end.
    Delete {
        /// Its id or its name.
        application: String,
        /// Ask nothing.
        #[arg(short = 'y', long)]
        force: bool,
        #[command(flatten)]
        place: ApplicationsPlace,
    },
    /// Make the container applications what a project's configuration says, without its code.
    Apply(Box<ApplyArgs>),
    /// List the instances of a container application.
    Instances(InstancesArgs),
    /// Print what an instance has written to its standard output and standard error.
    Logs(LogsArgs),
    /// Stop instances; the next request of each one's object starts another.
    Stop {
        /// Their ids.
        #[arg(required = true, value_name = "INSTANCE")]
        instances: Vec<String>,
        /// Time between SIGTERM and SIGKILL [default: the platform's].
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        grace: Option<Duration>,
        #[command(flatten)]
        place: ApplicationsPlace,
    },
    /// Stop all instances of an application; the next request of each object starts a new one.
    Restart {
        /// The application's id or its name.
        application: String,
        /// Time between SIGTERM and SIGKILL [default: the platform's].
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        grace: Option<Duration>,
        #[command(flatten)]
        place: ApplicationsPlace,
    },
    /// Run a program in an instance, with its user, folder and variables.
    Exec(ExecArgs),
    /// Open a shell in an instance, or run a command there, by the system's `ssh`.
    Ssh(SshArgs),
    /// Copy files into an instance or out of one.
    Cp(CpArgs),
    /// Show what instances use, of what they may, or what runs in one.
    #[command(visible_alias = "stats")]
    Top(TopArgs),
    /// Print what has happened to instances.
    Events(EventsArgs),
    /// How new images come to the instances of an application.
    #[command(subcommand)]
    Rollouts(RolloutsCommand),
    /// Build an image from a Dockerfile, as `berth build` does, and push it.
    Build(Box<ContainersBuildArgs>),
    /// Push an image that is here to the platform's registry, and print its name there.
    Push(ContainersPushArgs),
    /// Images in the platform's registry.
    Images(PlatformImagesArgs),
    /// Registries that images are pulled from, and credentials for the platform's own.
    Registries(RegistriesArgs),
    /// Snapshots of containers and directories, of a project that runs here.
    #[command(subcommand)]
    Snapshots(SnapshotsCommand),
}

/// Options of `berth containers instances`.
#[derive(Debug, Parser)]
pub(crate) struct InstancesArgs {
    /// The application's id or its name.
    pub(crate) application: String,
    /// Show so many at once; Enter shows more.
    #[arg(long, value_name = "N")]
    pub(crate) per_page: Option<NonZeroU32>,
    /// Go on after the part before, whose JSON has this as `next_page_token`.
    #[arg(long, value_name = "TOKEN", requires = "json", conflicts_with = "search")]
    pub(crate) page_token: Option<String>,
    /// Show the one with this id, of an instance or of its Durable Object, or with this name.
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) search: Option<String>,
    /// Print them as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
}

/// Whose applications: those of the platform that the current folder's `.env` names.
#[derive(Debug, Parser)]
pub(crate) struct ApplicationsPlace {
    /// Environment whose `.env` file names the platform.
    #[arg(short, long, env = "CLOUDFLARE_ENV")]
    pub(crate) env: Option<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) place: ProjectPlace,
    /// Ask nothing.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Say what would be made or changed; nothing is built.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How running instances get a new image, and what else is new.
    #[arg(long, value_enum, default_value_t = ContainersRollout::Gradual)]
    pub(crate) containers_rollout: ContainersRollout,
    #[command(flatten)]
    pub(crate) builds: Builds,
}

#[derive(Debug, Parser)]
pub(crate) struct LogsArgs {
    /// The instance's id.
    pub(crate) instance: String,
    /// Go on with what it prints, until it ends.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print the time before each line.
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only so many last lines of what is there.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<usize>,
    /// Only what is not older, such as `10m`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) since: Option<Duration>,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
}

#[derive(Debug, Parser)]
pub(crate) struct ExecArgs {
    /// Hand standard input on to the program.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
    /// The instance's id.
    pub(crate) instance: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct SshArgs {
    /// Carry the bytes of SSH over standard input and output: for `ProxyCommand` of `ssh`.
    #[arg(long, conflicts_with_all = ["tty", "identity_file", "command"])]
    pub(crate) stdio: bool,
    /// Ask for a terminal although there is a command.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// The private key to show [default: those that `ssh` has].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) identity_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
    /// The instance's id.
    pub(crate) instance: String,
    /// A command for the instance's shell, and its arguments [default: a shell].
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct CpArgs {
    /// Copy what a symbolic link points to, not the link.
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
    /// What is copied: `INSTANCE:PATH`, a path here, or `-` for a tar archive on standard input.
    pub(crate) from: OsString,
    /// Where to: a path here, `-` for a tar archive on standard output, or `INSTANCE:PATH`.
    pub(crate) to: OsString,
}

#[derive(Debug, Parser)]
pub(crate) struct TopArgs {
    /// The id of an instance whose processes are shown [default: what all instances use].
    pub(crate) instance: Option<String>,
    /// Print it as JSON, once.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
}

#[derive(Debug, Parser)]
pub(crate) struct EventsArgs {
    /// Those of this application alone, by its id or its name.
    pub(crate) application: Option<String>,
    /// Go on with what happens.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print each as JSON, on a line of its own.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutsCommand {
    /// List them, the newest first.
    #[command(visible_alias = "ls")]
    List {
        /// The application's id or its name.
        application: String,
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: ApplicationsPlace,
    },
    /// Say how far one is.
    Status {
        #[command(flatten)]
        which: RolloutArgs,
        /// Print all that is known of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Begin its next step.
    Next(RolloutArgs),
    /// Undo its last step.
    Previous(RolloutArgs),
    /// Undo all of its steps.
    Revert(RolloutArgs),
}

/// Which rollout is meant.
#[derive(Debug, Parser)]
pub(crate) struct RolloutArgs {
    /// The application's id or its name.
    pub(crate) application: String,
    /// The rollout's id [default: the newest].
    pub(crate) rollout: Option<String>,
    #[command(flatten)]
    pub(crate) place: ApplicationsPlace,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotsCommand {
    /// List them, newest first.
    List {
        #[command(flatten)]
        place: SnapshotsPlace,
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print all that is known of one, as JSON.
    Inspect {
        /// Its id, or the beginning of it.
        id: String,
        #[command(flatten)]
        place: SnapshotsPlace,
    },
    /// Remove some.
    Rm {
        /// Their ids, or the beginnings of them.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        place: SnapshotsPlace,
    },
    /// Remove those that nobody has restored for 30 days.
    Prune {
        /// Remove every one.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: SnapshotsPlace,
        /// Print what was removed as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Whose snapshots.
#[derive(Debug, Parser)]
pub(crate) struct SnapshotsPlace {
    /// The project's folder, or its Wrangler configuration file.
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(crate) project: PathBuf,
    /// Where `berth dev --persist-to` keeps its Durable Objects.
    #[arg(long, value_name = "DIR")]
    pub(crate) persist_to: Option<PathBuf>,
}
