//! What Cloudflare's API does not have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to stop instances.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StopWish {
    /// Time between SIGTERM and SIGKILL; the platform's where it is left out.
    pub(crate) grace_seconds: Option<u32>,
}

/// An instance that was told to end.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoppedInstance {
    pub(crate) id: String,
}

/// Instances that were told to end.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoppedInstances {
    /// Their ids.
    pub(crate) instances: Vec<String>,
}

/// A program that runs when its WebSocket is opened.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PreparedExec {
    pub(crate) id: String,
}
