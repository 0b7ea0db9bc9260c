//! What the platform proves itself by to SSH clients.

use std::io;
use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;

use crate::private_file;

/// Bytes that an Ed25519 key is made of.
const SEED_LEN: usize = 32;

/// An Ed25519 key pair; clones are the same one.
#[derive(Clone)]
pub struct SshHostKey(PrivateKey);

impl std::fmt::Debug for SshHostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SshHostKey(***)")
    }
}

/// Why there is no host key. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SshHostKeyError {
    /// The key's file cannot be read or made.
    #[error("read the SSH host key: {0}")]
    File(#[from] io::Error),
    /// It holds something else.
    #[error(
        "read the SSH host key: {path} holds no private key of OpenSSH's form ({reason}); remove the \
         file, and a new key is made"
    )]
    Contents {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No key could be made.
    #[error("make an SSH host key: {0}")]
    Make(String),
}

impl SshHostKey {
    /// The key in a file, which is made (mode 0600) if it is missing.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn with_file(path: &Path) -> Result<Self, SshHostKeyError> {
        if !path.exists() {
            make(path)?;
        }
        let text = fs_err::read_to_string(path)?;
        let key = PrivateKey::from_openssh(text).map_err(|error| SshHostKeyError::Contents {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self(key))
    }

    /// A key that everybody knows.
    #[cfg(test)]
    pub(crate) fn of_tests() -> Self {
        Self(PrivateKey::from(Ed25519Keypair::from_seed(&[7; SEED_LEN])))
    }

    pub(super) fn private(&self) -> &PrivateKey {
        &self.0
    }

    /// What clients may know it by, as it stands in their `known_hosts`.
    pub(crate) fn public(&self) -> String {
        self.0.public_key().to_openssh().unwrap_or_default()
    }
}

fn make(path: &Path) -> Result<(), SshHostKeyError> {
    let mut seed = [0; SEED_LEN];
    let no_numbers = || SshHostKeyError::Make("the system gives no random numbers".to_owned());
    SystemRandom::new().fill(&mut seed).map_err(|_| no_numbers())?;
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let text = key.to_openssh(LineEnding::LF);
    let text = text.map_err(|error| SshHostKeyError::Make(error.to_string()))?;
    Ok(private_file::make(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_host_key_is_made_once_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh_host_key");
        let first = SshHostKey::with_file(&path).unwrap();
        let again = SshHostKey::with_file(&path).unwrap();
        assert_eq!(first.public(), again.public());
        assert!(first.public().starts_with("ssh-ed25519 AAAA"), "{}", first.public());
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{first:?}"), "SshHostKey(***)");
    }

    #[test]
    fn a_file_that_holds_no_key_is_named_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh_host_key");
        fs_err::write(&path, "no key").unwrap();
        let error = SshHostKey::with_file(&path).unwrap_err().to_string();
        assert!(error.contains("ssh_host_key holds no private key"), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "no key");
    }
}
