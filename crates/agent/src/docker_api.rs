//! The slice of the Docker Engine API that workerd speaks: http → [`DockerRequest`] → action → reply.
//!
//! One file for each resource. Names and limits come from the applications; what a caller says
//! about networks, privileges and resources is not heard.

pub(crate) mod archives;
mod containers;
pub(crate) mod exec;
mod helpers;
mod images;
mod networks;
pub(crate) mod path;
pub(crate) mod reply;
mod request;
mod signal;
mod volumes;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

pub(crate) use helpers::{Helpers, is_helper};
pub(crate) use images::is_snapshot;
pub(crate) use request::{CreateContainer, CreateExec, DockerRequest, StartExec};
pub(crate) use signal::parse as parse_signal;
pub(crate) use volumes::Volumes;

use crate::application::Applications;
use crate::exec::Execs;
use crate::node::Node;
use crate::peer::Peer;
use crate::slot::Slots;
use reply::{HttpReply, Reply};
use request::ContainerCall;

/// Longest request body; workerd's are a few kilobytes, an environment may be larger.
const MOST_BODY_BYTES: usize = 4 * 1024 * 1024;

/// What the API works on.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) node: Arc<Node>,
    pub(crate) applications: Arc<Applications>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) execs: Execs,
    pub(crate) helpers: Helpers,
    pub(crate) volumes: Volumes,
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// The user its process runs as.
    pub(crate) uid: u32,
    /// Whether it is leaving: what it deletes then, its successor may want.
    pub(crate) draining: bool,
}

/// Serves one connection. `peer` is asked anew for each request: a process may begin to leave.
pub(crate) async fn serve(stream: UnixStream, api: Arc<Api>, peer: Peer) {
    let service = service_fn(move |request| {
        let (api, peer) = (Arc::clone(&api), peer.clone());
        async move { Ok::<_, Infallible>(api.serve(request, &peer).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "a connection from workerd broke");
    }
}

impl Api {
    /// Answers one request, as a workerd sends it.
    pub(crate) async fn serve(&self, request: Request<Incoming>, peer: &Peer) -> HttpReply {
        let (mut head, body) = request.into_parts();
        // An exec's start is upgraded; what follows its body belongs to the exec.
        let upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let started = std::time::Instant::now();
        // Only archives are put, and those may be large.
        let (body, upload) = if head.method == Method::PUT {
            match archives::receive(self.node.snapshots.store(), body).await {
                Ok(upload) => (Bytes::new(), Some(upload)),
                Err(reply) => return reply.into_http(),
            }
        } else {
            match Limited::new(body, MOST_BODY_BYTES).collect().await {
                Ok(body) => (body.to_bytes(), None),
                Err(error) => {
                    let text = format!("the request's body could not be read: {error}");
                    return Reply::error(StatusCode::BAD_REQUEST, text).into_http();
                }
            }
        };
        let reply = match DockerRequest::parse(&head.method, &target, &body) {
            Ok(DockerRequest::Exec(id, call)) => exec::answer(self, &id, call, upgrade).await,
            Ok(DockerRequest::Container(name, call @ ContainerCall::GetArchive(_))) => {
                containers::archive(self, &name, call, upload).await
            }
            Ok(DockerRequest::Container(name, call @ ContainerCall::PutArchive(_))) => {
                containers::archive(self, &name, call, upload).await
            }
            Ok(DockerRequest::Helper(id, call)) => {
                helpers::answer(self, &id, call, upload).await.into_http()
            }
            Ok(request) => {
                let mut caller = peer.caller();
                if request.is_delete() && !caller.draining {
                    caller.draining = peer.has_begun_to_leave().await;
                }
                self.answer(request, caller).await.into_http()
            }
            Err(error) => {
                tracing::warn!(method = %head.method, target, %error, "request not done");
                Reply::from(error).into_http()
            }
        };
        tracing::debug!(method = %head.method, target, status = reply.status().as_u16(),
            took = ?started.elapsed(), "docker api");
        reply
    }

    /// Answers a call whose body was read and that has no streams.
    pub(crate) async fn answer(&self, request: DockerRequest, caller: Caller) -> Reply {
        match request {
            DockerRequest::ListVolumes => volumes::list(self).await,
            DockerRequest::CreateVolume(name) => volumes::create(self, &name),
            DockerRequest::InspectVolume(name) => volumes::inspect(self, &name).await,
            DockerRequest::RemoveVolume(name) => volumes::remove(self, &name).await,
            DockerRequest::Commit(name, image) => images::commit(self, &name, &image).await,
            DockerRequest::InspectImage(name) => images::inspect(self, &name).await,
            DockerRequest::RemoveImage(name) => images::remove(self, &name).await,
            DockerRequest::CreateHelper(purpose) => helpers::create(self, purpose),
            DockerRequest::InspectBridge => networks::bridge(),
            DockerRequest::PullImage => images::pull(),
            DockerRequest::CreateContainer(name, create) => {
                containers::create(self, &name, *create, caller).await
            }
            DockerRequest::Container(name, call) => {
                containers::answer(self, &name, call, caller).await
            }
            DockerRequest::Exec(..) | DockerRequest::Helper(..) => {
                Reply::empty(StatusCode::NOT_FOUND)
            }
        }
    }
}
