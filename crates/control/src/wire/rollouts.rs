//! Rollouts of container applications.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::containers::ConfigurationWish;
use crate::records::{RolloutKind, RolloutStatus};

/// A rollout to be begun. It has `steps` or `step_percentage`, not both; one step without either.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "the document alone reads it: each field is looked at where it is used"
)]
pub(crate) struct RolloutWish {
    description: Option<String>,
    /// `rolling`.
    strategy: Option<String>,
    /// `full_auto` where it is left out.
    kind: Option<RolloutKind>,
    /// Steps of this size, in percent.
    step_percentage: Option<u32>,
    /// Percentages that grow up to 100.
    steps: Option<Vec<StepWish>>,
    /// What instances run when it is done; laid over what they run now.
    target_configuration: ConfigurationWish,
}

/// A step of it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct StepWish {
    step_size: StepSize,
    description: Option<String>,
}

/// What a rollout is asked to do.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct RolloutMove {
    action: RolloutAction,
}

/// Where to.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "as above")]
pub(crate) enum RolloutAction {
    /// Begin the next step.
    Next,
    /// Undo the last step.
    Previous,
    /// Undo all steps.
    Revert,
    /// The same, as the first clients called it.
    Rollback,
}

/// How many instances have been replaced after a step.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StepSize {
    pub(crate) percentage: u32,
}

/// A rollout.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RolloutView {
    pub(crate) id: Uuid,
    pub(crate) created_at: Timestamp,
    pub(crate) last_updated_at: Timestamp,
    /// `null` while no step has begun.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) description: String,
    pub(crate) status: RolloutStatus,
    /// Why it stands where it stands.
    pub(crate) reason: String,
    pub(crate) strategy: &'static str,
    pub(crate) kind: RolloutKind,
    pub(crate) target_version: u32,
    pub(crate) current_version: u32,
    /// As it was asked for.
    pub(crate) target_configuration: Value,
    pub(crate) current_configuration: Value,
    pub(crate) progress: RolloutProgress,
    pub(crate) steps: Vec<RolloutStepView>,
}

/// How far a rollout is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RolloutProgress {
    pub(crate) total_steps: usize,
    pub(crate) current_step: usize,
    pub(crate) completed_steps: usize,
    pub(crate) updated_instances: usize,
    pub(crate) total_instances: usize,
}

/// A step of a rollout.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RolloutStepView {
    /// Counts from 1.
    pub(crate) id: usize,
    /// `pending`, `progressing`, `completed`, `reverting` or `reverted`.
    pub(crate) status: &'static str,
    pub(crate) step_size: StepSize,
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) completed_at: Option<Timestamp>,
    /// Of the last step that has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}
