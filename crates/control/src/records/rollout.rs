//! Rollouts: how a container application gets from one configuration to another.

use jiff::Timestamp;
use model::Share;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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
    /// What the client asked instances to run when it is done.
    pub(crate) target_configuration: Value,
    /// The same, whole; `null` in a record of a Berth that did not keep it.
    #[serde(default)]
    pub(crate) configuration: Value,
    /// What instances ran before, whole.
    #[serde(default)]
    pub(crate) previous_configuration: Option<Value>,
    /// Who says when a step begins.
    #[serde(default)]
    pub(crate) kind: RolloutKind,
    /// How many of a hundred instances have been replaced after each step.
    #[serde(default)]
    pub(crate) steps: Vec<u32>,
    /// What the client says of each step.
    #[serde(default)]
    pub(crate) descriptions: Vec<String>,
    /// The steps that have begun and were not gone back from.
    #[serde(default)]
    pub(crate) runs: Vec<StepRun>,
    /// How many steps may begin: all of them, or as many as somebody has asked for.
    #[serde(default = "every")]
    pub(crate) wanted_steps: usize,
    /// Whether instances go back to what they ran.
    #[serde(default)]
    pub(crate) reverting: bool,
    /// What instances ran before: in records that have no [`Self::previous_configuration`].
    #[serde(default)]
    pub(crate) previous_image: Option<String>,
}

fn every() -> usize {
    usize::MAX
}

/// One step that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepRun {
    /// Whose objects run the target from its beginning on.
    pub(crate) share: Share,
    pub(crate) started_at: Timestamp,
    /// How many instances it has asked to end.
    #[serde(default)]
    pub(crate) stopped: usize,
    /// When the last of them had ended.
    #[serde(default)]
    pub(crate) replaced_at: Option<Timestamp>,
    /// When its new instances were found well.
    #[serde(default)]
    pub(crate) completed_at: Option<Timestamp>,
}

/// Who says when a step of a rollout begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RolloutKind {
    /// The end of the one before.
    #[default]
    FullAuto,
    /// Somebody.
    FullManual,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RolloutStatus {
    /// Nothing has begun.
    Pending,
    /// Some of its steps have begun.
    Progressing,
    /// All instances that start from now on run the target.
    Completed,
    /// It could not be done, or was not wanted any more; instances run what they ran.
    Reverted,
    /// Another came before it was done.
    Replaced,
}

impl RolloutStatus {
    /// Whether nothing more happens by it.
    pub(crate) fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::Progressing)
    }
}

impl Rollout {
    /// The version of its application that it brings. Each rollout has another one, so that what a
    /// reverted one started is never taken for what a later one wants.
    pub(crate) fn target_version(&self) -> u32 {
        self.number + 1
    }

    /// Whose objects run the target now.
    pub(crate) fn share(&self) -> Share {
        match self.runs.last() {
            Some(run) if !self.reverting => run.share,
            _ => Share::NONE,
        }
    }

    /// The same, when another one came before it was done.
    pub(crate) fn replaced(self, at: Timestamp) -> Self {
        let reason = "another rollout came before it was done".into();
        Self { status: RolloutStatus::Replaced, reason, updated_at: at, ..self }
    }

    /// The steps that are done.
    pub(crate) fn steps_done(&self) -> usize {
        self.runs.iter().filter(|run| run.completed_at.is_some()).count()
    }
}
