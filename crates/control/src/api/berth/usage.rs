//! `…/berth/usage` and `…/berth/instances/<id>/processes`: what instances use, and what runs in them.

use http::Response;
use jiff::Timestamp;

use super::refused;
use crate::containers::Containers;
use crate::envelope::{Body, Failure, success};
use crate::plan::UsageView;
use crate::records::ApplicationRecord;
use crate::wire::{InstanceUsage, Usage};

pub(super) async fn processes(
    containers: &Containers,
    id: &str,
) -> Result<Response<Body>, Failure> {
    containers.find_instance(id)?;
    let processes = containers.platform.processes(id).await.map_err(refused)?;
    Ok(success(&processes))
}

/// Of all applications, or of one.
pub(super) async fn all(
    containers: &Containers,
    application: Option<String>,
) -> Result<Response<Body>, Failure> {
    let applications = match application {
        Some(id) => vec![containers.state.application(&id)?.value],
        None => containers.state.applications()?,
    };
    let used = containers.platform.usage().await;
    Ok(success(&Usage { time: Timestamp::now(), instances: shown(&applications, &used) }))
}

/// What instances of these applications use, application by application.
fn shown(applications: &[ApplicationRecord], used: &[UsageView]) -> Vec<InstanceUsage> {
    let of = |application: &ApplicationRecord| {
        let mut own: Vec<&UsageView> = used
            .iter()
            .filter(|one| application.namespace() == Some(one.namespace_id.as_str()))
            .collect();
        own.sort_by(|one, other| one.id.cmp(&other.id));
        let one = |one: &UsageView| InstanceUsage {
            instance: one.id.clone(),
            application: application.name().to_owned(),
            durable_object: one.object.clone(),
            cpu_seconds: one.cpu_seconds,
            memory_bytes: one.memory_bytes,
            processes: one.processes,
            limits: one.limits.into(),
        };
        own.into_iter().map(one).collect::<Vec<_>>()
    };
    applications.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use model::InstanceType;
    use serde_json::json;

    use super::*;

    #[test]
    fn instances_are_told_with_their_application_and_their_limits_and_strangers_are_not() {
        let application = ApplicationRecord {
            id: "a".into(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            version: 1,
            wanted: json!({"name": "app", "durable_objects": {"namespace_id": "n"}}),
            image: None,
            rollouts: 0,
            settled: None,
        };
        let object: model::DurableObjectId = "0".repeat(64).try_into().unwrap();
        let used = |id: &str, namespace: &str| UsageView {
            id: id.into(),
            object: object.clone(),
            namespace_id: namespace.into(),
            cpu_seconds: 1.5,
            memory_bytes: 7,
            processes: 2,
            limits: InstanceType::Lite.limits(),
        };
        let shown = shown(&[application], &[used("2", "n"), used("3", "m"), used("1", "n")]);
        let shown = serde_json::to_value(&shown).unwrap();
        let ids: Vec<_> = shown.as_array().unwrap().iter().map(|one| &one["instance"]).collect();
        assert_eq!(ids, ["1", "2"]);
        assert_eq!(shown[0]["application"], "app");
        assert_eq!(shown[0]["limits"]["memory_mib"], 256);
    }
}
