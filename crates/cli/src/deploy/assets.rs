//! Static files: what is not at the platform yet is uploaded.

use std::collections::BTreeMap;

use ::project::config::Config;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;
use serde::Deserialize;
use serde_json::{Value, json};

use super::assets_folder::{self, File};
use super::metadata::Assets;
use crate::api::{Client, Form, Request, failed};
use crate::error::{CliError, Kind};
use crate::printer::Printer;

#[derive(Deserialize)]
struct Session {
    jwt: String,
    #[serde(default)]
    buckets: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Portion {
    jwt: Option<String>,
}

/// The files of the configuration's folder; none where it has no `assets`.
pub(crate) fn read(config: &Config) -> Result<Option<BTreeMap<String, File>>, CliError> {
    let Some(assets) = &config.assets else { return Ok(None) };
    assets_folder::files(&assets.directory)
        .map(Some)
        .map_err(|error| CliError::attempt(Kind::Config, "read the static assets", error))
}

/// Uploads those files that the platform does not have.
pub(crate) async fn upload(
    client: &Client,
    config: &Config,
    files: &BTreeMap<String, File>,
    printer: &Printer,
) -> Result<Assets, CliError> {
    let refused = failed("upload the static assets");
    let entry = |(path, file): (&String, &File)| {
        (path.clone(), json!({"hash": file.hash, "size": file.size}))
    };
    let manifest: serde_json::Map<String, Value> = files.iter().map(entry).collect();
    let path = client.path(&format!("/workers/scripts/{}/assets-upload-session", config.name));
    let body = json!({ "manifest": manifest });
    let session: Session = client.ask(Request::post(path).json(&body)).await.map_err(&refused)?;
    let missing: usize = session.buckets.iter().map(Vec::len).sum();
    if missing == 0 {
        printer.info("No static asset is new or has changed");
    } else {
        let s = if missing == 1 { "" } else { "s" };
        printer.info(format_args!("Uploading {missing} new or changed static asset{s}"));
    }
    let mut token = session.jwt.clone();
    for bucket in &session.buckets {
        let form = portion(files, bucket)?;
        let path = client.path("/workers/assets/upload?base64=true");
        let request = Request::post(path).form(form).token(&session.jwt);
        let Portion { jwt } = client.ask(request).await.map_err(&refused)?;
        token = jwt.unwrap_or(token);
    }
    let rules = |name: &str| match &config.assets {
        Some(assets) => assets_folder::text(&assets.directory.join(name))
            .map_err(|error| CliError::failure("read the static assets' rules", error)),
        None => Ok(None),
    };
    Ok(Assets { token, headers: rules("_headers")?, redirects: rules("_redirects")? })
}

fn portion(files: &BTreeMap<String, File>, hashes: &[String]) -> Result<Form, CliError> {
    let mut form = Form::new();
    for hash in hashes {
        let file = files.values().find(|file| file.hash == *hash).ok_or_else(|| {
            CliError::new(
                Kind::Failure,
                format!("the platform asks for a file {hash}: there is none"),
            )
        })?;
        let content = fs::read(&file.path)
            .map_err(|error| CliError::failure("read a static asset", error))?;
        form = form.file(hash, "application/octet-stream", STANDARD.encode(content).as_bytes());
    }
    Ok(form)
}
