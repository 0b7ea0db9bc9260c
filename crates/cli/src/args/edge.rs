//! Options of the Workers' address.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::ArgAction;
use edge::{Acme, Certificates};

use super::serve::parse_network;
use crate::error::{CliError, Kind};

/// How Workers are reached.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EdgeArgs {
    /// Address of the Workers with TLS and HTTP/2, beside that of `--listen`.
    #[arg(long, value_name = "ADDRESS", env = "BERTH_LISTEN_TLS")]
    pub(crate) listen_tls: Option<SocketAddr>,
    /// Send whoever comes to `--listen` on to `--listen-tls`.
    #[arg(
        long,
        value_name = "BOOL",
        env = "BERTH_REDIRECT_TO_TLS",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false"
    )]
    pub(crate) redirect_to_tls: bool,
    /// The directory of an ACME server, such as https://acme-v02.api.letsencrypt.org/directory:
    /// certificates for the Workers' hosts come from there. Giving it agrees to the server's terms.
    #[arg(long, value_name = "URL", env = "BERTH_ACME_DIRECTORY")]
    acme_directory: Option<String>,
    /// Where the ACME server may write to.
    #[arg(long, value_name = "ADDRESS", env = "BERTH_ACME_EMAIL")]
    acme_email: Option<String>,
    /// Whom to trust to be the ACME server (PEM) [default: the authorities of the web].
    #[arg(long, value_name = "FILE", env = "BERTH_ACME_CA")]
    acme_ca: Option<PathBuf>,
    /// Requests that each Worker has at once; one more is answered with 503 [default: no limit].
    #[arg(long, value_name = "N", env = "BERTH_WORKER_CONCURRENCY")]
    pub(crate) worker_concurrency: Option<NonZeroUsize>,
    /// A file that gets a line of JSON for each request.
    #[arg(long, value_name = "FILE", env = "BERTH_ACCESS_LOG")]
    pub(crate) access_log: Option<PathBuf>,
    /// Proxies in front of the Workers' addresses: what they say in `X-Forwarded-For` and
    /// `X-Forwarded-Proto` is believed; may be given again.
    #[arg(long, value_name = "CIDR", env = "BERTH_TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse_network)]
    pub(crate) trusted_proxies: Vec<agent::Network>,
}

impl EdgeArgs {
    /// Refuses what does not go together.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        let needs = |option: &str, other: &str| {
            let error = CliError::new(Kind::Usage, format!("{option} is given without {other}"));
            Err(error.hint(format!("give {other} too")))
        };
        match (self.listen_tls, &self.acme_directory) {
            (None, _) if self.redirect_to_tls => needs("--redirect-to-tls", "--listen-tls"),
            (None, Some(_)) => needs("--acme-directory", "--listen-tls"),
            (_, None) if self.acme_email.is_some() => needs("--acme-email", "--acme-directory"),
            (_, None) if self.acme_ca.is_some() => needs("--acme-ca", "--acme-directory"),
            _ => Ok(()),
        }
    }

    /// Where certificates come from; what it keeps is below `data`.
    pub(crate) fn acme(&self, data: &Path) -> Option<Acme> {
        self.acme_directory.as_ref().map(|directory| Acme {
            directory: directory.clone(),
            email: self.acme_email.clone(),
            authority: self.acme_ca.clone(),
            folder: data.join("acme"),
        })
    }

    /// The certificates of the Workers: those that were given, and those that are yet to come.
    pub(crate) fn certificates(
        &self,
        given: Option<&Certificates>,
    ) -> Result<Option<Certificates>, CliError> {
        match (given, self.listen_tls, &self.acme_directory) {
            (_, None, _) => Ok(None),
            (Some(given), ..) => Ok(Some(given.clone())),
            (None, Some(_), Some(_)) => Certificates::read(&[])
                .map(Some)
                .map_err(|error| CliError::failure("serve TLS", error)),
            (None, Some(_), None) => {
                Err(CliError::new(Kind::Usage, "--listen-tls has no certificate")
                    .hint("give --tls-cert and --tls-key, or --acme-directory"))
            }
        }
    }
}
