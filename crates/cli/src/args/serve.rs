//! Options of `berth serve` and of the commands that work on its data.
//!
//! [`PlatformArgs`] is the one place where a setting of `berth serve` is declared: what `berth.toml` may
//! have, and its documentation, follow from it (`serve/settings.rs`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Parser, Subcommand};
use control::{AccountLimits, Scope};
use model::limits::MB;

use super::{EdgeArgs, Mirrors, Tls, parse_time};
use crate::error::CliError;
use crate::human::parse_size;
use crate::paths;

/// Settings are options, or variables of the environment, or lines of `berth.toml`.
#[derive(Debug, Parser)]
pub(crate) struct PlatformArgs {
    /// The file of settings [default: berth.toml in the data directory, if it is there].
    #[arg(long, value_name = "FILE", env = "BERTH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print such a file, with all settings and their defaults, and end.
    #[arg(long, conflicts_with = "check")]
    pub(crate) print_config: bool,
    /// Say whether it would start, and end: settings, certificates, machine, data directory and
    /// addresses.
    #[arg(long)]
    pub(crate) check: bool,
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
    #[arg(long, value_name = "TIME", env = "BERTH_STOP_GRACE", value_parser = parse_time, default_value = "15m")]
    pub(crate) stop_grace: Duration,
    /// Stop the instances when this ends; the next `berth serve` takes them up otherwise.
    #[arg(
        long,
        value_name = "BOOL",
        env = "BERTH_STOP_INSTANCES",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false"
    )]
    pub(crate) stop_instances: bool,
    /// A private network that instances with internet may reach; may be given again.
    #[arg(long, value_name = "CIDR", env = "BERTH_EGRESS_ALLOW", value_delimiter = ',', value_parser = parse_network)]
    pub(crate) egress_allow: Vec<agent::Network>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// What all containers of the account may use together; Cloudflare's numbers when nothing is said.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Limits {
    /// Processors that all containers may use at once.
    #[arg(long = "max-vcpu", value_name = "N", env = "BERTH_MAX_VCPU", default_value_t = AccountLimits::default().vcpu)]
    pub(crate) vcpu: f64,
    /// Memory that all containers may use at once, such as `64GiB`.
    #[arg(long = "max-memory", value_name = "SIZE", env = "BERTH_MAX_MEMORY", value_parser = parse_size, default_value = "6TiB")]
    pub(crate) memory: u64,
    /// Disk that all containers may use at once, such as `500GB`.
    #[arg(long = "max-disk", value_name = "SIZE", env = "BERTH_MAX_DISK", value_parser = parse_size, default_value = "30TB")]
    pub(crate) disk: u64,
    /// Bytes of all images in the registry.
    #[arg(long = "max-images", value_name = "SIZE", env = "BERTH_MAX_IMAGES", value_parser = parse_size, default_value = "50GB")]
    pub(crate) images: u64,
}

impl Limits {
    /// In the units of the control plane.
    pub(crate) fn of_account(&self) -> AccountLimits {
        AccountLimits {
            vcpu: self.vcpu,
            memory_mib: self.memory >> 20,
            disk_mb: self.disk / MB,
            image_bytes: self.images,
        }
    }
}

/// Whose platform.
#[derive(Debug, Parser)]
pub(crate) struct PlatformPlace {
    /// The data directory [default: /var/lib/berth, of an ordinary user ~/.local/share/berth].
    // A variable that is set to nothing is as good as none, here as elsewhere.
    #[arg(long, value_name = "DIR", env = "BERTH_HOME", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) data: Option<PathBuf>,
    /// The account that everything belongs to.
    #[arg(long, value_name = "ID", env = "BERTH_ACCOUNT", default_value = super::registry::ACCOUNT, value_parser = super::registry::parse_account)]
    pub(crate) account: String,
}

impl PlatformPlace {
    /// The data directory, absolute.
    pub(crate) fn data(&self) -> Result<PathBuf, CliError> {
        let named = self.data.clone().filter(|data| !data.as_os_str().is_empty());
        std::path::absolute(named.unwrap_or_else(paths::home))
            .map_err(|error| CliError::failure("find the data directory", error))
    }
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

#[derive(Debug, Parser)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not be there.
    pub(crate) file: PathBuf,
    /// The data directory [default: `BERTH_HOME`, or /var/lib/berth].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Also save the keys: whoever has the file can read the secrets then.
    #[arg(long)]
    pub(crate) with_keys: bool,
    /// Leave the images out: they must be pushed again.
    #[arg(long)]
    pub(crate) without_images: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct RestoreArgs {
    /// The file that `berth backup` wrote.
    pub(crate) file: PathBuf,
    /// The data directory [default: `BERTH_HOME`, or /var/lib/berth].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Put it in the place of the platform that is there, whether `berth serve` runs or not.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The key of the secrets when the backup was made, a copy of db/secrets.key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Parser)]
pub(crate) struct RotateKeyArgs {
    /// The data directory [default: `BERTH_HOME`, or /var/lib/berth].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

pub(super) fn parse_network(text: &str) -> Result<agent::Network, String> {
    text.parse().map_err(|_| format!("`{text}` is no network such as 10.0.0.0/8"))
}
