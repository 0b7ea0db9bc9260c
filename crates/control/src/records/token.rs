//! Who may do what.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token, without the text that its owner presents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names it in lists; part of its text.
    pub id: String,
    /// What its owner calls it; written beside everything that is done with it.
    pub name: String,
    /// SHA-256 of its secret, in hex: the secret is random and long, so that no salt is needed.
    pub hash: String,
    /// What may be done with it.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_on: Timestamp,
    /// From when on it is worth nothing.
    pub expires_on: Option<Timestamp>,
}

impl Token {
    /// Whether it still counts.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_on.is_none_or(|end| now < end)
    }

    /// Whether it allows this.
    #[must_use]
    pub fn allows(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| *scope == wanted || scope.includes(wanted))
    }
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
    /// Deploying Workers, their secrets and settings.
    #[serde(rename = "workers:write")]
    WorkersWrite,
    /// Container applications, images and credentials for the registry.
    #[serde(rename = "containers:write")]
    ContainersWrite,
    /// Looking.
    #[serde(rename = "read")]
    Read,
}

impl Scope {
    /// Every scope by its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("admin", Self::Admin),
        ("workers:write", Self::WorkersWrite),
        ("containers:write", Self::ContainersWrite),
        ("read", Self::Read),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let (name, _) = Self::ALL[self as usize];
        name
    }

    fn includes(self, other: Self) -> bool {
        self == Self::Admin || other == Self::Read
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, scope)| *scope).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("`{text}` is no scope; they are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_its_name() {
        for (name, scope) in Scope::ALL {
            assert_eq!((name.parse(), scope.name()), (Ok(scope), name));
            assert_eq!(serde_json::to_value(scope).unwrap(), name);
        }
        assert!("workers".parse::<Scope>().unwrap_err().contains("workers:write"));
    }

    #[test]
    fn a_token_allows_its_scopes_and_what_they_include() {
        let allowed = |scopes: &[Scope]| {
            let token = Token {
                id: "1".into(),
                name: "ci".into(),
                hash: String::new(),
                scopes: scopes.to_vec(),
                created_on: Timestamp::UNIX_EPOCH,
                expires_on: None,
            };
            Scope::ALL.map(|(_, scope)| token.allows(scope))
        };
        assert_eq!(allowed(&[Scope::Admin]), [true; 4]);
        assert_eq!(allowed(&[Scope::WorkersWrite]), [false, true, false, true]);
        assert_eq!(allowed(&[Scope::Read]), [false, false, false, true]);
        assert_eq!(allowed(&[]), [false; 4]);
    }
}
