//! Cloudflare's v4 API, as much of it as `wrangler containers build --push`, `push`, `images` and
//! `registries credentials` ask for. Everything else is answered that it is not there, by name.
#![forbid(unsafe_code)]

mod account;
mod envelope;
mod registries;
mod route;

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

pub use envelope::Body;
use envelope::{Failure, success};
pub use registries::{Permission, RegistryCredential, RegistryCredentials};
use route::Route;

/// Largest request body; wrangler's are a few dozen bytes.
const MOST_BODY_BYTES: usize = 64 * 1024;

/// The API.
#[derive(Clone)]
pub struct Control {
    /// The account there is.
    account: String,
    /// What callers must present as `Bearer`.
    token: String,
    /// Hosts under which the registry is known.
    hosts: Vec<String>,
    registry: Arc<dyn RegistryCredentials>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Control {
    /// The API of one account, whose images are in the registry of these hosts.
    #[must_use]
    pub fn new(
        account: String,
        token: String,
        hosts: Vec<String>,
        registry: Arc<dyn RegistryCredentials>,
    ) -> Self {
        Self { account, token, hosts, registry }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let answer = self.try_answer(&head.method, head.uri.path(), &head.headers, body).await;
        let response = answer.unwrap_or_else(Failure::into_response);
        tracing::info!(method = %head.method, path = head.uri.path(),
            status = response.status().as_u16(), "request");
        response
    }

    async fn try_answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let (account, route) = Route::parse(method, path)?;
        self.authenticate(headers)?;
        if account != self.account {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                9109,
                format!(
                    "Unauthorized to access requested resource: the account here is {}",
                    self.account
                ),
            ));
        }
        match route {
            Route::Me => Ok(success(&account::me(&account))),
            Route::Credentials(host) => {
                let body = Limited::new(body, MOST_BODY_BYTES).collect().await;
                let body = body.map_err(|error| {
                    Failure::bad_request(format!("the body could not be read: {error}"))
                })?;
                self.credentials(&account, &host, &body.to_bytes()).map(|given| success(&given))
            }
        }
    }

    fn credentials(
        &self,
        account: &str,
        host: &str,
        body: &[u8],
    ) -> Result<registries::Given, Failure> {
        if !self.hosts.iter().any(|own| own == host) {
            return Err(Failure::new(StatusCode::NOT_FOUND, 1000, "IMAGE_REGISTRY_NOT_FOUND"));
        }
        let wanted = registries::Wanted::parse(body)?;
        Ok(registries::give(self.registry.as_ref(), account, host, &wanted))
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer "));
        // Digests take the same time to compare wherever the texts differ.
        let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        match given {
            Some(given) if digest(given.trim()).as_ref() == digest(&self.token).as_ref() => Ok(()),
            _ => Err(Failure::new(StatusCode::FORBIDDEN, 10000, "Authentication error")),
        }
    }
}
