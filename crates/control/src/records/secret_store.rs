//! The Secrets Store: secrets of an account, which Workers and containers' registries refer to by name.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::seal::Sealed;

/// A store of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretStore {
    /// 32 hex digits.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}

/// A secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSecret {
    /// 32 hex digits; its text is encrypted for it.
    pub(crate) id: String,
    pub(crate) store_id: String,
    /// No other secret of the store has it.
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) comment: Option<String>,
    /// What may use it.
    pub(crate) scopes: Vec<SecretScope>,
    pub(crate) text: Sealed,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}

/// Who may use a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretScope {
    /// Bindings of Workers.
    Workers,
    /// Credentials of containers' registries.
    Containers,
    /// Cloudflare's AI Gateway, which is not here: such a secret is kept, and nothing asks for it.
    AiGateway,
    /// Cloudflare's access to other machines; the same.
    Access,
}

impl StoredSecret {
    /// Where its text may be read: it is encrypted for that place.
    pub(crate) fn place(id: &str) -> String {
        format!("secrets-store/{id}")
    }
}
