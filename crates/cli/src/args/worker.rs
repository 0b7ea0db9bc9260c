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
    Deploy(DeployVersionsArgs),
    /// Secrets of a version like the newest one, which does not serve yet.
    #[command(subcommand)]
    Secret(VersionSecretCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeployVersionsArgs {
    /// A version's id, and its share in percent; what is left out is what the other one leaves.
    #[arg(
        value_name = "VERSION[@PERCENT]",
        required_unless_present = "version_id",
        value_parser = parse_share
    )]
    shares: Vec<(String, Option<f64>)>,
    /// The same, a version's id alone; may be given again.
    #[arg(long, value_name = "ID", conflicts_with = "shares")]
    version_id: Vec<String>,
    /// The share of each `--version-id`, in their order.
    #[arg(
        long,
        value_name = "PERCENT",
        requires = "version_id",
        conflicts_with = "shares",
        value_parser = parse_percent
    )]
    percentage: Vec<f64>,
    /// What to say about it.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Say what would serve, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask nothing.
    #[arg(short, long, visible_alias = "force")]
    pub(crate) yes: bool,
}

impl DeployVersionsArgs {
    /// The versions with their shares, as far as these are said.
    pub(crate) fn shares(&self) -> Vec<(String, Option<f64>)> {
        let percent = self.percentage.iter().copied().map(Some).chain(std::iter::repeat(None));
        let named = self.version_id.iter().cloned().zip(percent);
        self.shares.iter().cloned().chain(named).collect()
    }
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

/// `ID` or `ID@PERCENT`.
fn parse_share(text: &str) -> Result<(String, Option<f64>), String> {
    match text.split_once('@') {
        None => Ok((text.to_owned(), None)),
        Some((version, percent)) => Ok((version.to_owned(), Some(parse_percent(percent)?))),
    }
}

/// With a percent sign or without.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| format!("\"{text}\" is no number from 0 to 100"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_their_shares_are_said_in_either_of_wranglers_ways() {
        let shares = |words: &[&str]| {
            let words = ["versions", "deploy"].iter().chain(words);
            let args = VersionsArgs::try_parse_from(words).ok()?;
            let VersionsCommand::Deploy(args) = args.command else { panic!("it deploys") };
            Some(args.shares())
        };
        let both = vec![("a".to_owned(), Some(90.0)), ("b".to_owned(), None)];
        assert_eq!(shares(&["a@90%", "b"]).as_ref(), Some(&both));
        let flags = ["--version-id", "a", "--percentage", "90", "--version-id", "b"];
        assert_eq!(shares(&flags).as_ref(), Some(&both));
        for wrong in [
            &[][..],
            &["a@101"],
            &["a@x"],
            &["a", "--version-id", "b"],
            &["a", "--percentage", "1"],
        ] {
            assert_eq!(shares(wrong), None, "{wrong:?}");
        }
    }
}
