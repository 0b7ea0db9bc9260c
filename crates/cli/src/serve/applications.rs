//! Container applications between the control plane's words and the agent's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use agent::{ApplicationRuntime, InstanceSummary, Staged};
use control::plan::{ApplicationPlan, InstanceStatus, InstanceView, StagedPlan};
use image::Image;
use model::instance::State;

/// Images that a start may choose from, by the names that workerd asks for.
pub(crate) type Choices = BTreeMap<String, Image>;

/// The images of applications, by namespace and version, with the references they were got by.
#[derive(Debug, Default)]
pub(crate) struct Versions(HashMap<(String, u32), (String, Image)>);

impl Versions {
    /// The image of a version, if it was got by this reference.
    pub(crate) fn find(&self, namespace: &str, version: u32, reference: &str) -> Option<Image> {
        let (known, image) = self.0.get(&(namespace.to_owned(), version))?;
        (known == reference).then(|| image.clone())
    }

    pub(crate) fn add(&mut self, namespace: &str, version: u32, reference: &str, image: Image) {
        self.0.insert((namespace.to_owned(), version), (reference.to_owned(), image));
    }

    /// Forgets all other versions of a namespace.
    pub(crate) fn keep(&mut self, namespace: &str, versions: &[u32]) {
        self.0.retain(|(of, version), _| of != namespace || versions.contains(version));
    }
}

/// What the agent is told of an application.
pub(crate) fn of_plan(plan: &ApplicationPlan, image: Option<Image>) -> ApplicationRuntime {
    ApplicationRuntime {
        application: plan.application.clone(),
        id: plan.id.clone(),
        unique_key: plan.namespace_id.clone(),
        image_name: None,
        image,
        choices: BTreeMap::new(),
        version: plan.version,
        staged: None,
    }
}

/// What it is told of the version that a rollout brings.
pub(crate) fn of_staged(plan: &ApplicationPlan, staged: &StagedPlan, image: Image) -> Staged {
    let version = ApplicationRuntime {
        application: staged.application.clone(),
        version: staged.version,
        ..of_plan(plan, Some(image))
    };
    Staged { share: staged.share, version: Arc::new(version) }
}

/// An instance; `silent_port` was waited for in vain.
pub(crate) fn view(instance: &InstanceSummary, silent_port: Option<u16>) -> InstanceView {
    InstanceView {
        id: instance.instance.to_string(),
        object: instance.object.clone(),
        version: instance.version,
        status: status(&instance.state),
        listens: instance.listens,
        silent_port,
        running_for: instance.running_for,
    }
}

fn status(state: &State) -> InstanceStatus {
    match state {
        State::Running | State::Detached { .. } => InstanceStatus::Running,
        State::Stopping { .. } | State::Killing => InstanceStatus::Stopping,
        // 128 and a signal: that is how a program ends that is told to.
        State::Exited { status, .. }
            if status.out_of_memory || (1..=128).contains(&status.code) =>
        {
            InstanceStatus::Failed
        }
        State::Failed { .. } => InstanceStatus::Failed,
        state if state.is_over() => InstanceStatus::Stopped,
        _ => InstanceStatus::Placed,
    }
}
