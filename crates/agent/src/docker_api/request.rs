//! From an HTTP request line and body to a [`DockerRequest`]: pure, total, without any lookup.
//!
//! It knows the shape of the requests workerd sends (`workerd.md` §1, rows 1–22), not who may send
//! them nor whether a container exists. Whatever else arrives becomes a [`ParseError`] that says so.

use std::collections::BTreeMap;

use http::Method;
use model::ContainerName;
use serde::Deserialize;

use super::helpers::{Purpose, is_helper};
use super::path::{Query, segments};
use super::signal;

/// One call of the Docker Engine API, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DockerRequest {
    /// `GET /volumes`
    ListVolumes,
    /// `POST /volumes/create`, by its name.
    CreateVolume(String),
    /// `GET /volumes/{name}`
    InspectVolume(String),
    /// `DELETE /volumes/{name}`
    RemoveVolume(String),
    /// `POST /commit?container=…&repo=…`: which container, and the new image's name.
    Commit(ContainerName, String),
    /// `GET /images/{name}/json`
    InspectImage(String),
    /// `DELETE /images/{name}`
    RemoveImage(String),
    /// `GET /networks/bridge`
    InspectBridge,
    /// `POST /images/create?fromImage=…`
    PullImage,
    /// `POST /containers/create?name=…`
    CreateContainer(ContainerName, Box<CreateContainer>),
    /// `POST /containers/create` without a name.
    CreateHelper(Purpose),
    /// A call about what the last one made, by its id.
    Helper(String, ContainerCall),
    /// A call about one existing container.
    Container(ContainerName, ContainerCall),
    /// A call about one exec, by its id.
    Exec(String, ExecCall),
}

/// What is asked of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainerCall {
    /// `GET /containers/{name}/json`
    Inspect,
    /// `POST /containers/{name}/start`
    Start,
    /// `POST /containers/{name}/wait`
    Wait(WaitCondition),
    /// `POST /containers/{name}/kill?signal=…`
    Kill(i32),
    /// `DELETE /containers/{name}?force=true`
    Delete,
    /// `POST /containers/{name}/exec`
    CreateExec(Box<CreateExec>),
    /// `GET /containers/{name}/archive?path=…`
    GetArchive(String),
    /// `PUT /containers/{name}/archive?path=…`; the archive is the body.
    PutArchive(String),
}

/// What is asked of one exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExecCall {
    /// `POST /exec/{id}/start`
    Start(StartExec),
    /// `GET /exec/{id}/json`
    Inspect,
    /// `POST /exec/{id}/resize?h=…&w=…`
    Resize {
        /// Height in characters.
        rows: u16,
        /// Width in characters.
        columns: u16,
    },
}

/// What a `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitCondition {
    /// The end of the program.
    NotRunning,
    /// The end of the record.
    Removed,
}

/// The part of a container's configuration that Berth heeds. Limits, networks, restart policy and
/// capabilities of an object's container are the application's business and are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateContainer {
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) env: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(crate) host_config: Option<HostConfig>,
}

/// What a container is to see of volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HostConfig {
    #[serde(default)]
    pub(crate) binds: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) mounts: Option<Vec<Mount>>,
}

/// One volume in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Mount {
    /// The volume's name.
    pub(crate) source: String,
    /// Where it is seen.
    pub(crate) target: String,
}

/// The configuration of an exec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateExec {
    pub(crate) attach_stdin: bool,
    pub(crate) attach_stdout: bool,
    pub(crate) attach_stderr: bool,
    pub(crate) tty: bool,
    pub(crate) cmd: Vec<String>,
    pub(crate) env: Option<Vec<String>>,
    pub(crate) working_dir: Option<String>,
    pub(crate) user: Option<String>,
}

/// How an exec is started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct StartExec {
    pub(crate) detach: bool,
    pub(crate) tty: bool,
    /// Rows, then columns.
    pub(crate) console_size: Option<(u16, u16)>,
}

/// A request that is answered without looking at anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// It is malformed.
    #[error("{0}")]
    Malformed(String),
    /// It names a container that cannot be one of workerd's.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// It is understood to be beyond what this agent does.
    #[error("{0} is not supported by Berth's container engine yet")]
    NotSupported(&'static str),
    /// It is nothing workerd is known to send.
    #[error("Berth's container engine has no {method} {path}")]
    Unknown {
        /// The method.
        method: Method,
        /// The path, cut to a readable length.
        path: String,
    },
}

impl DockerRequest {
    /// Understands one request.
    ///
    /// # Errors
    /// It is malformed, names something impossible, or is not supported.
    pub(crate) fn parse(method: &Method, target: &str, body: &[u8]) -> Result<Self, ParseError> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query(query);
        let parts = segments(path);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let parts = without_version(&parts);
        match (method.as_str(), parts) {
            ("GET", ["volumes"]) => Ok(Self::ListVolumes),
            ("GET", ["networks", "bridge"]) => Ok(Self::InspectBridge),
            ("POST", ["images", "create"]) => Ok(Self::PullImage),
            ("POST", ["containers", "create"]) => create(query, body),
            (_, ["containers", name, rest @ ..]) => container(method, name, rest, query, body),
            (_, ["exec", id, rest @ ..]) => exec(method, id, rest, query, body),
            ("POST", ["volumes", "create"]) => Ok(Self::CreateVolume(json::<Volume>(body)?.name)),
            ("GET", ["volumes", name]) => Ok(Self::InspectVolume((*name).to_owned())),
            ("DELETE", ["volumes", name]) => Ok(Self::RemoveVolume((*name).to_owned())),
            ("POST", ["commit"]) => commit(query),
            // A name may have slashes.
            ("GET", ["images", name @ .., "json"]) => Ok(Self::InspectImage(name.join("/"))),
            ("DELETE", ["images", name @ ..]) => Ok(Self::RemoveImage(name.join("/"))),
            _ => Err(unknown(method, path)),
        }
    }
}

impl DockerRequest {
    /// Whether it would end a container.
    pub(crate) fn is_delete(&self) -> bool {
        matches!(self, Self::Container(_, ContainerCall::Delete))
    }
}

/// `/v1.43/containers/…` and `/containers/…` are the same.
fn without_version<'a, 'b>(parts: &'a [&'b str]) -> &'a [&'b str] {
    match parts {
        [version, rest @ ..] if version.starts_with("v1.") => rest,
        parts => parts,
    }
}

fn create(query: Query<'_>, body: &[u8]) -> Result<DockerRequest, ParseError> {
    let Some(name) = query.get("name") else {
        return Purpose::of(&json(body)?).map(DockerRequest::CreateHelper);
    };
    let name = ContainerName::parse(&name)
        .map_err(|error| ParseError::Malformed(format!("container name: {error}")))?;
    Ok(DockerRequest::CreateContainer(name, Box::new(json(body)?)))
}

/// A volume that is made.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Volume {
    name: String,
}

fn commit(query: Query<'_>) -> Result<DockerRequest, ParseError> {
    let name = query.get("container").unwrap_or_default();
    let name = ContainerName::parse(&name)
        .map_err(|_| ParseError::NoSuchContainer(name.chars().take(200).collect()))?;
    Ok(DockerRequest::Commit(name, query.get("repo").unwrap_or_default()))
}

fn container(
    method: &Method,
    name: &str,
    rest: &[&str],
    query: Query<'_>,
    body: &[u8],
) -> Result<DockerRequest, ParseError> {
    let call = match (method.as_str(), rest) {
        ("GET", ["json"]) => ContainerCall::Inspect,
        ("POST", ["start"]) => ContainerCall::Start,
        ("POST", ["wait"]) => ContainerCall::Wait(condition(query)?),
        ("POST", ["kill"]) => ContainerCall::Kill(kill_signal(query)?),
        ("POST", ["exec"]) => ContainerCall::CreateExec(Box::new(json(body)?)),
        ("DELETE", []) => ContainerCall::Delete,
        ("GET", ["archive"]) => ContainerCall::GetArchive(archive_path(query)?),
        ("PUT", ["archive"]) => ContainerCall::PutArchive(archive_path(query)?),
        _ => return Err(unknown(method, &format!("/containers/{name}/{}", rest.join("/")))),
    };
    if is_helper(name) {
        return Ok(DockerRequest::Helper(name.to_owned(), call));
    }
    let name = ContainerName::parse(name)
        .map_err(|_| ParseError::NoSuchContainer(name.chars().take(200).collect()))?;
    Ok(DockerRequest::Container(name, call))
}

fn exec(
    method: &Method,
    id: &str,
    rest: &[&str],
    query: Query<'_>,
    body: &[u8],
) -> Result<DockerRequest, ParseError> {
    let call = match (method.as_str(), rest) {
        ("POST", ["start"]) => ExecCall::Start(json(body)?),
        ("GET", ["json"]) => ExecCall::Inspect,
        ("POST", ["resize"]) => {
            ExecCall::Resize { rows: number(query, "h")?, columns: number(query, "w")? }
        }
        _ => return Err(unknown(method, &format!("/exec/{id}/{}", rest.join("/")))),
    };
    Ok(DockerRequest::Exec(id.to_owned(), call))
}

fn condition(query: Query<'_>) -> Result<WaitCondition, ParseError> {
    match query.get("condition").as_deref() {
        None | Some("" | "not-running" | "next-exit") => Ok(WaitCondition::NotRunning),
        Some("removed") => Ok(WaitCondition::Removed),
        Some(other) => Err(ParseError::Malformed(format!("unknown wait condition \"{other}\""))),
    }
}

fn kill_signal(query: Query<'_>) -> Result<i32, ParseError> {
    let text = query.get("signal").unwrap_or_else(|| "SIGKILL".to_owned());
    signal::parse(&text).ok_or_else(|| ParseError::Malformed(format!("unknown signal \"{text}\"")))
}

fn archive_path(query: Query<'_>) -> Result<String, ParseError> {
    let path = query.get("path").filter(|path| !path.is_empty() && !path.contains('\0'));
    path.ok_or_else(|| ParseError::Malformed("\"path\" must be the path of a file".to_owned()))
}

fn number(query: Query<'_>, key: &str) -> Result<u16, ParseError> {
    query
        .get(key)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ParseError::Malformed(format!("\"{key}\" must be a number")))
}

/// An empty body is an empty object: `start` and `exec` may be called without one.
fn json<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, ParseError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ParseError::Malformed(format!("request body: {error}")))
}

fn unknown(method: &Method, path: &str) -> ParseError {
    ParseError::Unknown { method: method.clone(), path: path.chars().take(200).collect() }
}

#[cfg(test)]
mod tests;
