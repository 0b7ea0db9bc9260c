//! `/containers/applications…`, and what dashboards show of them.

use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Asked, Deployed, body, ssh};
use crate::containers::{Action, Containers, Preparation};
use crate::envelope::{Body, Failure, page, success};
use crate::external_registries;
use crate::plan::InstanceView;
use crate::records::{ApplicationRecord, Rollout, RolloutStatus};
use crate::route::ContainersRoute;

pub(super) async fn answer(
    deployed: &Deployed,
    own_registries: &[String],
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
            let all = state.rollouts(&id)?;
            let all: Result<Vec<_>, _> =
                all.iter().map(|one| rollout(containers, &id, one)).collect();
            Ok(page(&all?))
        }
        ContainersRoute::CreateRollout(id) => {
            let started = containers.roll_out(&id, &body::object(asked.body).await?).await?;
            Ok(success(&rollout(containers, &id, &started)?))
        }
        ContainersRoute::Rollout(id, one) => {
            Ok(success(&rollout(containers, &id, &containers.rollout(&id, &one)?)?))
        }
        ContainersRoute::UpdateRollout(id, one) => {
            let action = Action::parse(&body::object(asked.body).await?)?;
            let moved = containers.update_rollout(&id, &one, action).await?;
            Ok(success(&rollout(containers, &id, &moved)?))
        }
        ContainersRoute::DeleteRollout(id, one) => {
            containers.remove_rollout(&id, &one).await?;
            Ok(success(&json!({})))
        }
        ContainersRoute::Dashboard => {
            let all = state.applications()?;
            Ok(page(&all.iter().map(|app| shown(containers, app)).collect::<Vec<_>>()))
        }
        ContainersRoute::Instances(id) => instances(containers, &id),
        ContainersRoute::SshTicket(id) => ssh::ticket(containers, &id, &asked.head),
        ContainersRoute::Registries => {
            let all = state.external_registries()?;
            Ok(page(&all.iter().map(external_registries::shown).collect::<Vec<_>>()))
        }
        ContainersRoute::AddRegistry => {
            let wanted = body::object(asked.body).await?;
            let added = containers.add_registry(own_registries, &wanted)?;
            Ok(success(&external_registries::shown(&added)))
        }
        ContainersRoute::DeleteRegistry(domain) => {
            Ok(success(&external_registries::shown(&containers.remove_registry(&domain)?)))
        }
        ContainersRoute::PrepareImage => {
            prepare(containers, &body::object(asked.body).await?).await
        }
    }
}

async fn prepare(containers: &Containers, wanted: &Value) -> Result<Response<Body>, Failure> {
    let image = wanted["image"].as_str().filter(|image| !image.is_empty());
    let image = image.ok_or_else(|| Failure::bad_request("VALIDATE_INPUT: image is missing"))?;
    let mut value = json!({ "image": image });
    match containers.prepare(image).await {
        Preparation::Pending => value["status"] = json!("pending"),
        Preparation::Ready(digest) => {
            value["status"] = json!("ready");
            value["artifact_digest"] = json!(digest);
        }
        Preparation::Failed(reason) => {
            value["status"] = json!("error");
            value["reason"] = json!(reason);
        }
    }
    Ok(success(&value))
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
        let version = if one.version == 0 { record.version } else { one.version };
        json!({"id": one.id, "app_version": version, "location": "local",
            "created_at": started_at(one),
            "current_placement": {"status": {"container_status": one.status, "health": one.status}}})
    };
    let object = |one: &InstanceView| {
        json!({"id": one.object, "name": Value::Null, "deployment_id": one.id,
            "assigned_at": started_at(one)})
    };
    Ok(success(&json!({
        "instances": all.iter().map(instance).collect::<Vec<_>>(),
        "durable_objects": all.iter().map(object).collect::<Vec<_>>(),
    })))
}

/// Since when an instance runs, as the clock on the wall counts now.
fn started_at(one: &InstanceView) -> Option<Timestamp> {
    Timestamp::now().checked_sub(one.running_for?).ok()
}

fn rollout(containers: &Containers, id: &str, rollout: &Rollout) -> Result<Value, Failure> {
    let record = containers.state.application(id)?.value;
    let instances = instances_of(containers, &record);
    let live = instances.iter().filter(|one| matches!(one.status, "running" | "placed"));
    let (new, old): (Vec<_>, Vec<_>) =
        live.partition(|one| one.version == rollout.target_version());
    let steps = (0..rollout.steps.len()).map(|number| step(rollout, number));
    Ok(json!({
        "id": rollout.id,
        "created_at": rollout.created_at,
        "last_updated_at": rollout.updated_at,
        "started_at": rollout.runs.first().map(|run| run.started_at),
        "description": rollout.description,
        "status": rollout.status,
        "reason": rollout.reason,
        "strategy": "rolling",
        "kind": rollout.kind,
        "target_version": rollout.target_version(),
        "current_version": record.version,
        "target_configuration": rollout.target_configuration,
        "current_configuration": record.configuration(),
        "progress": {"total_steps": rollout.steps.len(), "current_step": rollout.runs.len(),
            "completed_steps": rollout.steps_done(),
            "updated_instances": new.len(), "total_instances": new.len() + old.len()},
        "steps": steps.collect::<Vec<_>>(),
    }))
}

/// One step, counted from 0.
fn step(rollout: &Rollout, number: usize) -> Value {
    let run = rollout.runs.get(number);
    let done = run.is_some_and(|run| run.completed_at.is_some());
    let status = match (rollout.status, run) {
        (RolloutStatus::Reverted, Some(_)) => "reverted",
        _ if rollout.reverting && run.is_some() => "reverting",
        (_, Some(_)) if done => "completed",
        (RolloutStatus::Progressing, Some(_)) => "progressing",
        (RolloutStatus::Completed, _) => "completed",
        _ => "pending",
    };
    let mut value = json!({"id": number + 1, "status": status,
        "step_size": {"percentage": rollout.steps[number]},
        "description": rollout.descriptions.get(number).cloned().unwrap_or_default()});
    if let Some(run) = run {
        value["started_at"] = json!(run.started_at);
        if let Some(at) = run.completed_at {
            value["completed_at"] = json!(at);
        }
        if number + 1 == rollout.runs.len() {
            value["reason"] = json!(rollout.reason);
        }
    }
    value
}
