//! Options of what listens: with TLS, or knowingly without.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgAction;
use edge::{CertificateFiles, Certificates};

use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// With TLS, or knowingly without.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Tls {
    /// Certificate for TLS (PEM, with its chain); may be given again, each with its key: clients get
    /// the one for the name they ask for, or the first. Read anew when it changes.
    #[arg(long, value_name = "FILE", env = "BERTH_TLS_CERT", value_delimiter = ',')]
    tls_cert: Vec<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", env = "BERTH_TLS_KEY", value_delimiter = ',')]
    tls_key: Vec<PathBuf>,
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
        match (self.tls_cert.len(), self.tls_key.len()) {
            (0, 0) if ip.is_loopback() || self.plain_http => Ok(()),
            (0, 0) => usage(
                format!("{ip} can be reached from elsewhere, and there is no TLS"),
                "give --tls-cert and --tls-key, or --plain-http where whoever is between is trusted",
            ),
            (certificates, keys) if certificates != keys => usage(
                format!("--tls-cert is given {certificates} times, --tls-key {keys} times"),
                "give each certificate's key beside it, in the same order",
            ),
            _ if self.plain_http => usage(
                "there are a certificate for TLS and --plain-http".to_owned(),
                "leave out one of them",
            ),
            _ => Ok(()),
        }
    }

    /// The certificates that were given; `None` without any. [`Self::check`] comes first.
    pub(crate) fn certificates(&self) -> Result<Option<Certificates>, CliError> {
        if self.tls_cert.is_empty() {
            return Ok(None);
        }
        let pair = |(certificate, key): (&PathBuf, &PathBuf)| CertificateFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let files: Vec<_> = self.tls_cert.iter().zip(&self.tls_key).map(pair).collect();
        Certificates::read(&files).map(Some).map_err(|error| {
            CliError::attempt(Kind::Config, "serve TLS", error)
                .hint("--tls-cert wants a PEM file of the certificate and its chain, --tls-key one of its key")
        })
    }

    /// The certificates' files.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.tls_cert
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn tls_is_whole_and_left_out_knowingly_alone() {
        let check = |cert: bool, key: bool, plain_http: bool, ip: IpAddr| {
            let files = |is: bool| is.then(|| PathBuf::from("f")).into_iter().collect();
            let tls = Tls { tls_cert: files(cert), tls_key: files(key), plain_http };
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
