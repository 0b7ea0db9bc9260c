//! Keys of secrets: in a file, or given to the program.

use std::fmt;
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{SealError, unhex};
use crate::private_file;

/// Bytes of a key.
pub(super) const KEY_LEN: usize = 32;

/// Where the key of the secrets is.
#[derive(Debug, Clone)]
pub struct KeyPlace {
    file: PathBuf,
    given: Option<Given>,
}

/// Keys that are in no file.
#[derive(Clone)]
struct Given {
    key: [u8; KEY_LEN],
    /// The one before, as long as there may be secrets that were encrypted with it.
    before: Option<[u8; KEY_LEN]>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(***)")
    }
}

/// Keys that are read: the first encrypts, all decrypt.
pub(super) struct Keys {
    pub(super) first: LessSafeKey,
    pub(super) others: Vec<LessSafeKey>,
}

impl KeyPlace {
    /// A file, which is made (mode 0600) when it is missing.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self { file: path.to_owned(), given: None }
    }

    /// The key itself, as 64 hexadecimal digits, and the one before; one that a file still has decrypts,
    /// too.
    ///
    /// # Errors
    /// One of them is no key; the text does not tell it.
    pub fn given(path: &Path, key: &str, before: Option<&str>) -> Result<Self, SealError> {
        let parse = |text: &str| {
            let bytes = unhex(text.trim()).and_then(|bytes| bytes.try_into().ok());
            bytes.ok_or(SealError::Digits)
        };
        let before = before.map(parse).transpose()?;
        Ok(Self { file: path.to_owned(), given: Some(Given { key: parse(key)?, before }) })
    }

    /// The same keys, if one was given, and a copy of the file.
    #[must_use]
    pub fn with_file(&self, path: &Path) -> Self {
        Self { file: path.to_owned(), given: self.given.clone() }
    }

    /// Whether there is a key already.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.given.is_some() || self.file.exists()
    }

    /// Where the next key is while secrets are encrypted anew with it.
    pub(super) fn next_file(&self) -> PathBuf {
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(".next");
        self.file.with_file_name(name)
    }

    /// Reads all there are; a file is made if there would be none.
    pub(super) fn read(&self) -> Result<Keys, SealError> {
        let next = self.next_file();
        let mut keys: Vec<LessSafeKey> = Vec::new();
        match &self.given {
            Some(Given { key, before }) => {
                keys.extend([Some(key), before.as_ref()].into_iter().flatten().map(key_of))
            }
            None if !self.file.exists() => make_key(&self.file)?,
            None => {}
        }
        for file in [&next, &self.file] {
            if file.exists() {
                keys.push(read_key(file)?);
            }
        }
        let first = keys.remove(0);
        Ok(Keys { first, others: keys })
    }

    /// Sees that there is a next key: from now on it encrypts, and all decrypt. One that is given is it
    /// already.
    pub(crate) fn begin_change(&self) -> Result<(), SealError> {
        match self.given.is_some() || self.next_file().exists() {
            true => Ok(()),
            false => make_key(&self.next_file()),
        }
    }

    /// Forgets the keys before. Every secret must have been encrypted with the next one.
    pub(crate) fn end_change(&self) -> Result<(), SealError> {
        if self.given.is_none() {
            fs_err::rename(self.next_file(), &self.file)?;
        } else {
            for file in [self.next_file(), self.file.clone()].iter().filter(|file| file.exists()) {
                fs_err::remove_file(file)?;
            }
        }
        Ok(fs_err::File::open(self.file.parent().unwrap_or(&self.file))?.sync_all()?)
    }
}

fn key_of(bytes: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("it is as long as it must be"))
}

fn read_key(path: &Path) -> Result<LessSafeKey, SealError> {
    let key = fs_err::read(path)?;
    let length = |_| SealError::Length { path: path.display().to_string(), found: key.len() };
    Ok(key_of(key.as_slice().try_into().map_err(length)?))
}

/// Makes a key's file, which is there whole or not at all; if somebody else has made it meanwhile,
/// theirs stays.
fn make_key(path: &Path) -> Result<(), SealError> {
    let mut key = [0; KEY_LEN];
    SystemRandom::new().fill(&mut key).map_err(|_| SealError::Random)?;
    Ok(private_file::make(path, &key)?)
}

#[cfg(test)]
mod tests {
    use super::super::Sealer;
    use super::*;

    #[test]
    fn a_key_that_is_given_makes_no_file_and_opens_what_a_file_has_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        let (one, other) = ("01".repeat(KEY_LEN), "Ab".repeat(KEY_LEN));
        let given = |key: &str, before: Option<&str>| {
            Sealer::open_with(&KeyPlace::given(&path, key, before).unwrap()).unwrap()
        };
        let sealed = given(&one, None).seal("p", "secret");
        assert!(!path.exists());
        assert!(given(&other, None).open("p", &sealed).is_err());
        assert_eq!(given(&other, Some(&one)).open("p", &sealed), Ok("secret".to_owned()));

        let of_file = Sealer::with_key_file(&path).unwrap().seal("p", "of a file");
        assert_eq!(given(&one, None).open("p", &of_file), Ok("of a file".to_owned()));
        assert!(given(&one, None).renewed("p", &of_file).unwrap().is_some());
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_told() {
        let path = Path::new("secrets.key");
        for text in ["", "hush", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64)] {
            let error = KeyPlace::given(path, text, None).unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let place = KeyPlace::given(path, &"0".repeat(64), None).unwrap();
        assert!(!format!("{place:?}").contains("0000"));
    }
}
