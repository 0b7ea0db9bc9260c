//! Secrets of Workers, and the Secrets Store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::records::SecretScope;

/// A secret as clients send it.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct SecretText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Secrets to set and to remove.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct SecretsWish {
    /// By their names; `null` removes one.
    pub(crate) secrets: BTreeMap<String, Option<SecretTexts>>,
}

/// The text of one of many.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SecretOfMany")]
pub(crate) struct SecretTexts {
    pub(crate) text: String,
}

/// A secret, without its text.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SecretView {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// A store of secrets to be made.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct NewStore {
    pub(crate) name: String,
}

/// A store of secrets.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoreView {
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}

/// A secret of a store, without its text.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoredSecretView {
    pub(crate) id: String,
    pub(crate) store_id: String,
    pub(crate) name: String,
    pub(crate) comment: String,
    /// What may use it.
    pub(crate) scopes: Vec<SecretScope>,
    pub(crate) status: &'static str,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
