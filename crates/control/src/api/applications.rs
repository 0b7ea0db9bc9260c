//! `/containers/applications…`, and what dashboards show of them.

use http::Response;
use jiff::{Timestamp, Unit};
use serde_json::Value;

use super::{Asked, Deployed, body, ssh};
use crate::containers::{Action, Containers, Preparation};
use crate::envelope::{Body, Failure, page, success, token_page};
use crate::external_registries;
use crate::pages::{PageWish, Part};
use crate::plan::{InstanceStatus, InstanceView};
use crate::records::{ApplicationRecord, Rollout, RolloutStatus};
use crate::route::ContainersRoute;
use crate::wire::{
    ApplicationHealth, ApplicationView, CurrentPlacement, Empty, HealthCounts, InstanceShown,
    Instances, ObjectShown, PlacementStatus, PreparedImage, RolloutProgress, RolloutStepView,
    RolloutView, StepSize,
};

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
            Ok(success(&Empty {}))
        }
        ContainersRoute::Rollouts(id) => {
            state.application(&id)?;
            let all = state.rollouts(&id)?;
            let all = all.iter().map(|one| rollout(containers, &id, one));
            Ok(page(&all.collect::<Result<Vec<_>, _>>()?))
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
            Ok(success(&Empty {}))
        }
        ContainersRoute::Dashboard => dashboard(containers, &page_wish(&asked)?),
        ContainersRoute::Instances(id) => instances(containers, &id, &page_wish(&asked)?),
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
    let (status, artifact_digest, reason) = match containers.prepare(image).await {
        Preparation::Pending => ("pending", None, None),
        Preparation::Ready(digest) => ("ready", Some(digest), None),
        Preparation::Failed(reason) => ("error", None, Some(reason)),
    };
    let image = image.to_owned();
    Ok(success(&PreparedImage { image, status, artifact_digest, reason }))
}

fn instances_of(containers: &Containers, record: &ApplicationRecord) -> Vec<InstanceView> {
    record.namespace().map(|id| containers.platform.instances(id)).unwrap_or_default()
}

/// An application: what was wanted, and what is.
fn shown(containers: &Containers, record: &ApplicationRecord) -> ApplicationView {
    let instances = instances_of(containers, record);
    let count =
        |status: InstanceStatus| instances.iter().filter(|one| one.status == status).count();
    let (running, placed) = (count(InstanceStatus::Running), count(InstanceStatus::Placed));
    let (stopped, failed) = (count(InstanceStatus::Stopped), count(InstanceStatus::Failed));
    let live = instances.len() - stopped - failed;
    let counts = HealthCounts {
        active: live,
        healthy: running,
        failed,
        starting: placed,
        scheduling: 0,
        durable_objects_active: running,
        assigned: running,
        stopped,
    };
    ApplicationView {
        wanted: record.wanted.clone(),
        id: record.id.clone(),
        created_at: record.created_at,
        updated_at: record.updated_at,
        version: record.version,
        instances: live,
        image: record.image.clone(),
        health: ApplicationHealth { instances: counts },
    }
}

fn page_wish(asked: &Asked) -> Result<PageWish, Failure> {
    PageWish::parse(asked.query("per_page").as_deref(), asked.query("page_token"))
}

/// Orders applications, the oldest first.
fn by_age(record: &ApplicationRecord) -> String {
    format!("{:020}.{}", record.created_at.as_nanosecond(), record.id)
}

fn dashboard(containers: &Containers, wish: &PageWish) -> Result<Response<Body>, Failure> {
    let Part { items, next } = wish.of(containers.state.applications()?, by_age);
    let items: Vec<_> = items.iter().map(|app| shown(containers, app)).collect();
    Ok(token_page(&items, wish, next.as_deref()))
}

fn instances(
    containers: &Containers,
    id: &str,
    wish: &PageWish,
) -> Result<Response<Body>, Failure> {
    let record = containers.state.application(id)?.value;
    let Part { items: all, next } =
        wish.of(instances_of(containers, &record), |one| one.id.clone());
    let instance = |one: &InstanceView| InstanceShown {
        id: one.id.clone(),
        app_version: if one.version == 0 { record.version } else { one.version },
        location: "local",
        created_at: started_at(one),
        current_placement: CurrentPlacement {
            status: PlacementStatus { container_status: one.status, health: one.status },
        },
    };
    let object = |one: &InstanceView| ObjectShown {
        id: one.object.clone(),
        name: None,
        deployment_id: one.id.clone(),
        assigned_at: started_at(one),
    };
    let shown = Instances {
        instances: all.iter().map(instance).collect(),
        durable_objects: all.iter().map(object).collect(),
    };
    Ok(token_page(&shown, wish, next.as_deref()))
}

/// Since when an instance runs, as the clock on the wall counts now; to a second, so that whoever asks
/// again is told the same.
fn started_at(one: &InstanceView) -> Option<Timestamp> {
    Timestamp::now().checked_sub(one.running_for?).ok()?.round(Unit::Second).ok()
}

fn rollout(containers: &Containers, id: &str, rollout: &Rollout) -> Result<RolloutView, Failure> {
    let record = containers.state.application(id)?.value;
    let instances = instances_of(containers, &record);
    let live = instances.iter().filter(|one| one.status.is_live());
    let (new, old): (Vec<_>, Vec<_>) =
        live.partition(|one| one.version == rollout.target_version());
    let steps = (0..rollout.steps.len()).map(|number| step(rollout, number));
    Ok(RolloutView {
        id: rollout.id,
        created_at: rollout.created_at,
        last_updated_at: rollout.updated_at,
        started_at: rollout.runs.first().map(|run| run.started_at),
        description: rollout.description.clone(),
        status: rollout.status,
        reason: rollout.reason.clone(),
        strategy: "rolling",
        kind: rollout.kind,
        target_version: rollout.target_version(),
        current_version: record.version,
        target_configuration: rollout.target_configuration.clone(),
        current_configuration: record.configuration(),
        progress: RolloutProgress {
            total_steps: rollout.steps.len(),
            current_step: rollout.runs.len(),
            completed_steps: rollout.steps_done(),
            updated_instances: new.len(),
            total_instances: new.len() + old.len(),
        },
        steps: steps.collect(),
    })
}

/// One step, counted from 0.
fn step(rollout: &Rollout, number: usize) -> RolloutStepView {
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
    let is_last = number + 1 == rollout.runs.len();
    RolloutStepView {
        id: number + 1,
        status,
        step_size: StepSize { percentage: rollout.steps[number] },
        description: rollout.descriptions.get(number).cloned().unwrap_or_default(),
        started_at: run.map(|run| run.started_at),
        completed_at: run.and_then(|run| run.completed_at),
        reason: is_last.then(|| rollout.reason.clone()),
    }
}
