//! `/volumes`: named directories of the engine's own, that outlive containers.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Inner;
use super::api::{Call, done, unknown};
use super::create::words;
use super::error::EngineError;
use super::filters::Filters;
use super::names::is_container_name;
use super::reply::{Answer, created, ok};
use crate::docker_api::path::Query;
use crate::private_file;

/// The file beside a volume's data that describes it.
const RECORD: &str = "volume.json";
/// The folder of a volume's data.
const DATA: &str = "_data";

/// All volumes: a folder for each.
#[derive(Debug)]
pub(super) struct NamedVolumes(PathBuf);

/// What is known of one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    created: Option<Timestamp>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Whether it was made for one container.
    #[serde(default)]
    anonymous: bool,
}

impl NamedVolumes {
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        fs_err::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    fn make(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
        anonymous: bool,
    ) -> Result<Value, EngineError> {
        let data = directory(&self.0, name)?;
        let place = self.0.join(name);
        let failed = |error: io::Error| {
            EngineError::Failed(format!("failed to make volume {name}: {error}"))
        };
        if !data.exists() {
            fs_err::create_dir_all(&data).map_err(failed)?;
            let record = Record { created: Some(Timestamp::now()), labels, anonymous };
            let text = serde_json::to_vec(&record).expect("a record has string keys only");
            private_file::write(&place.join(RECORD), &text).map_err(failed)?;
        }
        self.inspect(name)
    }

    fn inspect(&self, name: &str) -> Result<Value, EngineError> {
        let data = directory(&self.0, name)?;
        if !data.exists() {
            return Err(EngineError::NotFound(format!("get {name}: no such volume")));
        }
        let record = self.record(name);
        Ok(json!({
            "Name": name,
            "Driver": "local",
            "Mountpoint": data,
            "CreatedAt": record.created.map(|time| time.to_string()),
            "Labels": record.labels,
            "Options": null,
            "Scope": "local",
        }))
    }

    fn record(&self, name: &str) -> Record {
        let text = fs_err::read(self.0.join(name).join(RECORD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs_err::read_dir(&self.0).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Removes a volume and all that is in it; nothing happens when there is none.
    pub(super) fn discard(&self, name: &str) {
        if directory(&self.0, name).is_ok()
            && let Err(error) = fs_err::remove_dir_all(self.0.join(name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a volume stays");
        }
    }
}

/// Where a volume's data is; the name must be one.
pub(super) fn directory(volumes: &Path, name: &str) -> Result<PathBuf, EngineError> {
    if is_container_name(name) {
        Ok(volumes.join(name).join(DATA))
    } else {
        Err(EngineError::BadParameter(format!(
            "\"{name}\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use an absolute path"
        )))
    }
}

/// Makes the volumes that a container asks for, and gives those without a name one; returns these.
pub(super) fn resolve(
    volumes: &NamedVolumes,
    body: &mut Value,
) -> Result<Vec<String>, EngineError> {
    let host = &body["HostConfig"];
    let mut binds = words(host, "Binds")?.unwrap_or_default();
    let mut anonymous = Vec::new();
    for bind in &binds {
        let source = bind.split(':').next().unwrap_or_default();
        if bind.contains(':') && !source.starts_with('/') {
            volumes.make(source, BTreeMap::new(), false)?;
        } else if bind.contains(':') {
            // As Docker: a directory of the host that is missing is made.
            let made = fs_err::create_dir_all(source);
            made.map_err(|error| EngineError::BadParameter(format!("bind mount: {error}")))?;
        }
    }
    // `-v /data`, without a source.
    for target in body["Volumes"].as_object().into_iter().flat_map(|volumes| volumes.keys()) {
        let name = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        volumes.make(&name, BTreeMap::new(), true)?;
        binds.push(format!("{name}:{target}"));
        anonymous.push(name);
    }
    for mount in body["HostConfig"]["Mounts"].as_array().into_iter().flatten() {
        let source = mount["Source"].as_str().unwrap_or_default();
        match mount["Type"].as_str() {
            Some("volume") => _ = volumes.make(source, BTreeMap::new(), false)?,
            Some("bind") if !Path::new(source).exists() => {
                return Err(EngineError::BadParameter(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: \
                     {source}"
                )));
            }
            _ => {}
        }
    }
    if !body["HostConfig"].is_object() {
        body["HostConfig"] = json!({});
    }
    body["HostConfig"]["Binds"] = json!(binds);
    Ok(anonymous)
}

/// A call about volumes.
pub(super) async fn answer(engine: &Arc<Inner>, rest: &[&str], call: Call) -> Answer {
    let target = call.target.clone();
    let query = Query(target.split_once('?').map_or("", |(_, query)| query));
    match (call.method.as_str(), rest) {
        ("GET", []) => list(engine, query),
        ("POST", ["create"]) => create(engine, call).await,
        ("POST", ["prune"]) => prune(engine, query),
        ("GET", [name]) => ok(engine.volumes.inspect(name)?),
        ("DELETE", [name]) => remove(engine, name, query.flag("force")),
        _ => Err(unknown(&call.method, &target)),
    }
}

fn list(engine: &Inner, query: Query<'_>) -> Answer {
    let filters = Filters::parse(query.get("filters").as_deref())?;
    filters.only(&["name", "label", "dangling", "driver"])?;
    let fits = |name: &String| {
        filters.fits("name", |wanted| name.contains(wanted))
            && filters.labels(&engine.volumes.record(name).labels)
            && filters.dangling().is_none_or(|dangling| dangling != is_used(engine, name))
    };
    let names = engine.volumes.names().into_iter().filter(fits);
    let volumes: Vec<Value> = names.filter_map(|name| engine.volumes.inspect(&name).ok()).collect();
    ok(json!({"Volumes": volumes, "Warnings": null}))
}

/// `POST /volumes/create`: those of a workerd too, which are told by their names.
async fn create(engine: &Arc<Inner>, call: Call) -> Answer {
    let peer = call.peer.clone();
    let body = call.json().await?;
    let name = body["Name"].as_str().unwrap_or_default().to_owned();
    if name.starts_with("workerd-snap-") {
        let request = crate::docker_api::DockerRequest::CreateVolume(name);
        return Ok(engine.api.answer(request, peer.caller()).await.into_http());
    }
    let driver = body["Driver"].as_str().filter(|driver| !driver.is_empty());
    if driver.is_some_and(|driver| driver != "local") {
        return Err(EngineError::NotSupported(format!(
            "volume driver {}",
            driver.unwrap_or_default()
        )));
    }
    if body["DriverOpts"].as_object().is_some_and(|options| !options.is_empty()) {
        return Err(EngineError::NotSupported("volume options".to_owned()));
    }
    let name = match name.as_str() {
        "" => format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()),
        name => name.to_owned(),
    };
    created(engine.volumes.make(&name, super::containers::labels(&body), false)?)
}

fn is_used(engine: &Inner, name: &str) -> bool {
    let Ok(data) = directory(&engine.volumes.0, name) else { return false };
    let all = engine.containers.all();
    all.iter().any(|container| container.plain.binds.iter().any(|bind| bind.source == data))
}

fn remove(engine: &Inner, name: &str, force: bool) -> Answer {
    match engine.volumes.inspect(name) {
        Err(EngineError::NotFound(_)) if force => return done(),
        found => found?,
    };
    if is_used(engine, name) {
        return Err(EngineError::Conflict(format!("remove {name}: volume is in use")));
    }
    engine.volumes.discard(name);
    done()
}

/// `POST /volumes/prune`: those without a name, or with `all=true` every one that is not used.
fn prune(engine: &Inner, query: Query<'_>) -> Answer {
    let filters = Filters::parse(query.get("filters").as_deref())?;
    let all = filters.values("all").first().is_some_and(|all| all == "true" || all == "1");
    let goes = |name: &String| {
        !is_used(engine, name)
            && (all || engine.volumes.record(name).anonymous)
            && filters.labels(&engine.volumes.record(name).labels)
    };
    let gone: Vec<String> = engine.volumes.names().into_iter().filter(goes).collect();
    gone.iter().for_each(|name| engine.volumes.discard(name));
    ok(json!({"VolumesDeleted": gone, "SpaceReclaimed": 0}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_made_for_a_container_and_described() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = NamedVolumes::open(dir.path().join("v")).unwrap();
        let mut body = json!({"Volumes": {"/data": {}}, "HostConfig": {"Binds": ["own:/x"]}});
        let anonymous = resolve(&volumes, &mut body).unwrap();
        assert_eq!(anonymous.len(), 1);
        assert_eq!(volumes.names().len(), 2);
        assert_eq!(body["HostConfig"]["Binds"][1], format!("{}:/data", anonymous[0]));
        assert_eq!(volumes.inspect("own").unwrap()["Name"], "own");
        volumes.discard("own");
        assert!(volumes.inspect("own").is_err());
        assert!(directory(dir.path(), "../x").is_err());
    }
}
