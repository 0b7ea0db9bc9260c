//! A change that somebody asked for.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditEntry {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) token_id: String,
    pub(crate) token_name: String,
    /// Where the request came from.
    pub(crate) address: Option<IpAddr>,
    pub(crate) method: String,
    /// Without the query; names are in it, and no values.
    pub(crate) path: String,
    /// The answer's; `None` while there is none, and for good where a crash was faster.
    pub(crate) status: Option<u16>,
}
