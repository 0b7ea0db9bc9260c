//! Options of `berth tail`: wrangler's.

use clap::{Parser, ValueEnum};

use super::WorkerPlace;

#[derive(Debug, Parser)]
pub(crate) struct TailArgs {
    /// The Worker's name [default: the project's].
    #[arg(value_name = "WORKER", conflicts_with = "name")]
    pub(crate) worker: Option<String>,
    #[command(flatten)]
    pub(crate) place: WorkerPlace,
    /// How events are printed [default: pretty on a terminal, or json].
    #[arg(long, value_enum)]
    pub(crate) format: Option<TailFormat>,
    /// Events that ended so; may be given again.
    #[arg(long, value_enum)]
    pub(crate) status: Vec<TailStatus>,
    /// Requests with this header, and this in its value.
    #[arg(long, value_name = "NAME[:VALUE]")]
    pub(crate) header: Option<String>,
    /// Requests with this method; may be given again.
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Vec<String>,
    /// This share of the events, between 0 and 1.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) sampling_rate: Option<f64>,
    /// Events that wrote this to the console.
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Requests from this address, or from your own by `self`; may be given again.
    #[arg(long = "ip", value_name = "ADDRESS")]
    pub(crate) ips: Vec<String>,
    /// Events of this version of the Worker.
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
}

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TailFormat {
    /// For people.
    Pretty,
    /// Each as JSON, on a line of its own.
    Json,
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TailStatus {
    Ok,
    Error,
    Canceled,
}

impl TailArgs {
    /// A header's name, and what its value is to contain.
    pub(crate) fn header(&self) -> Option<(&str, Option<&str>)> {
        self.header.as_deref().map(|header| match header.split_once(':') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (header.trim(), None),
        })
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| format!("`{text}` is no share between 0 and 1, such as 0.25"))
}
