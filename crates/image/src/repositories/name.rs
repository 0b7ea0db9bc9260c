//! Names in a registry: repositories and tags, as the distribution specification spells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::reference::{check_repository, check_tag};

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no {what}: {reason}")]
pub struct NameError {
    what: &'static str,
    text: String,
    reason: String,
}

/// A repository's name: `library/nginx`. It is a path that leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(String);

/// A tag: `v1.2`. It is a file name that leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl RepositoryName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its first part is `account`.
    #[must_use]
    pub fn is_below(&self, account: &str) -> bool {
        self.0.split_once('/').is_some_and(|(first, _)| first == account)
    }
}

impl Tag {
    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match check_repository(text) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(reason) => Err(NameError { what: "repository", text: text.to_owned(), reason }),
        }
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match check_tag(text) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(reason) => Err(NameError { what: "tag", text: text.to_owned(), reason }),
        }
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_directory_or_into_our_own_files() {
        for bad in ["", "..", "a/../b", "/a", "a/", "_tags", "a/_tags", "A", "a\0"] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "-x", &"a".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_account_has_what_lies_below_its_name() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        assert!(name("acc/app").is_below("acc") && name("acc/a/b").is_below("acc"));
        assert!(!name("acc").is_below("acc") && !name("account/app").is_below("acc"));
    }
}
