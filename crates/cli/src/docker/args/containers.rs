//! Of `berth docker`, what is about containers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(trailing_var_arg = true)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) options: RunOptions,
    pub(crate) image: String,
    #[arg(allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) process: ProcessOptions,
    /// Remove it once it has ended.
    #[arg(long)]
    pub(crate) rm: bool,
    #[arg(long)]
    pub(crate) env_file: Vec<PathBuf>,
    #[arg(short, long)]
    pub(crate) publish: Vec<String>,
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    #[arg(short, long)]
    pub(crate) volume: Vec<String>,
    #[arg(long)]
    pub(crate) tmpfs: Vec<String>,
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    #[arg(long)]
    pub(crate) entrypoint: Option<String>,
    #[arg(short, long)]
    pub(crate) label: Vec<String>,
    #[arg(short, long)]
    pub(crate) memory: Option<String>,
    #[arg(long)]
    pub(crate) cpus: Option<f64>,
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    #[arg(long, alias = "net")]
    pub(crate) network: Option<String>,
    #[arg(long)]
    pub(crate) stop_signal: Option<String>,
    #[arg(long)]
    pub(crate) stop_timeout: Option<u64>,
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// `always`, `missing` or `never`.
    #[arg(long, default_value = "missing")]
    pub(crate) pull: String,
    /// A file to write the container's id to.
    #[arg(long)]
    pub(crate) cidfile: Option<PathBuf>,
    /// Accepted: there always is one.
    #[arg(long)]
    pub(crate) init: bool,
}

/// How a program is run, a container's first or a further one.
#[derive(Debug, Args)]
pub(crate) struct ProcessOptions {
    /// Leave it running in the background.
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Hand standard input on to it.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give it a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// NAME=value, or NAME for the value it has here; may be given again.
    #[arg(short, long)]
    pub(crate) env: Vec<String>,
    /// The folder it runs in.
    #[arg(short, long)]
    pub(crate) workdir: Option<String>,
    /// Who it runs as: a name or a number, and `:` with a group's.
    #[arg(short, long)]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    /// Start containers.
    Start(StartArgs),
    /// List containers.
    #[command(alias = "ls")]
    Ps(PsArgs),
    /// Show what a container printed.
    Logs(LogsArgs),
    /// Run a further program in a container.
    Exec(ExecArgs),
    /// Stop containers.
    Stop(StopArgs),
    /// Stop and start containers.
    Restart(StopArgs),
    /// Send a signal to containers.
    Kill(KillArgs),
    /// Remove containers.
    Rm(RmArgs),
    /// Wait until containers end, and print their exit codes.
    Wait(NamesArgs),
    /// Show a container's processes.
    Top(TopArgs),
    /// Show a container's published ports.
    Port(TopArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Stay attached to it.
    #[arg(short, long)]
    pub(crate) attach: bool,
    #[arg(short, long)]
    pub(crate) interactive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    #[arg(short, long)]
    pub(crate) all: bool,
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[arg(short = 'n', long)]
    pub(crate) last: Option<usize>,
    #[arg(short, long)]
    pub(crate) latest: bool,
    #[arg(long)]
    pub(crate) no_trunc: bool,
    #[arg(short, long)]
    pub(crate) filter: Vec<String>,
    #[arg(long)]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    pub(crate) name: String,
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    #[arg(short = 'n', long, default_value = "all")]
    pub(crate) tail: String,
    #[arg(long)]
    pub(crate) since: Option<String>,
    #[arg(long)]
    pub(crate) until: Option<String>,
}

#[derive(Debug, Args)]
#[command(trailing_var_arg = true)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) process: ProcessOptions,
    pub(crate) name: String,
    #[arg(required = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Seconds before it is killed.
    #[arg(short, long, alias = "timeout", allow_hyphen_values = true)]
    pub(crate) time: Option<i64>,
    #[arg(short, long)]
    pub(crate) signal: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[arg(short, long, default_value = "KILL")]
    pub(crate) signal: String,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[arg(short, long)]
    pub(crate) force: bool,
    #[arg(short, long)]
    pub(crate) volumes: bool,
}
