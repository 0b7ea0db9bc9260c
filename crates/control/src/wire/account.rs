//! Who asks, what the account has, and who has changed what.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::records::Scope;

/// What a token is worth.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TokenState {
    pub(crate) id: String,
    /// `active`: no other is told of itself.
    pub(crate) status: &'static str,
    pub(crate) expires_on: Option<Timestamp>,
    /// What its owner calls it. Beyond Cloudflare, as are its scopes.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) scopes: Vec<Scope>,
}

/// The user that a token stands for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct User {
    pub(crate) id: String,
    /// The token's name, in the form of an address.
    pub(crate) email: String,
}

/// An account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// Whose account something is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AccountName {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl AccountName {
    /// Accounts have no names of their own here.
    pub(crate) fn of(account: &str) -> Self {
        Self { id: account.to_owned(), name: account.to_owned() }
    }
}

/// A user's part in an account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Membership {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) account: Account,
    pub(crate) roles: Vec<&'static str>,
}

/// A zone: any name is one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Zone {
    /// Its name in hex.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: &'static str,
    pub(crate) account: AccountName,
}

/// A route of a zone's hosts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ZoneRoute {
    pub(crate) id: String,
    pub(crate) pattern: String,
    /// The Worker's name.
    pub(crate) script: String,
}

/// One line of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditLine {
    pub(crate) id: Uuid,
    pub(crate) account: AccountName,
    pub(crate) action: AuditAction,
    pub(crate) actor: AuditActor,
    pub(crate) raw: AuditRequest,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditAction {
    /// `create`, `update` or `delete`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) time: Timestamp,
    /// `success` or `failure`; `null` where a crash came between.
    pub(crate) result: Option<&'static str>,
}

/// Who did it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditActor {
    pub(crate) context: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) ip_address: Option<IpAddr>,
    pub(crate) token_id: String,
    pub(crate) token_name: String,
}

/// The request that it was done by.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditRequest {
    pub(crate) method: String,
    /// Its path, without the query.
    pub(crate) uri: String,
    pub(crate) status_code: Option<u16>,
}

/// What containers may use.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ContainersAccount {
    pub(crate) external_account_id: String,
    pub(crate) legacy_identity: String,
    pub(crate) limits: ContainersLimits,
    pub(crate) locations: Vec<String>,
    pub(crate) defaults: ContainersDefaults,
}

/// What one instance may use, and all together.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ContainersLimits {
    pub(crate) account_id: String,
    pub(crate) vcpu_per_deployment: f64,
    pub(crate) memory_mib_per_deployment: u64,
    pub(crate) memory_per_deployment: String,
    pub(crate) disk_mb_per_deployment: u64,
    pub(crate) disk_per_deployment: String,
    pub(crate) network_modes: Vec<&'static str>,
    pub(crate) total_vcpu: f64,
    pub(crate) total_memory_mib: u64,
    pub(crate) total_disk_mb: u64,
    pub(crate) total_image_bytes: u64,
}

/// What an instance has when nobody says anything.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ContainersDefaults {
    pub(crate) vcpus: f64,
    pub(crate) memory_mib: u64,
    pub(crate) disk_mb: u64,
}
