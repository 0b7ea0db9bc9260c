//! Versions and deployments of a Worker.

use std::collections::BTreeMap;

use http::Response;
use uuid::Uuid;

use super::scripts::author;
use super::secrets::SECRET_CHANGE;
use super::{Asked, body};
use crate::envelope::{Body, Failure, success};
use crate::records::{ALL_REQUESTS, Beside, ClassContainer, Deployment, Script, Version};
use crate::upload::Upload;
use crate::wire::{
    BindingView, DeployedShare, DeploymentView, DeploymentWish, Deployments, ShareWish,
    VersionContainer, VersionMetadata, VersionResources, VersionRuntime, VersionScript,
    VersionView, Versions,
};
use crate::workers::{Author, Workers};

/// Deployments of a version that was there.
const PROMOTION: &str = "promotion";
/// The annotation that says what made a version or a deployment.
const TRIGGER: &str = "workers/triggered_by";
/// The annotation with what somebody says about it.
const MESSAGE: &str = "workers/message";

pub(super) fn list(workers: &Workers, name: &str) -> Result<Response<Body>, Failure> {
    let script = workers.state.script(name)?.value;
    let versions = workers.state.versions(&script)?;
    let items: Vec<_> = versions.iter().map(|version| shown(&script, version)).collect();
    Ok(success(&Versions { items }))
}

pub(super) fn view(workers: &Workers, name: &str, id: &str) -> Result<Response<Body>, Failure> {
    let script = workers.state.script(name)?.value;
    let version = workers.state.version(&script, parse(id)?)?;
    Ok(success(&shown(&script, &version)))
}

pub(super) async fn upload(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    workers.state.script(name)?;
    let author = asked.author("wrangler");
    let upload = Upload::read(&asked.head.headers, asked.body).await?;
    let (script, version) = workers.upload(name, upload, author, false).await?;
    Ok(success(&shown(&script, &version)))
}

pub(super) fn deployments(workers: &Workers, name: &str) -> Result<Response<Body>, Failure> {
    let script = workers.state.script(name)?.value;
    let deployments = workers.state.deployments(&script)?;
    let deployments = deployments.iter().map(deployment).collect();
    Ok(success(&Deployments { deployments }))
}

pub(super) async fn deploy(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let author = asked.author(PROMOTION);
    let wanted: DeploymentWish = body::json(asked.body).await?;
    let serving = wanted.versions.iter().filter(|share| share.percentage > 0.0);
    let shares = serving.map(beside).collect::<Result<Vec<_>, _>>()?;
    let author = Author { message: wanted.annotations.get(MESSAGE).cloned(), ..author };
    let done = workers.deploy(name, shares, author).await?;
    Ok(success(&deployment(&done)))
}

/// A share as it is kept.
fn beside(share: &ShareWish) -> Result<Beside, Failure> {
    let of_all = share.percentage / 100.0 * f64::from(ALL_REQUESTS);
    // Out of range it becomes a number that is in none, and is refused.
    Ok(Beside { version: parse(&share.version_id)?, share: of_all.round() as u32 })
}

fn percentage(share: u32) -> f64 {
    f64::from(share) * 100.0 / f64::from(ALL_REQUESTS)
}

fn parse(id: &str) -> Result<Uuid, Failure> {
    id.parse().map_err(|_| Failure::no_version())
}

/// The bindings of a version, secrets without their texts.
pub(super) fn bindings(script: &Script, version: &Version) -> Vec<BindingView> {
    let namespace = |class: &str| script.class(class).map(|class| class.namespace_id.clone());
    version.bindings.iter().map(|binding| binding.to_wire(&script.name, namespace)).collect()
}

fn shown(script: &Script, version: &Version) -> VersionView {
    VersionView {
        id: version.id,
        number: version.number,
        metadata: VersionMetadata {
            created_on: version.created_on,
            modified_on: version.created_on,
            author_email: author(&version.author),
            source: "wrangler",
            has_preview: false,
        },
        annotations: annotations(version),
        resources: VersionResources {
            bindings: bindings(script, version),
            script: VersionScript { etag: version.etag(), handlers: vec!["fetch"] },
            script_runtime: runtime(version),
        },
        startup_time_ms: version.startup_time_ms,
    }
}

/// What a version runs with. `wrangler deploy --containers-rollout=none` sends the containers that it
/// finds here with the next version, which would have none without them.
fn runtime(version: &Version) -> VersionRuntime {
    VersionRuntime {
        compatibility_date: version.compatibility_date.clone(),
        compatibility_flags: version.compatibility_flags.clone(),
        usage_model: "standard",
        containers: version.containers.iter().map(container).collect(),
    }
}

/// A class with containers, in the words of an upload.
fn container(container: &ClassContainer) -> VersionContainer {
    VersionContainer {
        class_name: container.class_name.clone(),
        name: container.name.clone(),
        images: container.images.clone(),
    }
}

/// What its author says about a version, and what made it.
fn annotations(version: &Version) -> BTreeMap<String, String> {
    let mut annotations = version.annotations.clone();
    if let Some(trigger) = trigger(&version.source) {
        annotations.insert(TRIGGER.to_owned(), trigger.to_owned());
    }
    annotations
}

/// What clients call a change that was no upload.
fn trigger(source: &str) -> Option<&'static str> {
    match source {
        SECRET_CHANGE => Some("secret"),
        PROMOTION => Some("promotion"),
        _ => None,
    }
}

fn deployment(deployment: &Deployment) -> DeploymentView {
    let mut annotations = BTreeMap::new();
    if let Some(trigger) = trigger(&deployment.source) {
        annotations.insert(TRIGGER.to_owned(), trigger.to_owned());
    }
    if let Some(message) = &deployment.message {
        annotations.insert(MESSAGE.to_owned(), message.clone());
    }
    let version =
        |id: Uuid, share: u32| DeployedShare { version_id: id, percentage: percentage(share) };
    let versions = match deployment.beside {
        None => vec![version(deployment.version, ALL_REQUESTS)],
        Some(beside) => vec![
            version(deployment.version, ALL_REQUESTS.saturating_sub(beside.share)),
            version(beside.version, beside.share),
        ],
    };
    DeploymentView {
        id: deployment.id,
        created_on: deployment.created_on,
        author_email: author(&deployment.author),
        source: "wrangler",
        strategy: "percentage",
        annotations,
        versions,
    }
}
