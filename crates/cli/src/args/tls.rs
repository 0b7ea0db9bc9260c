//! Options of what listens: with TLS, or knowingly without.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgAction;

use crate::error::{CliError, Kind};

/// With TLS, or knowingly without.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Tls {
    /// Certificate for TLS (PEM, with its chain).
    #[arg(long, value_name = "FILE", env = "BERTH_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", env = "BERTH_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Serve other machines without TLS: whoever is between can read credentials.
    #[arg(
        long,
        value_name = "BOOL",
        env = "BERTH_PLAIN_HTTP",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false"
    )]
    plain_http: bool,
}

impl Tls {
    /// Refuses what does not go together, and what would let strangers read along.
    pub(crate) fn check(&self, ip: IpAddr) -> Result<(), CliError> {
        let usage = |text: String, hint: &str| Err(CliError::new(Kind::Usage, text).hint(hint));
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), Some(_)) if self.plain_http => usage(
                "there are a certificate for TLS and --plain-http".to_owned(),
                "leave out one of them",
            ),
            (Some(_), Some(_)) => Ok(()),
            (Some(certificate), None) => usage(
                format!("there is a certificate, {}, without its key", certificate.display()),
                "give --tls-key too",
            ),
            (None, Some(key)) => usage(
                format!("there is a key, {}, without its certificate", key.display()),
                "give --tls-cert too",
            ),
            (None, None) if ip.is_loopback() || self.plain_http => Ok(()),
            (None, None) => usage(
                format!("{ip} can be reached from elsewhere, and there is no TLS"),
                "give --tls-cert and --tls-key, or --plain-http where whoever is between is trusted",
            ),
        }
    }

    /// What a listener needs; `None` without TLS.
    pub(crate) fn config(&self) -> Result<Option<Arc<registry::TlsConfig>>, CliError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        registry::tls_config(certificate, key).map(Some).map_err(|error| {
            CliError::attempt(Kind::Config, "serve TLS", error)
                .hint("--tls-cert wants a PEM file of the certificate and its chain, --tls-key one of its key")
        })
    }

    /// The certificate's file, if there is TLS.
    pub(crate) fn certificate(&self) -> Option<&Path> {
        self.tls_cert.as_deref()
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn tls_is_whole_and_left_out_knowingly_alone() {
        let check = |cert: bool, key: bool, plain_http: bool, ip: IpAddr| {
            let file = |is: bool, name: &str| is.then(|| PathBuf::from(name));
            let tls = Tls { tls_cert: file(cert, "c"), tls_key: file(key, "k"), plain_http };
            tls.check(ip).is_ok()
        };
        let (near, far) = (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into());
        assert!(check(false, false, false, near) && !check(false, false, false, far));
        assert!(check(false, false, true, far) && check(true, true, false, far));
        for ip in [near, far] {
            assert!(!check(true, false, false, ip) && !check(false, true, true, ip));
            assert!(!check(true, true, true, ip));
        }
    }
}
