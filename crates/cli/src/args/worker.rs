//! Options of the commands about a Worker that is deployed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::deploy::{Notes, UploadArgs};

/// Which Worker is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WorkerPlace {
    /// The Wrangler configuration file [default: that of the current folder].
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Environment of the configuration to use.
    #[arg(short, long, env = "CLOUDFLARE_ENV", global = true)]
    pub(crate) env: Option<String>,
    /// The Worker's name [default: the project's].
    #[arg(long, global = true)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    pub(crate) place: WorkerPlace,
    #[command(subcommand)]
    pub(crate) command: SecretCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Set a secret: its text is asked for, or read from standard input.
    Put {
        /// Its name in the Worker's `env`.
        key: String,
    },
    /// List the names of the secrets.
    #[command(visible_alias = "ls")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete a secret.
    Delete {
        /// Its name.
        key: String,
        /// Ask nothing.
        #[arg(short = 'y', long)]
        force: bool,
    },
    /// Set several secrets at once: a JSON object of their texts, of which `null` deletes one, or lines
    /// as of a `.env` file.
    Bulk {
        /// The file [default: standard input].
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Parser)]
pub(crate) struct VersionsArgs {
    #[command(flatten)]
    pub(crate) place: WorkerPlace,
    #[command(subcommand)]
    pub(crate) command: VersionsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VersionsCommand {
    /// Upload a version that does not serve yet; containers stay as they are.
    Upload(Box<UploadArgs>),
    /// List them, the newest first.
    #[command(visible_alias = "ls")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one.
    View {
        /// The version's id.
        version: String,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let one version serve, or two, each its share of the requests.
    Deploy {
        /// A version's id, and its share in percent; what is left out is what the other one leaves.
        #[arg(value_name = "VERSION[@PERCENT]", required = true, value_parser = parse_share)]
        shares: Vec<(String, Option<f64>)>,
        /// What to say about it.
        #[arg(short, long, value_name = "TEXT")]
        message: Option<String>,
        /// Ask nothing.
        #[arg(short, long, visible_alias = "force")]
        yes: bool,
    },
    /// Secrets of a version like the newest one, which does not serve yet.
    #[command(subcommand)]
    Secret(VersionSecretCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum VersionSecretCommand {
    /// Make a version with a secret: its text is asked for, or read from standard input.
    Put {
        /// Its name in the Worker's `env`.
        key: String,
        #[command(flatten)]
        notes: Notes,
    },
    /// List the names of the newest version's secrets.
    #[command(visible_alias = "ls")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a version without a secret.
    Delete {
        /// Its name.
        key: String,
        /// Ask nothing.
        #[arg(short = 'y', long)]
        force: bool,
        #[command(flatten)]
        notes: Notes,
    },
    /// Make a version with several secrets, read as of `berth secret bulk`.
    Bulk {
        /// The file [default: standard input].
        file: Option<PathBuf>,
        #[command(flatten)]
        notes: Notes,
    },
}

/// `ID` or `ID@PERCENT`, with a percent sign or without.
fn parse_share(text: &str) -> Result<(String, Option<f64>), String> {
    let Some((version, percent)) = text.split_once('@') else { return Ok((text.to_owned(), None)) };
    let number = percent.trim_end_matches('%').parse::<f64>().ok();
    match number.filter(|number| (0.0..=100.0).contains(number)) {
        Some(number) => Ok((version.to_owned(), Some(number))),
        None => Err(format!("\"{percent}\" is no number from 0 to 100")),
    }
}

#[derive(Debug, Parser)]
pub(crate) struct DeploymentsArgs {
    #[command(flatten)]
    pub(crate) place: WorkerPlace,
    #[command(subcommand)]
    pub(crate) command: DeploymentsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    /// List them, the newest first.
    #[command(visible_alias = "ls")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show which versions serve.
    Status {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Parser)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) place: WorkerPlace,
    /// The version's id [default: the one that served before].
    pub(crate) version: Option<String>,
    /// What to say about it.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Ask nothing.
    #[arg(short = 'y', long)]
    pub(crate) force: bool,
}
