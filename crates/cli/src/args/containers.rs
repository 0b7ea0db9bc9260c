//! Options of `berth containers`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
        /// Print them as JSON.
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
    /// Snapshots of containers and directories, of a project that runs here.
    #[command(subcommand)]
    Snapshots(SnapshotsCommand),
}

/// Whose applications: those of the platform that the current folder's `.env` names.
#[derive(Debug, Parser)]
pub(crate) struct ApplicationsPlace {
    /// Environment whose `.env` file names the platform.
    #[arg(short, long, env = "CLOUDFLARE_ENV")]
    pub(crate) env: Option<String>,
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
