//! Versions and deployments of a Worker.

use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scripts::author;
use super::secrets::SECRET_CHANGE;
use super::{Asked, body};
use crate::envelope::{Body, Failure, success};
use crate::records::{ALL_REQUESTS, Beside, ClassContainer, Deployment, Script, Version};
use crate::upload::Upload;
use crate::workers::{Author, Workers};

/// Deployments of a version that was there.
const PROMOTION: &str = "promotion";

pub(super) fn list(workers: &Workers, name: &str) -> Result<Response<Body>, Failure> {
    let script = workers.state.script(name)?.value;
    let versions = workers.state.versions(&script)?;
    let items: Vec<_> = versions.iter().map(|version| shown(&script, version)).collect();
    Ok(success(&json!({ "items": items })))
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
    let all: Vec<_> = deployments.iter().map(deployment).collect();
    Ok(success(&json!({ "deployments": all })))
}

/// What to serve.
#[derive(Deserialize)]
struct Wanted {
    versions: Vec<Share>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// A version's share of the requests.
#[derive(Deserialize)]
struct Share {
    version_id: String,
    percentage: f64,
}

pub(super) async fn deploy(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let author = asked.author(PROMOTION);
    let wanted: Wanted = body::json(asked.body).await?;
    let serving = wanted.versions.iter().filter(|share| share.percentage > 0.0);
    let shares = serving.map(beside).collect::<Result<Vec<_>, _>>()?;
    let author = Author { message: wanted.annotations.get("workers/message").cloned(), ..author };
    let done = workers.deploy(name, shares, author).await?;
    Ok(success(&deployment(&done)))
}

/// A share as it is kept.
fn beside(share: &Share) -> Result<Beside, Failure> {
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
pub(super) fn bindings(script: &Script, version: &Version) -> Vec<Value> {
    let namespace = |class: &str| script.class(class).map(|class| class.namespace_id.clone());
    version.bindings.iter().map(|binding| binding.to_wire(&script.name, namespace)).collect()
}

fn shown(script: &Script, version: &Version) -> Value {
    json!({
        "id": version.id,
        "number": version.number,
        "metadata": {
            "created_on": version.created_on,
            "modified_on": version.created_on,
            "author_email": author(&version.author),
            "source": "wrangler",
            "has_preview": false,
        },
        "annotations": annotations(version),
        "resources": {
            "bindings": bindings(script, version),
            "script": {"etag": version.etag(), "handlers": ["fetch"]},
            "script_runtime": runtime(version),
        },
        "startup_time_ms": version.startup_time_ms,
    })
}

/// What a version runs with. `wrangler deploy --containers-rollout=none` sends the containers that it
/// finds here with the next version, which would have none without them.
fn runtime(version: &Version) -> Value {
    let mut runtime = json!({
        "compatibility_date": version.compatibility_date,
        "compatibility_flags": version.compatibility_flags,
        "usage_model": "standard",
    });
    if !version.containers.is_empty() {
        runtime["containers"] = version.containers.iter().map(container).collect();
    }
    runtime
}

/// A class with containers, in the words of an upload.
fn container(container: &ClassContainer) -> Value {
    let mut shown = json!({ "class_name": container.class_name });
    if !container.name.is_empty() {
        shown["name"] = json!(container.name);
    }
    if !container.images.is_empty() {
        shown["images"] = json!(container.images);
    }
    shown
}

/// What its author says about a version, and what made it.
fn annotations(version: &Version) -> Value {
    let mut annotations = json!(version.annotations);
    if let Some(trigger) = trigger(&version.source) {
        annotations["workers/triggered_by"] = json!(trigger);
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

fn deployment(deployment: &Deployment) -> Value {
    let mut annotations = json!({});
    if let Some(trigger) = trigger(&deployment.source) {
        annotations["workers/triggered_by"] = json!(trigger);
    }
    if let Some(message) = &deployment.message {
        annotations["workers/message"] = json!(message);
    }
    let version = |id: Uuid, share: u32| json!({"version_id": id, "percentage": percentage(share)});
    let versions = match deployment.beside {
        None => vec![version(deployment.version, ALL_REQUESTS)],
        Some(beside) => vec![
            version(deployment.version, ALL_REQUESTS.saturating_sub(beside.share)),
            version(beside.version, beside.share),
        ],
    };
    json!({
        "id": deployment.id,
        "created_on": deployment.created_on,
        "author_email": author(&deployment.author),
        "source": "wrangler",
        "strategy": "percentage",
        "annotations": annotations,
        "versions": versions,
    })
}
