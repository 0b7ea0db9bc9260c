//! Secrets at rest: encrypted with a key that is not in the database.

mod key;

use std::path::{Path, PathBuf};

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use key::{KEY_LEN, Keys};

pub use key::KeyPlace;

/// An encrypted secret: nonce, then ciphertext with its tag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed(String);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(***)")
    }
}

impl Sealed {
    /// As a text of hex digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that somebody presents; whether it is worth anything shows when it is opened.
impl From<&str> for Sealed {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Why there is no key. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key's file cannot be read or made.
    #[error("read the key of the secrets: {0}")]
    File(#[from] std::io::Error),
    /// It holds something else.
    #[error("read the key of the secrets: {path} holds {found} bytes, not {KEY_LEN}")]
    Length {
        /// The file.
        path: String,
        /// What is in it.
        found: usize,
    },
    /// One that was given is none.
    #[error("read the key of the secrets: it is not given as 64 hexadecimal digits")]
    Digits,
    /// The system gives no random numbers.
    #[error("make a key for the secrets: the system gives no random numbers")]
    Random,
}

/// Encrypts and decrypts secrets.
pub struct Sealer {
    keys: Keys,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// A secret that cannot be decrypted: the key is another, or the record was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret cannot be decrypted: was the key replaced?")]
pub(crate) struct Unreadable;

impl Sealer {
    /// With the keys of a place.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open_with(place: &KeyPlace) -> Result<Self, SealError> {
        Ok(Self { keys: place.read()?, random: SystemRandom::new() })
    }

    /// With the key in a file, which is made (mode 0600) if it is missing.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn with_key_file(path: &Path) -> Result<Self, SealError> {
        Self::open_with(&KeyPlace::file(path))
    }

    /// Where the next key is while secrets are encrypted anew with it.
    #[must_use]
    pub fn next_key_file(path: &Path) -> PathBuf {
        KeyPlace::file(path).next_file()
    }

    /// A secret encrypted with the key that counts from now on; `None` if it is already.
    pub(crate) fn renewed(
        &self,
        place: &str,
        sealed: &Sealed,
    ) -> Result<Option<Sealed>, Unreadable> {
        match open_by(&self.keys.first, place, sealed) {
            Ok(_) => Ok(None),
            Err(_) => Ok(Some(self.seal(place, &self.open(place, sealed)?))),
        }
    }

    /// Encrypts a secret for one place: it can be decrypted for no other.
    pub(crate) fn seal(&self, place: &str, secret: &str) -> Sealed {
        let mut nonce = [0; NONCE_LEN];
        // It fails where the kernel has no random numbers: nothing works there.
        self.random.fill(&mut nonce).expect("the system gives random numbers");
        let mut text = secret.as_bytes().to_vec();
        self.keys
            .first
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.as_bytes()),
                &mut text,
            )
            .expect("a secret is shorter than 64 GiB");
        Sealed(hex(&[&nonce[..], &text].concat()))
    }

    /// Decrypts what was encrypted for this place.
    pub(crate) fn open(&self, place: &str, sealed: &Sealed) -> Result<String, Unreadable> {
        let mut all = std::iter::once(&self.keys.first).chain(&self.keys.others);
        all.find_map(|key| open_by(key, place, sealed).ok()).ok_or(Unreadable)
    }
}

fn open_by(key: &LessSafeKey, place: &str, sealed: &Sealed) -> Result<String, Unreadable> {
    let bytes = unhex(&sealed.0).ok_or(Unreadable)?;
    let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or(Unreadable)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unreadable)?;
    let mut text = text.to_vec();
    let opened = key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut text);
    let opened = opened.map_err(|_| Unreadable)?;
    String::from_utf8(opened.to_vec()).map_err(|_| Unreadable)
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The inverse of [`hex`], for either case.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn sealer(folder: &Path) -> Sealer {
        Sealer::with_key_file(&folder.join("secrets.key")).unwrap()
    }

    #[test]
    fn a_secret_is_opened_where_it_belongs_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = sealer(folder.path()).seal("a/KEY", "héllo");
        assert!(!serde_json::to_string(&sealed).unwrap().contains("llo"));
        assert_eq!(format!("{sealed:?}"), "Sealed(***)");
        let again = sealer(folder.path());
        assert_eq!(again.open("a/KEY", &sealed), Ok("héllo".to_owned()));
        assert_eq!(again.open("b/KEY", &sealed), Err(Unreadable));
    }

    #[test]
    fn what_was_changed_or_has_another_key_is_refused() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealer = self::sealer(folder.path());
        let sealed = sealer.seal("p", "secret");
        assert_eq!(self::sealer(other.path()).open("p", &sealed), Err(Unreadable));
        for broken in ["", "0", "zz", "00", &sealed.0[2..], &format!("{}00", sealed.0)] {
            assert_eq!(sealer.open("p", &Sealed(broken.to_owned())), Err(Unreadable), "{broken}");
        }
    }

    #[test]
    fn the_key_is_its_owners_and_must_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        let _made = sealer(folder.path());
        let path = folder.path().join("secrets.key");
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        fs_err::write(&path, "short").unwrap();
        let error = Sealer::with_key_file(&path).unwrap_err().to_string();
        assert!(error.contains("holds 5 bytes, not 32"), "{error}");
    }
}
