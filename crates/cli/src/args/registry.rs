//! Options of `berth registry`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::Tls;

/// The account when none is named.
pub(super) const ACCOUNT: &str = "local";

#[derive(Debug, Parser)]
pub(crate) struct RegistryArgs {
    #[command(subcommand)]
    pub(crate) command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Serve this machine's images: what is pushed is pulled already.
    Serve(ServeArgs),
    /// Print a credential for the registry that lasts some minutes.
    Credentials(CredentialsArgs),
}

/// Whose registry.
#[derive(Debug, Parser)]
pub(crate) struct RegistryPlace {
    /// Where images and the signing key are kept [default: `BERTH_HOME`, or /var/lib/berth].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The account whose repositories lie below its name.
    #[arg(long, value_name = "ID", env = "CLOUDFLARE_ACCOUNT_ID", default_value = ACCOUNT, value_parser = parse_account)]
    pub(crate) account: String,
}

#[derive(Debug, Parser)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) place: RegistryPlace,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    pub(crate) listen: SocketAddr,
    /// A name by which clients know this registry, such as `registry.example.com`; may be given
    /// again.
    #[arg(long = "host", value_name = "HOST[:PORT]")]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Ask nobody who they are; on this machine's loopback alone.
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Bytes that an account's images may have in all.
    #[arg(long, value_name = "SIZE", default_value = "50GB", value_parser = parse_size)]
    pub(crate) quota: u64,
    /// A tag stays with the image it first named.
    #[arg(long)]
    pub(crate) immutable_tags: bool,
    /// Another registry to keep images of, below its name (`docker.io/library/…`), optionally with
    /// a URL that is asked first; may be given again.
    #[arg(long = "proxy", value_name = "HOST[=URL]", value_parser = parse_proxy)]
    pub(crate) proxies: Vec<(String, Option<String>)>,
    /// Also serve what wrangler needs of Cloudflare's API, under /client/v4.
    #[arg(long)]
    pub(crate) api: bool,
}

/// What a credential of a registry is for, beyond pulls, and how long.
#[derive(Debug, Parser)]
pub(crate) struct CredentialTerms {
    /// It may push and delete.
    #[arg(long)]
    pub(crate) push: bool,
    /// How long it lasts.
    #[arg(long, value_name = "MINUTES", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub(crate) expiration_minutes: u32,
}

#[derive(Debug, Parser)]
pub(crate) struct CredentialsArgs {
    #[command(flatten)]
    pub(crate) place: RegistryPlace,
    /// It may pull.
    #[arg(long)]
    pub(crate) pull: bool,
    #[command(flatten)]
    pub(crate) terms: CredentialTerms,
    /// Print account, user name and password as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the token of the API (`serve --api`) instead: what wrangler calls
    /// `CLOUDFLARE_API_TOKEN`.
    #[arg(long, conflicts_with_all = ["pull", "push", "json"])]
    pub(crate) api: bool,
}

pub(super) fn parse_account(text: &str) -> Result<String, String> {
    let valid = text.parse::<image::RepositoryName>().is_ok() && !text.contains('/');
    valid.then(|| text.to_owned()).ok_or_else(|| {
        format!("`{text}` cannot be the first part of a repository: lower-case letters, digits and single . _ - between them")
    })
}

fn parse_proxy(text: &str) -> Result<(String, Option<String>), String> {
    let (host, url) = match text.split_once('=') {
        Some((host, url)) if url.starts_with("http://") || url.starts_with("https://") => {
            (host, Some(url.to_owned()))
        }
        Some(_) => return Err(format!("`{text}` is not of the form HOST=URL")),
        None => (text, None),
    };
    // It becomes the first part of a repository.
    parse_account(host).map(|host| (host, url))
}

/// A number of bytes: `500000`, `500MB`, `50GB`, `1.5TB`, `10GiB`.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits =
        text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: f64 = match unit.trim() {
        "" | "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        _ => return Err(format!("`{text}` is no size such as 500MB, 50GB or 10GiB")),
    };
    let bytes = number.parse::<f64>().ok().map(|number| number * scale);
    bytes
        .filter(|bytes| (0.0..=1e18).contains(bytes))
        .and_then(|bytes| format!("{bytes:.0}").parse().ok())
        .ok_or_else(|| format!("`{text}` is no size such as 500MB, 50GB or 10GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_of_thousands_or_of_1024s() {
        assert_eq!(parse_size("50GB"), Ok(50_000_000_000));
        assert_eq!(parse_size("1.5MB"), Ok(1_500_000));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        assert_eq!(parse_size("7"), Ok(7));
        for bad in ["", "GB", "-1GB", "5 apples", "1e99", "1..2GB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_proxy_and_an_account_can_be_part_of_a_repository() {
        assert_eq!(parse_proxy("docker.io"), Ok(("docker.io".into(), None)));
        let url = Some("http://localhost:1".to_owned());
        assert_eq!(parse_proxy("docker.io=http://localhost:1"), Ok(("docker.io".into(), url)));
        for bad in ["", "a/b", "Docker.io", "docker.io=ftp://x", "_x"] {
            assert!(parse_proxy(bad).is_err(), "{bad}");
        }
    }
}
