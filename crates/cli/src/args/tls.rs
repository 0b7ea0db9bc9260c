//! Options of what listens: with TLS, or knowingly without.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use edge::{CertificateFiles, Certificates};

use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// With TLS, or knowingly without.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Tls {
    /// Certificate for TLS (PEM, with its chain); may be given again, each with its key: clients get
    /// the one for the name they ask for, or the first. Read anew when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Vec<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Vec<PathBuf>,
    /// Serve other machines without TLS: whoever is between can read credentials.
    #[arg(long, conflicts_with = "tls_cert")]
    plain_http: bool,
}

impl Tls {
    /// Refuses what would let strangers read along.
    pub(crate) fn check(&self, ip: IpAddr) -> Result<(), CliError> {
        if ip.is_loopback() || !self.tls_cert.is_empty() || self.plain_http {
            return Ok(());
        }
        let text = format!("{ip} can be reached from elsewhere, and there is no TLS");
        Err(CliError::new(Kind::Usage, text).hint(
            "give --tls-cert and --tls-key, or --plain-http where whoever is between is trusted",
        ))
    }

    /// The certificates that were given; `None` without any.
    pub(crate) fn certificates(&self) -> Result<Option<Certificates>, CliError> {
        let (certificates, keys) = (&self.tls_cert, &self.tls_key);
        if certificates.len() != keys.len() {
            let (certificates, keys) = (certificates.len(), keys.len());
            let text = format!("--tls-cert is given {certificates} times, --tls-key {keys} times");
            return Err(CliError::new(Kind::Usage, text)
                .hint("give each certificate's key beside it, in the same order"));
        }
        if certificates.is_empty() {
            return Ok(None);
        }
        let pair = |(certificate, key): (&PathBuf, &PathBuf)| CertificateFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let files: Vec<_> = certificates.iter().zip(keys).map(pair).collect();
        Certificates::read(&files).map(Some).map_err(|error| {
            CliError::failure("serve TLS", error)
                .hint("--tls-cert and --tls-key are PEM files that belong together")
        })
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_empty() { "http" } else { "https" }
    }
}

/// Reads certificates anew when their files change, while what this returns lives; says what is wrong
/// with new ones.
pub(crate) fn follow(
    certificates: Option<&Certificates>,
    printer: &Printer,
) -> Option<impl Drop + use<>> {
    let printer = printer.clone();
    let failed = move |error| {
        let failed = CliError::failure("take up a new certificate", error);
        printer.warning(format_args!("{failed}; the one before stays"));
    };
    certificates.map(|certificates| certificates.follow(failed))
}

/// What the API's or a registry's listener needs; `None` without TLS.
pub(crate) fn listener_tls(
    certificates: Option<&Certificates>,
) -> Result<Option<Arc<registry::TlsConfig>>, CliError> {
    let server = certificates.map(|certificates| certificates.server(&["http/1.1"]));
    server.transpose().map_err(|error| CliError::failure("serve TLS", error))
}
