//! Options of `berth serve` and `berth token`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use control::Scope;

use super::{EdgeArgs, Mirrors, Tls, parse_time};

/// Settings are options, or variables of the environment.
#[derive(Debug, Parser)]
pub(crate) struct PlatformArgs {
    #[command(flatten)]
    pub(crate) place: PlatformPlace,
    /// Address of the Workers.
    #[arg(long, value_name = "ADDRESS", env = "BERTH_LISTEN", default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) edge: EdgeArgs,
    /// Address of the API and of the registry.
    #[arg(long, value_name = "ADDRESS", env = "BERTH_API", default_value = "127.0.0.1:8788")]
    pub(crate) api: SocketAddr,
    /// A name by which clients know the API and the registry, such as `berth.example.com`; may be
    /// given again.
    #[arg(long = "host", value_name = "HOST[:PORT]", env = "BERTH_HOSTS", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Below this domain each Worker has a host of its own.
    #[arg(long, value_name = "DOMAIN", env = "BERTH_DOMAIN", default_value = "localhost")]
    pub(crate) domain: String,
    /// Time between SIGTERM and SIGKILL when an instance stops.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "15m")]
    pub(crate) stop_grace: Duration,
    /// Stop the instances when this ends; the next `berth serve` takes them up otherwise.
    #[arg(long)]
    pub(crate) stop_instances: bool,
    /// A private network that instances with internet may reach; may be given again.
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    pub(crate) egress_allow: Vec<agent::Network>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
}

/// Whose platform.
#[derive(Debug, Parser)]
pub(crate) struct PlatformPlace {
    /// The data directory [default: `BERTH_HOME`, or /var/lib/berth].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The account that everything belongs to.
    #[arg(long, value_name = "ID", env = "BERTH_ACCOUNT", default_value = super::registry::ACCOUNT, value_parser = super::registry::parse_account)]
    pub(crate) account: String,
}

#[derive(Debug, Parser)]
pub(crate) struct TokenArgs {
    /// The data directory [default: `BERTH_HOME`, or /var/lib/berth].
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once.
    Create {
        /// What to call it; written beside all that is done with it.
        name: String,
        /// What it allows: `admin`, `workers:write`, `containers:write` or `read`; may be given
        /// again.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        /// How long it counts, such as `90d` [default: until it is revoked].
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        expires_in: Option<Duration>,
    },
    /// List the tokens, without what they are presented by.
    #[command(visible_alias = "ls")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a token worth nothing.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

fn parse_network(text: &str) -> Result<agent::Network, String> {
    text.parse().map_err(|_| format!("`{text}` is no network such as 10.0.0.0/8"))
}
