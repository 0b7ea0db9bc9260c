//! `/containers/applications…`, and what dashboards show of them.

use http::Response;
use serde_json::{Value, json};

use super::{Asked, Deployed, body};
use crate::containers::Containers;
use crate::envelope::{Body, Failure, page, success};
use crate::plan::InstanceView;
use crate::records::{ApplicationRecord, Rollout, RolloutStatus};
use crate::route::ContainersRoute;
use crate::wanted::images_of_objects;

pub(super) async fn answer(
    deployed: &Deployed,
    route: ContainersRoute,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let containers = &deployed.containers;
    let state = &containers.state;
    match route {
        ContainersRoute::Applications => {
            let name = asked.query("name");
            let all = state.applications()?;
            let named = all.iter().filter(|app| name.as_ref().is_none_or(|n| n == app.name()));
            Ok(page(&named.map(|app| shown(containers, app)).collect::<Vec<_>>()))
        }
        ContainersRoute::CreateApplication => {
            let made = containers.create(body::object(asked.body).await?).await?;
            Ok(success(&shown(containers, &made)))
        }
        ContainersRoute::Application(id) => {
            Ok(success(&shown(containers, &state.application(&id)?.value)))
        }
        ContainersRoute::ModifyApplication(id) => {
            let changed = containers.modify(&id, &body::object(asked.body).await?).await?;
            Ok(success(&shown(containers, &changed)))
        }
        ContainersRoute::DeleteApplication(id) => {
            containers.remove(&id).await?;
            Ok(success(&json!({})))
        }
        ContainersRoute::Rollouts(id) => {
            state.application(&id)?;
            Ok(page(&state.rollouts(&id)?.iter().map(rollout).collect::<Vec<_>>()))
        }
        ContainersRoute::CreateRollout(id) => {
            let started = containers.roll_out(&id, &body::object(asked.body).await?).await?;
            Ok(success(&rollout(&started)))
        }
        ContainersRoute::Dashboard => {
            let all = state.applications()?;
            Ok(page(&all.iter().map(|app| shown(containers, app)).collect::<Vec<_>>()))
        }
        ContainersRoute::Instances(id) => instances(containers, &id),
        ContainersRoute::PrepareImage => Err(images_of_objects()),
        ContainersRoute::Me | ContainersRoute::Credentials(_) => {
            Err(Failure::internal("answered before"))
        }
    }
}

fn instances_of(containers: &Containers, record: &ApplicationRecord) -> Vec<InstanceView> {
    record.namespace().map(|id| containers.platform.instances(id)).unwrap_or_default()
}

/// An application: what was wanted, and what is.
fn shown(containers: &Containers, record: &ApplicationRecord) -> Value {
    let mut value = record.wanted.clone();
    let instances = instances_of(containers, record);
    let count = |status: &str| instances.iter().filter(|one| one.status == status).count();
    let running = count("running");
    let live = instances.len() - count("stopped") - count("failed");
    value["id"] = json!(record.id);
    value["created_at"] = json!(record.created_at);
    value["updated_at"] = json!(record.updated_at);
    value["version"] = json!(record.version);
    value["instances"] = json!(live);
    value["image"] = json!(record.image);
    value["health"] = json!({"instances": {"active": live, "healthy": running,
        "failed": count("failed"), "starting": count("placed"), "scheduling": 0,
        "durable_objects_active": running, "assigned": running, "stopped": count("stopped")}});
    value
}

fn instances(containers: &Containers, id: &str) -> Result<Response<Body>, Failure> {
    let record = containers.state.application(id)?.value;
    let all = instances_of(containers, &record);
    let instance = |one: &InstanceView| {
        json!({"id": one.id, "app_version": record.version, "location": "local",
            "created_at": one.started_at,
            "current_placement": {"status": {"container_status": one.status, "health": one.status}}})
    };
    let object = |one: &InstanceView| {
        json!({"id": one.object, "name": Value::Null, "deployment_id": one.id,
            "assigned_at": one.started_at})
    };
    Ok(success(&json!({
        "instances": all.iter().map(instance).collect::<Vec<_>>(),
        "durable_objects": all.iter().map(object).collect::<Vec<_>>(),
    })))
}

fn rollout(rollout: &Rollout) -> Value {
    let step = |(number, percentage): (usize, &u32)| {
        let status = match rollout.status {
            _ if number < rollout.steps_done => RolloutStatus::Completed,
            RolloutStatus::Progressing if number > rollout.steps_done => RolloutStatus::Pending,
            status => status,
        };
        json!({"id": number + 1, "step_size": {"percentage": percentage}, "status": status})
    };
    json!({
        "id": rollout.id,
        "created_at": rollout.created_at,
        "last_updated_at": rollout.updated_at,
        "description": rollout.description,
        "status": rollout.status,
        "reason": rollout.reason,
        "strategy": "rolling",
        "kind": "full_auto",
        "target_configuration": rollout.target_configuration,
        "steps": rollout.steps.iter().enumerate().map(step).collect::<Vec<_>>(),
    })
}
