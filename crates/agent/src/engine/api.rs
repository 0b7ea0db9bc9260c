//! From a connection to an answer: which call it is, and who does it.
//!
//! A workerd under `wrangler dev` uses this socket too. Its calls are told by the names it gives:
//! `workerd-…` containers and volumes go to [`crate::docker_api`].

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use model::ContainerName;
use serde_json::Value;
use tokio::net::UnixStream;

use super::error::EngineError;
use super::reply::{Answer, empty, ok};
use super::{API_VERSIONS, Inner};
use super::{
    auth, build, create, events, image_calls, list, logs, networks, streams, system, top, view,
    volumes,
};
use crate::docker_api::path::{Query, segments};
use crate::docker_api::reply::{HttpReply, Reply};
use crate::docker_api::{DockerRequest, is_helper, is_snapshot};
use crate::peer::Peer;

/// Longest body that is JSON.
const MOST_JSON_BYTES: usize = 4 * 1024 * 1024;
/// What workerd names its volumes.
const SNAPSHOT_VOLUME: &str = "workerd-snap-";
/// What `wrangler dev` believes to run beside each container.
const SIDECAR_IMAGE: &str = "cloudflare/proxy-everything";

/// One call, its body unread.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    /// The connection, should it become something else.
    pub(super) upgrade: Option<OnUpgrade>,
    pub(super) peer: Peer,
}

impl Call {
    /// The body as JSON; an empty one is an empty object.
    pub(super) async fn json(self) -> Result<Value, EngineError> {
        let body = read(self.body).await?;
        parse_json(&body)
    }

    /// Whether the caller wants another protocol on this connection.
    pub(super) fn asks_to_upgrade(&self) -> bool {
        self.headers.contains_key(header::UPGRADE)
    }
}

async fn read(body: Incoming) -> Result<Bytes, EngineError> {
    let body = Limited::new(body, MOST_JSON_BYTES).collect().await;
    let body = body.map_err(|error| {
        EngineError::BadParameter(format!("the request's body could not be read: {error}"))
    })?;
    Ok(body.to_bytes())
}

fn parse_json(body: &[u8]) -> Result<Value, EngineError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(body)
        .map_err(|error| EngineError::BadParameter(format!("request body: {error}")))
}

/// Serves one connection.
pub(super) async fn serve(stream: UnixStream, engine: Arc<Inner>, peer: Peer) {
    let service = service_fn(move |request| {
        let (engine, peer) = (Arc::clone(&engine), peer.clone());
        async move { Ok::<_, Infallible>(answer(&engine, request, peer).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "a connection of the engine's broke");
    }
}

async fn answer(engine: &Arc<Inner>, request: Request<Incoming>, peer: Peer) -> HttpReply {
    let started = std::time::Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let mut reply = if is_workerds(&method, &target) {
        engine.api.serve(request, &peer).await
    } else {
        let (mut head, body) = request.into_parts();
        let upgrade = head.extensions.remove::<OnUpgrade>();
        let headers = head.headers;
        let call =
            Call { method: head.method, target: target.clone(), headers, body, upgrade, peer };
        dispatch(engine, call).await.unwrap_or_else(HttpReply::from)
    };
    let headers = reply.headers_mut();
    headers.insert("api-version", HeaderValue::from_static(API_VERSIONS.0));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert(header::SERVER, HeaderValue::from_static("Berth"));
    tracing::debug!(%method, target, status = reply.status().as_u16(),
        took = ?started.elapsed(), "docker engine");
    reply
}

/// The path's parts, without a version in front.
fn parts(target: &str) -> Vec<String> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let mut parts = segments(path);
    if parts.first().is_some_and(|first| first.starts_with("v1.")) {
        parts.remove(0);
    }
    parts
}

fn query(target: &str) -> Query<'_> {
    Query(target.split_once('?').map_or("", |(_, query)| query))
}

/// Whether a call is about what only a workerd makes. Creations are told by their bodies, later.
fn is_workerds(method: &Method, target: &str) -> bool {
    let parts = parts(target);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (query, its) = (query(target), |name: &str| ContainerName::parse(name).is_ok());
    match (method.as_str(), &parts[..]) {
        ("POST", ["containers", "create"]) => query.get("name").is_some_and(|name| its(&name)),
        // What no workerd asks of its containers, people do.
        (
            _,
            ["containers", name, "logs" | "top" | "stop" | "restart" | "attach" | "rename", ..],
        ) => is_helper(name),
        (_, ["containers", name, ..]) => its(name) || is_helper(name),
        (_, ["exec", ..]) | ("GET", ["networks", "bridge"]) => true,
        ("GET", ["volumes"]) => {
            query.get("filters").is_some_and(|filters| filters.contains(SNAPSHOT_VOLUME))
        }
        (_, ["volumes", name]) => name.starts_with(SNAPSHOT_VOLUME),
        ("POST", ["commit"]) => query.get("container").is_some_and(|name| its(&name)),
        (_, ["images", name, ..]) => is_snapshot(name),
        _ => false,
    }
}

async fn dispatch(engine: &Arc<Inner>, call: Call) -> Answer {
    let (target, method) = (call.target.clone(), call.method.clone());
    let (parts, query) = (parts(&target), query(&target));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (method.as_str(), &parts[..]) {
        ("GET" | "HEAD", ["_ping"]) => system::ping(),
        ("GET", ["version"]) => ok(system::version(engine.version)),
        ("GET", ["info"]) => system::info(engine),
        ("GET", ["system", "df"]) => system::disk_usage(engine).await,
        ("GET", ["events"]) => events::stream(engine, query),
        ("POST", ["auth"]) => auth::auth(engine, call).await,
        ("POST", ["build"]) => build::build(engine, call).await,
        ("POST", ["build", "prune"]) => {
            let freed = engine.images.blocking(|images| images.prune_build_cache()).await?;
            ok(serde_json::json!({"CachesDeleted": null, "SpaceReclaimed": freed}))
        }
        (_, ["images", rest @ ..]) => image_calls::answer(engine, rest, call).await,
        ("POST", ["containers", "create"]) => create_container(engine, call).await,
        ("GET", ["containers", "json"]) => list::list(engine, query),
        ("POST", ["containers", "prune"]) => list::prune(engine, query).await,
        (_, ["containers", name, rest @ ..]) => container(engine, name, rest, call).await,
        ("GET", ["networks"]) => networks::list(query),
        ("GET", ["networks", name]) => networks::inspect(name),
        ("POST", ["networks", "prune"]) => ok(serde_json::json!({"NetworksDeleted": []})),
        (_, ["networks", ..]) => Err(EngineError::NotSupported(
            "a network of its own (containers have loopback only, and publish ports)".to_owned(),
        )),
        (_, ["volumes", rest @ ..]) => volumes::answer(engine, rest, call).await,
        _ => Err(unknown(&method, &target)),
    }
}

async fn container(engine: &Arc<Inner>, name: &str, rest: &[&str], call: Call) -> Answer {
    let target = call.target.clone();
    let query = query(&target);
    let found = engine.find(name)?;
    match (call.method.as_str(), rest) {
        ("GET", ["json"]) => view::inspect(engine, &found),
        ("POST", ["start"]) => engine.start(&found).await,
        ("POST", ["stop"]) => engine.stop(&found, query).await,
        ("POST", ["restart"]) => engine.restart(&found, query).await,
        ("POST", ["kill"]) => engine.kill(&found, query).await,
        ("POST", ["wait"]) => engine.wait(&found, query),
        ("POST", ["rename"]) => engine.rename(&found, query),
        ("DELETE", []) => engine.remove(&found, query).await,
        ("POST", ["attach"]) => streams::attach(&found, query, call).await,
        ("POST", ["resize"]) => streams::resize(&found, query).await,
        ("GET", ["logs"]) => logs::logs(engine, &found, query).await,
        ("GET", ["top"]) => top::top(engine, &found, query),
        ("POST", ["exec"]) => streams::create_exec(engine, &found, call).await,
        ("GET" | "HEAD" | "PUT", ["archive"]) => {
            streams::archive(engine, &found, query, call).await
        }
        _ => Err(unknown(&call.method, &target)),
    }
}

/// `POST /containers/create` without a name of workerd's: a container of its own, or one of the two
/// by which a workerd fills its volumes.
async fn create_container(engine: &Arc<Inner>, call: Call) -> Answer {
    let (method, target, peer) = (call.method.clone(), call.target.clone(), call.peer.clone());
    let body = read(call.body).await?;
    let json = parse_json(&body)?;
    let binds = json["HostConfig"]["Binds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_workerd = |bind: &Value| bind.as_str().is_some_and(|b| b.starts_with(SNAPSHOT_VOLUME));
    if binds.iter().any(of_workerd) {
        return match DockerRequest::parse(&method, &target, &body) {
            Ok(request) => Ok(engine.api.answer(request, peer.caller()).await.into_http()),
            Err(error) => Ok(Reply::from(error).into_http()),
        };
    }
    create::create(engine, query(&target), &json).await
}

/// Whether an image is the sidecar that Berth itself is.
#[must_use]
pub fn is_sidecar(image: &str) -> bool {
    let name = image.split(['@', ':']).next().unwrap_or(image);
    name.strip_prefix("docker.io/").unwrap_or(name) == SIDECAR_IMAGE
}

/// Docker's shape of "there is no such page", with the path.
pub(super) fn unknown(method: &Method, target: &str) -> EngineError {
    let path: String = target.split('?').next().unwrap_or(target).chars().take(200).collect();
    EngineError::NotSupported(format!("{method} {path}"))
}

/// 204.
pub(super) fn done() -> Answer {
    empty(StatusCode::NO_CONTENT)
}

/// Everything that a call's own bytes decide, without an engine behind it; see [`crate::fuzz`].
pub(crate) fn fuzz(method: &Method, target: &str, body: &[u8]) {
    let _ = is_workerds(method, target);
    let query = query(target);
    let _ = super::filters::Filters::parse(query.get("filters").as_deref());
    let _ = events::moment(query, "since");
    let _ = auth::credentials(query.get("auth").as_deref());
    if let Ok(json) = parse_json(body) {
        create::fuzz(&json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_workerd_makes_is_told_by_its_name() {
        let object = "a".repeat(64);
        for (method, target, its) in [
            ("GET", format!("/containers/workerd-s-w-C-{object}/json"), true),
            ("DELETE", format!("/v1.43/containers/workerd-s-w-C-{object}-proxy?force=true"), true),
            ("POST", format!("/containers/create?name=workerd-s-w-C-{object}"), true),
            ("POST", "/containers/create?name=web".to_owned(), false),
            ("GET", "/containers/web/json".to_owned(), false),
            (
                "GET",
                "/volumes?filters=%7B%22name%22%3A%5B%22workerd-snap-%22%5D%7D".to_owned(),
                true,
            ),
            ("GET", "/volumes".to_owned(), false),
            ("GET", "/images/workerd-container-snap-1/json".to_owned(), true),
            ("GET", "/images/nginx/json".to_owned(), false),
            ("GET", "/networks/bridge".to_owned(), true),
        ] {
            let method = method.parse().unwrap();
            assert_eq!(is_workerds(&method, &target), its, "{method} {target}");
        }
    }

    #[test]
    fn the_sidecar_is_told_however_it_is_pinned() {
        for name in [
            "cloudflare/proxy-everything",
            "cloudflare/proxy-everything:3cb1195@sha256:0ef6",
            "docker.io/cloudflare/proxy-everything:x",
        ] {
            assert!(is_sidecar(name), "{name}");
        }
        assert!(!is_sidecar("cloudflare/proxy-everything-else") && !is_sidecar("nginx"));
    }
}
