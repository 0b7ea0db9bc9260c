//! The Worker itself: what the platform has of it, and its new version.

use ::project::Bundle;
use ::project::config::Config;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::api::{Client, Form, Request, failed};
use crate::error::CliError;

/// What the platform knows of the Worker already.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The last migration that was made.
    pub(crate) migration_tag: Option<String>,
}

/// What becomes of a version that is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It serves at once.
    Serves,
    /// It waits for somebody to deploy it.
    Waits,
}

/// What an upload has led to.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) version: String,
    pub(crate) startup_ms: u64,
}

#[derive(Deserialize)]
struct Answer {
    /// The version, or the Worker of one that serves.
    id: String,
    /// The version, if it serves.
    deployment_id: Option<Uuid>,
    #[serde(default)]
    startup_time_ms: u64,
}

/// Asks what is there, if it is: also the first question to the platform, before anything is built.
pub(crate) async fn known(client: &Client, name: &str) -> Result<Option<Known>, CliError> {
    let path = client.path(&format!("/workers/services/{name}"));
    let service: Option<Value> =
        client.find(Request::get(path)).await.map_err(failed("ask the platform for the Worker"))?;
    Ok(service.map(|service| {
        let tag = service["default_environment"]["script"]["migration_tag"].as_str();
        Known { migration_tag: tag.map(str::to_owned) }
    }))
}

/// Uploads a version. When this returns it serves, if it is to; where it is refused nothing has changed.
pub(crate) async fn upload(
    client: &Client,
    config: &Config,
    metadata: &Value,
    bundle: &Bundle,
    then: Then,
) -> Result<Uploaded, CliError> {
    let mut form = Form::new().text("metadata", &metadata.to_string());
    for module in &bundle.modules {
        form = form.file(&module.name, module.kind.media_type(), &module.contents);
    }
    if let Some(map) = bundle.source_map.as_ref().filter(|_| config.deploy.source_maps) {
        form = form.file(&format!("{}.map", bundle.main), "application/source-map", map);
    }
    let script = client.path(&format!("/workers/scripts/{}", config.name));
    let (request, attempt) = match then {
        Then::Serves => {
            let path = format!("{script}?excludeScript=true&bindings_inherit=strict");
            (Request::put(path), "deploy the Worker")
        }
        Then::Waits => {
            let path = format!("{script}/versions?bindings_inherit=strict");
            (Request::post(path), "upload a version of the Worker")
        }
    };
    let answer: Answer = client
        .ask(request.form(form))
        .await
        .map_err(failed(&format!("{attempt} \"{}\"", config.name)))?;
    let version = answer.deployment_id.map_or(answer.id, |id| id.to_string());
    Ok(Uploaded { version, startup_ms: answer.startup_time_ms })
}

/// Bytes of a bundle's code.
pub(crate) fn size(bundle: &Bundle) -> u64 {
    bundle.modules.iter().map(|module| module.contents.len() as u64).sum()
}
