//! Container applications.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    /// The configuration that its creation or the last rollout that was done has brought.
    #[serde(default)]
    pub(crate) settled: Option<Value>,
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

    /// What its instances run while no rollout is under way: the limits as they are wanted, and the
    /// image that the last rollout has brought.
    pub(crate) fn configuration(&self) -> Value {
        let mut configuration = self.wanted["configuration"].clone();
        if configuration.is_null() {
            configuration = json!({});
        }
        configuration["image"] = json!(self.image);
        configuration
    }

    /// What a rollout that begins now goes back to if it has to.
    pub(crate) fn settled(&self) -> Value {
        self.settled.clone().unwrap_or_else(|| self.configuration())
    }

    /// How long an instance has run at least when a rollout replaces it.
    pub(crate) fn active_grace(&self) -> std::time::Duration {
        let seconds = self.wanted["rollout_active_grace_period"].as_u64();
        std::time::Duration::from_secs(seconds.unwrap_or_default())
    }
}
