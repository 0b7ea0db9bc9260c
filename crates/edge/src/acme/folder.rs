//! What is kept of an ACME server: the account and the certificates, each server's in a folder of its
//! own, so that certificates of a test server never serve in the place of real ones.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use instant_acme::AccountCredentials;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Acme, AcmeError};

/// What is kept; clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// A certificate that was issued.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) key: Arc<CertifiedKey>,
    /// From and to, in seconds of Unix time.
    pub(super) valid: (i64, i64),
}

impl Folder {
    /// The folder of a server; only its owner may look into it.
    pub(super) fn open(acme: &Acme) -> io::Result<Self> {
        let folder = acme.folder.join(file_name(&acme.directory));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn account(&self) -> io::Result<Option<AccountCredentials>> {
        match fs::read(self.0.join("account.json")) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> io::Result<()> {
        write(&self.0.join("account.json"), &serde_json::to_vec(account)?)
    }

    /// What is kept for a name; what cannot be used is as good as none.
    pub(super) fn certificate(&self, name: &str) -> Option<Issued> {
        let path = self.of(name);
        let pem = fs::read(&path).ok()?;
        match parse(&pem) {
            Ok(issued) => Some(issued),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a kept certificate");
                None
            }
        }
    }

    /// Keeps a key and its chain, and makes them usable.
    pub(super) fn keep(&self, name: &str, pem: &str) -> Result<Issued, AcmeError> {
        let issued = parse(pem.as_bytes()).map_err(AcmeError::Certificate)?;
        write(&self.of(name), pem.as_bytes())?;
        Ok(issued)
    }

    fn of(&self, name: &str) -> PathBuf {
        self.0.join(format!("{}.pem", file_name(name)))
    }
}

/// A name for a file, of a URL or a host.
fn file_name(text: &str) -> String {
    let text = text.strip_prefix("https://").unwrap_or(text);
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    text.chars().map(plain).collect()
}

fn parse(pem: &[u8]) -> Result<Issued, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| error.to_string())?;
    let first = chain.first().ok_or("there is no certificate")?;
    let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|e| e.to_string())?;
    let validity = parsed.validity();
    let valid = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    let key = CertifiedKey::from_der(chain, key, &default_provider());
    Ok(Issued { key: Arc::new(key.map_err(|error| error.to_string())?), valid })
}

/// Puts a file that its owner alone may read into the place of another, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = fs::OpenOptions::from_options(options).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_stay_in_their_folder() {
        assert_eq!(file_name("https://ca.test:14000/dir"), "ca.test_14000_dir");
        assert_eq!(file_name("a.example.com"), "a.example.com");
        assert!(!file_name("../../x").contains('/'));
    }
}
