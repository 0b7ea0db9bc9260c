//! A certificate of a name, or of this machine's loopback address, and its key.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of a certificate that clients have to be told to trust.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, which is its own authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one for `localhost` and 127.0.0.1, in a folder.
    ///
    /// # Panics
    /// openssl fails.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self::of(folder, "IP:127.0.0.1,DNS:localhost")
    }

    /// The same for another host, in place of what is there.
    ///
    /// # Panics
    /// openssl fails.
    #[must_use]
    pub fn of_host(folder: &Path, host: &str) -> Self {
        Self::of(folder, &format!("DNS:{host}"))
    }

    fn of(folder: &Path, names: &str) -> Self {
        let (certificate, key) = (folder.join("ca.crt"), folder.join("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=test"])
            .args(["-addext", &format!("subjectAltName={names}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output();
        assert!(made.expect("run openssl").status.success(), "openssl makes a certificate");
        Self { certificate, key }
    }
}
