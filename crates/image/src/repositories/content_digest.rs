//! Digests as a registry's clients write them: SHA-256 or SHA-512.
//!
//! Content is stored once, under its SHA-256 digest ([`Digest`]); a link leads from what a client
//! calls it to that.

use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use crate::digest::Digest;

/// `sha256:<64 hex digits>` or `sha512:<128 hex digits>`, lower-case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest(String);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no digest: sha256:<64 lower-case hex digits> or sha512:<128> is")]
pub struct ContentDigestError {
    text: String,
}

impl ContentDigest {
    /// The digest's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Algorithm and hex digits.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').expect("a digest has a colon")
    }

    /// What the store calls this content, if that can be told from this digest alone.
    #[must_use]
    pub fn canonical(&self) -> Option<Digest> {
        self.0.parse().ok()
    }

    /// Whether it is the digest of content that the store calls `digest` and `reader` gives.
    pub(super) fn is_of(&self, digest: &Digest, reader: impl Read) -> io::Result<bool> {
        match self.canonical() {
            Some(canonical) => Ok(canonical == *digest),
            None => Ok(sha512(reader)? == self.0),
        }
    }
}

fn sha512(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha512::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
    }
    let mut text = String::from("sha512:");
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    Ok(text)
}

impl FromStr for ContentDigest {
    type Err = ContentDigestError;

    fn from_str(text: &str) -> Result<Self, ContentDigestError> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let valid = match text.split_once(':') {
            Some(("sha256", digits)) => digits.len() == 64 && digits.bytes().all(hex),
            Some(("sha512", digits)) => digits.len() == 128 && digits.bytes().all(hex),
            _ => false,
        };
        if valid { Ok(Self(text.to_owned())) } else { Err(Self::error(text)) }
    }
}

impl ContentDigest {
    fn error(text: &str) -> ContentDigestError {
        ContentDigestError { text: text.to_owned() }
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = ContentDigestError;

    fn try_from(text: String) -> Result<Self, ContentDigestError> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.0
    }
}

impl From<Digest> for ContentDigest {
    fn from(digest: Digest) -> Self {
        Self(digest.into())
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_algorithms_are_known_and_nothing_else_is_a_digest() {
        let text = sha512(&b""[..]).unwrap();
        assert!(text.starts_with("sha512:cf83e1357eefb8bd"), "{text}");
        let long: ContentDigest = text.parse().unwrap();
        assert!(long.canonical().is_none() && long.is_of(&Digest::of(b""), &b""[..]).unwrap());
        assert!(!long.is_of(&Digest::of(b""), &b"x"[..]).unwrap());
        let short: ContentDigest = Digest::of(b"").into();
        assert_eq!(short.canonical(), Some(Digest::of(b"")));
        for bad in ["", "sha256:", "sha256:../..", "md5:00", "sha256:baddigeststring", &text[..90]]
        {
            assert!(bad.parse::<ContentDigest>().is_err(), "{bad}");
        }
    }
}
