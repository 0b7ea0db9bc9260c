//! Options of what listens: with TLS, or knowingly without.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{CliError, Kind};

/// With TLS, or knowingly without.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Tls {
    /// Certificate for TLS (PEM, with its chain).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve other machines without TLS: whoever is between can read credentials.
    #[arg(long, conflicts_with = "tls_cert")]
    plain_http: bool,
}

impl Tls {
    /// Refuses what would let strangers read along.
    pub(crate) fn check(&self, ip: IpAddr) -> Result<(), CliError> {
        if ip.is_loopback() || self.tls_cert.is_some() || self.plain_http {
            return Ok(());
        }
        let text = format!("{ip} can be reached from elsewhere, and there is no TLS");
        Err(CliError::new(Kind::Usage, text).hint(
            "give --tls-cert and --tls-key, or --plain-http where whoever is between is trusted",
        ))
    }

    /// What a listener needs; `None` without TLS.
    pub(crate) fn config(&self) -> Result<Option<Arc<registry::TlsConfig>>, CliError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => registry::tls_config(certificate, key)
                .map(Some)
                .map_err(|error| CliError::failure("serve TLS", error)),
            _ => Ok(None),
        }
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }
}
