//! One request: who asks, for what, and who answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use image::{Digest, ImageStore, PullOptions, Repositories, RepositoryName, StoreError};

use crate::auth::{Action, Auth, Challenge, GRACE, Leases, Principal, SigningKey, scope};
use crate::body::small;
use crate::error::{ApiError, Code};
use crate::live::LiveUploads;
use crate::mirror::Mirrors;
use crate::quota::Quota;
use crate::reply::{Body, Reply};
use crate::route::{Endpoint, Query, Route};
use crate::{blobs, garbage, listing, manifests, uploads};

const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// Largest body of a request for a token.
const FORM_BYTES: usize = 64 * 1024;

/// What the registry is told.
pub struct Options {
    /// Signs credentials.
    pub key: SigningKey,
    /// Nobody is asked who they are.
    pub anonymous: bool,
    /// Bytes that each account may have.
    pub quota: u64,
    /// Bytes that one image may have.
    pub image_limit: u64,
    /// Whether a tag stays with the manifest it first named.
    pub immutable_tags: bool,
    /// Registries this one stands for, each with another URL for it, if there is one.
    pub mirrors: BTreeMap<String, Option<String>>,
    /// How those are pulled from.
    pub pull: PullOptions,
    /// Manifests that are in use although no name says so: those of running instances.
    pub roots: Arc<dyn Fn() -> Vec<Digest> + Send + Sync>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("quota", &self.quota).finish_non_exhaustive()
    }
}

/// A registry over an image store. Clones share it.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) api: Arc<Api>,
}

impl Registry {
    /// The registry of this store. `hosts` are the names under which clients know it: images of
    /// theirs are found in the store, by whoever works on it.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn new(store: &ImageStore, hosts: &[String], options: Options) -> Result<Self, StoreError> {
        let repositories = store.repositories()?;
        repositories.serve_as(hosts)?;
        let leases = Leases::of(repositories.active_since(GRACE)?);
        let auth = Auth { key: options.key.clone(), anonymous: options.anonymous, leases };
        let mirrors = Mirrors::new(&options.mirrors, options.pull.clone());
        let (live, quota) = (LiveUploads::default(), Quota::default());
        let collecting = tokio::sync::Mutex::default();
        let api = Api { repositories, auth, live, quota, mirrors, collecting, options };
        Ok(Self { api: Arc::new(api) })
    }
}

/// What requests work on.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) repositories: Repositories,
    pub(crate) auth: Auth,
    pub(crate) live: LiveUploads,
    pub(crate) quota: Quota,
    pub(crate) mirrors: Mirrors,
    /// Held while garbage is collected.
    pub(crate) collecting: tokio::sync::Mutex<()>,
    pub(crate) options: Options,
}

impl Api {
    /// Answers a request; `scheme` is how it came.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        scheme: &str,
    ) -> Response<Body> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let mut account = None;
        let mut response = match self.try_answer(&head, body, scheme, &mut account).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(?error, "refused");
                error.into_response()
            }
        };
        let version = HeaderValue::from_static("registry/2.0");
        response.headers_mut().insert(VERSION, version);
        let status = response.status().as_u16();
        let agent = head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        // The query is left out: it may carry a scope, a state, a digest, and nothing people need.
        tracing::info!(method = %head.method, path = head.uri.path(), status,
            took = ?started.elapsed(), account, agent, "request");
        response
    }

    async fn try_answer(
        self: &Arc<Self>,
        head: &Parts,
        body: Incoming,
        scheme: &str,
        account: &mut Option<String>,
    ) -> Result<Response<Body>, ApiError> {
        let query = Query(head.uri.query().unwrap_or_default());
        let namespace = self.mirrors.namespace(query.get("ns"));
        let route = Route::parse(head.uri.path(), namespace.as_deref())?;
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let challenge = Challenge { scheme, host: safe_host(host) };
        if route == Route::Token {
            return self.token(head, body, challenge).await;
        }
        let name = match &route {
            Route::Repository(name, _) => Some(name),
            _ => None,
        };
        let action = action(&head.method, &route);
        let wanted = name
            .map(|name| scope(action, name))
            .or_else(|| (route == Route::Catalog).then(|| "registry:catalog:*".to_owned()));
        let principal = self.auth.principal(&head.headers, challenge, wanted.as_deref())?;
        *account = principal.account().map(str::to_owned);
        let shared = name.is_some_and(|name| self.mirrors.is_mirrored(name));
        self.auth.authorize(&principal, action, name, shared, challenge)?;
        if shared && action == Action::Push {
            let message = "this repository is another registry's: push there";
            return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message));
        }
        match route {
            Route::Base => Ok(Reply::json(&serde_json::json!({})).done()),
            Route::Catalog => listing::catalog(self, &principal, head).await,
            Route::Garbage => garbage::answer(self, head).await,
            Route::Token => Err(ApiError::method("GET, POST")),
            Route::Repository(name, endpoint) => {
                self.repository(&principal, &name, endpoint, head, body).await
            }
        }
    }

    async fn repository(
        self: &Arc<Self>,
        principal: &Principal,
        name: &RepositoryName,
        endpoint: Endpoint,
        head: &Parts,
        body: Incoming,
    ) -> Result<Response<Body>, ApiError> {
        let query = Query(head.uri.query().unwrap_or_default());
        match endpoint {
            Endpoint::Blob(digest) => {
                blobs::answer(self, name, blobs::digest(&digest)?, head).await
            }
            Endpoint::Uploads if head.method == Method::POST => {
                uploads::begin(self, principal, name, uploads::Request { head, query, body }).await
            }
            Endpoint::Uploads => Err(ApiError::method("POST")),
            Endpoint::Upload(id) => {
                let request = uploads::Request { head, query, body };
                uploads::answer(self, principal, name, &id, request).await
            }
            Endpoint::Manifest(version) if head.method == Method::PUT => {
                manifests::put(self, principal, name, &version, head, body).await
            }
            Endpoint::Manifest(version) => manifests::answer(self, name, &version, head).await,
            Endpoint::Tags => listing::tags(self, name, head).await,
            Endpoint::Referrers(subject) => listing::referrers(self, name, &subject, head).await,
        }
    }

    /// `/v2/token`: by `GET` with name and password, or by `POST` with a form that has them.
    async fn token(
        self: &Arc<Self>,
        head: &Parts,
        body: Incoming,
        challenge: Challenge<'_>,
    ) -> Result<Response<Body>, ApiError> {
        match head.method {
            Method::GET => {
                let principal = self.auth.principal(&head.headers, challenge, None)?;
                let query = Query(head.uri.query().unwrap_or_default());
                Ok(Reply::json(&self.auth.token(&principal, query)).done())
            }
            Method::POST => {
                let body = small(body, FORM_BYTES).await?;
                let form = Query(std::str::from_utf8(&body).unwrap_or_default());
                let principal = self.auth.of_form(form, challenge)?;
                Ok(Reply::json(&self.auth.token(&principal, form)).done())
            }
            _ => Err(ApiError::method("GET, POST")),
        }
    }
}

fn action(method: &Method, route: &Route) -> Action {
    match (method, route) {
        // Where an upload stands is of interest to who uploads.
        (_, Route::Repository(_, Endpoint::Upload(_) | Endpoint::Uploads)) => Action::Push,
        (&Method::GET | &Method::HEAD, _) => Action::Pull,
        (&Method::DELETE, _) => Action::Delete,
        _ => Action::Push,
    }
}

/// A host that is safe to repeat in a header.
fn safe_host(host: Option<&str>) -> &str {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    host.filter(|host| !host.is_empty() && host.bytes().all(safe)).unwrap_or("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_break_out_of_the_challenge() {
        assert_eq!(safe_host(Some("localhost:5000")), "localhost:5000");
        assert_eq!(safe_host(Some("x\",realm=\"evil")), "localhost");
        assert_eq!(safe_host(None), "localhost");
    }
}
