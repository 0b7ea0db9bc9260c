//! Container applications and their rollouts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A container application: what every instance of one Durable Object class runs in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ApplicationRecord {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Grows with each change of what its instances run.
    pub(crate) version: u32,
    /// As the client wants it, and is shown it: a field that is not known here is kept.
    pub(crate) wanted: Value,
    /// What its instances run, while a rollout has not brought what is wanted.
    pub(crate) image: Option<String>,
    /// How many rollouts there were.
    pub(crate) rollouts: u32,
}

impl ApplicationRecord {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.wanted["name"].as_str().unwrap_or_default()
    }

    /// The namespace whose objects own its instances.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.wanted["durable_objects"]["namespace_id"].as_str()
    }
}

/// One change of what the instances run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) id: Uuid,
    /// Counts from 1.
    pub(crate) number: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) description: String,
    pub(crate) status: RolloutStatus,
    /// Why it stands where it stands.
    pub(crate) reason: String,
    /// What instances run when it is done.
    pub(crate) target_configuration: Value,
    /// How many of a hundred instances have been replaced after each step.
    #[serde(default)]
    pub(crate) steps: Vec<u32>,
    #[serde(default)]
    pub(crate) steps_done: usize,
    /// What instances ran before.
    #[serde(default)]
    pub(crate) previous_image: Option<String>,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RolloutStatus {
    /// Not yet begun: of a step.
    Pending,
    /// Instances are being replaced.
    Progressing,
    /// All instances that start from now on run the target.
    Completed,
    /// It could not be done; instances run what they ran.
    Reverted,
    /// Another came before it was done.
    Replaced,
}
