//! The Worker itself: what the platform has of it, and its new version.

use ::project::config::Config;
use ::project::{Bundle, ModuleKind};
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

/// What an upload has led to.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) version: Uuid,
    pub(crate) startup_ms: u64,
}

#[derive(Deserialize)]
struct Answer {
    deployment_id: Uuid,
    #[serde(default)]
    startup_time_ms: u64,
}

/// Asks what is there: also the first question to the platform, before anything is built.
pub(crate) async fn known(client: &Client, name: &str) -> Result<Known, CliError> {
    let path = client.path(&format!("/workers/services/{name}"));
    let service: Option<Value> =
        client.find(Request::get(path)).await.map_err(failed("ask the platform for the Worker"))?;
    let tag = service.and_then(|service| {
        service["default_environment"]["script"]["migration_tag"].as_str().map(str::to_owned)
    });
    Ok(Known { migration_tag: tag })
}

/// Uploads a version; it serves when this returns, unless it is refused: then nothing has changed.
pub(crate) async fn upload(
    client: &Client,
    config: &Config,
    metadata: &Value,
    bundle: &Bundle,
) -> Result<Uploaded, CliError> {
    let mut form = Form::new().text("metadata", &metadata.to_string());
    for module in &bundle.modules {
        form = form.file(&module.name, kind(module.kind), &module.contents);
    }
    if let Some(map) = bundle.source_map.as_ref().filter(|_| config.deploy.source_maps) {
        form = form.file(&format!("{}.map", bundle.main), "application/source-map", map);
    }
    let path = format!(
        "{}?excludeScript=true&bindings_inherit=strict",
        client.path(&format!("/workers/scripts/{}", config.name))
    );
    let answer: Answer = client
        .ask(Request::put(path).form(form))
        .await
        .map_err(failed(&format!("deploy the Worker \"{}\"", config.name)))?;
    Ok(Uploaded { version: answer.deployment_id, startup_ms: answer.startup_time_ms })
}

fn kind(kind: ModuleKind) -> &'static str {
    match kind {
        ModuleKind::EsModule => "application/javascript+module",
        ModuleKind::CommonJs => "application/javascript",
        ModuleKind::Text => "text/plain",
        ModuleKind::Data => "application/octet-stream",
        ModuleKind::Wasm => "application/wasm",
    }
}

/// Bytes of a bundle's code.
pub(crate) fn size(bundle: &Bundle) -> u64 {
    bundle.modules.iter().map(|module| module.contents.len() as u64).sum()
}
