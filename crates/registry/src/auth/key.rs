//! The key that credentials are signed with: a file that only its owner can read.

use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a key.
const LENGTH: usize = 32;

/// Signs credentials, and knows its own.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// The key cannot be had. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("keep the signing key: {0}")]
    Io(#[from] io::Error),
    /// Others can read it, and could sign credentials.
    #[error("trust the signing key {}: other users can read it", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// It is no key.
    #[error("read the signing key {}: it does not have {LENGTH} bytes", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no randomness.
    #[error("make a signing key: the system gives no random bytes")]
    Random,
}

impl SigningKey {
    /// The key in this file, which is made when there is none.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        match Self::read(path) {
            Err(KeyError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(path)?;
                // Another process may have been first.
                Self::read(path)
            }
            result => result,
        }
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes = fs_err::read(path)?;
        if fs_err::metadata(path)?.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Readable { path: path.to_owned() });
        }
        if bytes.len() != LENGTH {
            return Err(KeyError::Damaged { path: path.to_owned() });
        }
        Ok(Self::from_bytes(&bytes))
    }

    fn make(path: &Path) -> Result<(), KeyError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        let mut key = [0; LENGTH];
        SystemRandom::new().fill(&mut key).map_err(|_| KeyError::Random)?;
        // Temporary files are their owner's alone.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&key)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error.error.into())
            }
            _ => Ok(()),
        }
    }

    /// A secret for something else that follows from this key, and from which nothing follows.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.sign(&format!("derive {purpose}")))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        hmac::sign(&self.0, text.as_bytes()).as_ref().to_vec()
    }

    /// Takes the same time whatever the signature is.
    pub(super) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        hmac::verify(&self.0, text.as_bytes(), signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry/key");
        let signature = SigningKey::open(&path).unwrap().sign("x");
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SigningKey::open(&path).unwrap().verifies("x", &signature));
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SigningKey::open(&path), Err(KeyError::Readable { .. })));
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        fs_err::write(&path, "short").unwrap();
        assert!(matches!(SigningKey::open(&path), Err(KeyError::Damaged { .. })));
    }
}
