//! Credentials for the registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::Failure;

/// Longest life of a credential.
const MOST_MINUTES: u32 = 24 * 60;
/// Its life when none is asked for.
const MINUTES: u32 = 15;

/// What a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Pulling.
    Pull,
    /// Pushing and deleting.
    Push,
}

/// A user name with its password.
#[derive(Clone)]
pub struct RegistryCredential {
    /// The user name.
    pub username: String,
    /// The password; never shown.
    pub password: String,
}

impl std::fmt::Debug for RegistryCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryCredential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Who gives credentials: the registry.
pub trait RegistryCredentials: Send + Sync {
    /// A credential for an account that lasts so many minutes.
    fn issue(&self, account: &str, permissions: &[Permission], minutes: u32) -> RegistryCredential;
}

/// The body of `POST …/credentials`.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "CredentialWish")]
pub(crate) struct Wanted {
    #[serde(default = "minutes")]
    expiration_minutes: u32,
    permissions: Vec<Permission>,
}

fn minutes() -> u32 {
    MINUTES
}

impl Wanted {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Failure> {
        let wanted: Self = serde_json::from_slice(body)
            .map_err(|error| Failure::bad_request(format!("VALIDATE_INPUT: {error}")))?;
        if wanted.permissions.is_empty() {
            return Err(Failure::bad_request("VALIDATE_INPUT: permissions are pull, push or both"));
        }
        if !(1..=MOST_MINUTES).contains(&wanted.expiration_minutes) {
            let message = format!("VALIDATE_INPUT: expiration_minutes is 1 to {MOST_MINUTES}");
            return Err(Failure::bad_request(message));
        }
        Ok(wanted)
    }
}

/// What is answered.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Credential")]
pub(crate) struct Given {
    account_id: String,
    registry_host: String,
    username: String,
    password: String,
}

pub(crate) fn give(
    registry: &dyn RegistryCredentials,
    account: &str,
    host: &str,
    wanted: &Wanted,
) -> Given {
    let given = registry.issue(account, &wanted.permissions, wanted.expiration_minutes);
    Given {
        account_id: account.to_owned(),
        registry_host: host.to_owned(),
        username: given.username,
        password: given.password,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_for_and_how_long() {
        let wanted = Wanted::parse(br#"{"expiration_minutes":5,"permissions":["push","pull"]}"#);
        let permissions = vec![Permission::Push, Permission::Pull];
        assert_eq!(wanted, Ok(Wanted { expiration_minutes: 5, permissions }));
        let short = Wanted::parse(br#"{"permissions":["pull"]}"#).unwrap();
        assert_eq!(short.expiration_minutes, MINUTES);
        for bad in [
            "",
            "{}",
            r#"{"permissions":[]}"#,
            r#"{"permissions":["admin"]}"#,
            r#"{"permissions":["pull"],"expiration_minutes":0}"#,
            r#"{"permissions":["pull"],"expiration_minutes":1441}"#,
            r#"{"permissions":["pull"],"expiration_minutes":-1}"#,
        ] {
            assert!(Wanted::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
