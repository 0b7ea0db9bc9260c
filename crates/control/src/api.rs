//! Requests: whose they are, what they ask for, and the answer.

mod applications;
mod assets;
mod audit;
mod berth;
mod body;
mod content;
mod scripts;
mod secret_stores;
mod secrets;
mod ssh;
mod tails;
mod user;
mod versions;
mod websocket;
mod zones;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use store::Store;

use crate::account;
use crate::blobs::Blobs;
use crate::containers::Containers;
use crate::envelope::{Body, Failure, success};
use crate::limits::AccountLimits;
use crate::platform::Platform;
use crate::records::{Scope, Token};
use crate::registries::{self, RegistryCredentials};
use crate::route::{AccountRoute, OpenRoute, Route};
use crate::seal::Sealer;
use crate::ssh::{Ssh, SshHostKey};
use crate::state::State;
use crate::tokens::{self, Tokens};
use crate::workers::{Author, Workers};

/// What the API is opened with.
#[derive(Clone)]
pub struct ApiConfig {
    /// The account there is.
    pub account: String,
    /// Hosts under which the registry is known.
    pub registry_hosts: Vec<String>,
    /// Who gives credentials for it.
    pub registry: Arc<dyn RegistryCredentials>,
    /// Who may ask.
    pub access: Access,
    /// What is deployed here; `None` where there is a registry alone.
    pub serving: Option<Serving>,
}

/// What it takes to run what is deployed.
#[derive(Clone)]
pub struct Serving {
    /// The records.
    pub store: Arc<dyn Store>,
    /// What encrypts the secrets among them.
    pub sealer: Arc<Sealer>,
    /// What the platform proves itself by to SSH clients.
    pub ssh_host_key: SshHostKey,
    /// The folder of the Workers' modules.
    pub blobs: PathBuf,
    /// Who runs it all.
    pub platform: Arc<dyn Platform>,
    /// Below this domain each Worker has a host of its own.
    pub domain: String,
    /// The port at which it answers.
    pub port: u16,
    /// Time between SIGTERM and SIGKILL of an instance.
    pub stop_grace: Duration,
    /// What its containers may use.
    pub limits: AccountLimits,
}

/// Stands among a request's extensions if it came by TLS.
#[derive(Debug, Clone, Copy)]
pub struct Tls;

/// Who may ask.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever has a token of these.
    Tokens(Tokens),
    /// Whoever has this token, which allows everything.
    One(String),
}

/// The API; clones are the same one.
#[derive(Clone)]
pub struct Api {
    account: String,
    registry_hosts: Vec<String>,
    registry: Arc<dyn RegistryCredentials>,
    access: Access,
    platform: Option<Deployed>,
}

/// What is deployed.
#[derive(Clone)]
pub(crate) struct Deployed {
    pub(crate) workers: Workers,
    pub(crate) containers: Containers,
    /// Where Workers answer.
    pub(crate) port: u16,
}

impl std::fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiConfig").field("account", &self.account).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("account", &self.account).finish_non_exhaustive()
    }
}

/// A request whose token is known.
pub(crate) struct Asked {
    pub(crate) head: Parts,
    pub(crate) body: Incoming,
    pub(crate) token: Token,
}

impl Asked {
    /// Who asks, for what is written down.
    pub(crate) fn author(&self, source: &'static str) -> Author {
        Author { name: self.token.name.clone(), source, message: None }
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        query(&self.head, name)
    }
}

fn query(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?.as_bytes();
    form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value.into())
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    given.strip_prefix("Bearer ").map(str::trim)
}

impl Api {
    /// The API of one account.
    #[must_use]
    pub fn new(config: ApiConfig) -> Self {
        let platform = config.serving.map(|serving| {
            let state = State {
                store: serving.store,
                sealer: serving.sealer,
                blobs: Blobs::in_folder(&serving.blobs),
            };
            let (platform, grace) = (serving.platform, serving.stop_grace);
            let ssh = Ssh::new(serving.ssh_host_key);
            let containers =
                Containers::new(state.clone(), Arc::clone(&platform), grace, serving.limits, ssh);
            let workers = Workers::new(state, platform, serving.domain, containers.clone());
            Deployed { workers, containers, port: serving.port }
        });
        Self {
            account: config.account,
            registry_hosts: config.registry_hosts,
            registry: config.registry,
            access: config.access,
            platform,
        }
    }

    /// Removes what removed Workers and uploads that led to nothing have left on disk. To be called
    /// before the first request is answered: what an upload brings has no name until it is done.
    pub fn remove_leftovers(&self) {
        let Some(deployed) = &self.platform else { return };
        if let Err(failure) = deployed.workers.state.remove_unnamed_content() {
            tracing::error!(?failure, "content that nothing names stays");
        }
        if let Err(failure) = crate::audit::remove_old(&deployed.workers.state, Timestamp::now()) {
            tracing::error!(?failure, "old entries of the audit log stay");
        }
    }

    /// Starts what the records say should run; returns when all of it serves. What does not start is
    /// logged, and the rest serves.
    ///
    /// # Errors
    /// The records cannot be read.
    pub async fn start(&self) -> Result<(), String> {
        let Some(deployed) = &self.platform else { return Ok(()) };
        let started = async {
            deployed.containers.start_all().await?;
            deployed.workers.start_all().await
        };
        started.await.map_err(|failure: Failure| format!("{failure:?}"))
    }

    /// Answers a request. A client that goes away meanwhile cuts off nothing that was begun: what is
    /// written down is carried out, too.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let api = self.clone();
        let answer = tokio::spawn(async move { api.answer_whole(request).await }).await;
        answer.unwrap_or_else(|error| Failure::internal(error.to_string()).into_response())
    }

    async fn answer_whole(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let answer = self.try_answer(head, body).await;
        let response = answer.unwrap_or_else(Failure::into_response);
        tracing::info!(%method, path, status = response.status().as_u16(), "request");
        response
    }

    async fn try_answer(&self, head: Parts, body: Incoming) -> Result<Response<Body>, Failure> {
        let route = Route::parse(&head.method, head.uri.path())?;
        let scope = route.scope(&head.method);
        let (account, route) = match route {
            Route::Open(OpenRoute::UploadAssets(hash)) => {
                return assets::upload(&self.deployed(&head)?.workers, hash, &head, body).await;
            }
            Route::Open(OpenRoute::Tail(id)) => {
                return tails::open(&self.deployed(&head)?.workers, &id, head, body).await;
            }
            Route::Open(OpenRoute::Ssh(id)) => {
                return ssh::open(&self.deployed(&head)?.containers, &id, head, body);
            }
            Route::Open(OpenRoute::Document) => return Ok(crate::openapi::answer()),
            Route::User(route) => {
                let token = self.authenticate(&head.headers, scope)?;
                return Ok(user::answer(route, &self.account, &token));
            }
            Route::Zones(route) => {
                let token = self.authenticate(&head.headers, scope)?;
                let asked = Asked { head, body, token };
                let state = &self.deployed(&asked.head)?.workers.state;
                return zones::answer(state, &self.account, &route, &asked);
            }
            Route::Account(account, route) => (account, route),
        };
        let token = self.authenticate(&head.headers, scope)?;
        let asked = Asked { head, body, token };
        if account != self.account {
            let message = format!(
                "Unauthorized to access requested resource: the account here is {}",
                self.account
            );
            return Err(Failure::new(StatusCode::FORBIDDEN, 9109, message));
        }
        let written = match (&self.platform, audit::entry(&asked, &route)) {
            (Some(deployed), Some(entry)) => {
                crate::audit::write(&deployed.workers.state, &entry)?;
                Some((&deployed.workers.state, entry))
            }
            _ => None,
        };
        let answer = self.answer_account(&account, route, asked).await;
        if let Some((state, mut entry)) = written {
            let status = answer.as_ref().map_or_else(Failure::status, Response::status);
            entry.status = Some(status.as_u16());
            // It is in the log already, and made: the answer tells of that.
            if let Err(failure) = crate::audit::write(state, &entry) {
                tracing::error!(?failure, id = %entry.id, "how a change ended is not in the audit log");
            }
        }
        answer
    }

    async fn answer_account(
        &self,
        account: &str,
        route: AccountRoute,
        asked: Asked,
    ) -> Result<Response<Body>, Failure> {
        match route {
            AccountRoute::Workers(route) => {
                scripts::answer(self.deployed(&asked.head)?, route, asked).await
            }
            AccountRoute::ContainersMe => {
                let limits = self.platform.as_ref().map(|deployed| deployed.containers.limits);
                Ok(success(&account::me(account, &limits.unwrap_or_default())))
            }
            AccountRoute::Credentials(host) => self.credentials(account, &host, asked).await,
            AccountRoute::AuditLog => {
                audit::list(&self.deployed(&asked.head)?.workers.state, account, &asked)
            }
            AccountRoute::Berth(route) => {
                berth::answer(&self.deployed(&asked.head)?.containers, route, asked).await
            }
            AccountRoute::Containers(route) => {
                let own = &self.registry_hosts;
                applications::answer(self.deployed(&asked.head)?, own, route, asked).await
            }
            AccountRoute::SecretStores(route) => {
                secret_stores::answer(self.deployed(&asked.head)?, account, route, asked).await
            }
        }
    }

    fn deployed(&self, head: &Parts) -> Result<&Deployed, Failure> {
        self.platform.as_ref().ok_or_else(|| {
            let (method, path) = (&head.method, head.uri.path());
            let why = "this is a registry alone; `berth serve` has it";
            let message = format!("Could not route to {method} {path}: {why}");
            Failure::new(StatusCode::NOT_FOUND, 7003, message)
        })
    }

    async fn credentials(
        &self,
        account: &str,
        host: &str,
        asked: Asked,
    ) -> Result<Response<Body>, Failure> {
        if !self.registry_hosts.iter().any(|own| own == host) {
            return Err(Failure::new(StatusCode::NOT_FOUND, 1000, "IMAGE_REGISTRY_NOT_FOUND"));
        }
        let wanted = registries::Wanted::parse(&body::bytes(asked.body).await?)?;
        Ok(success(&registries::give(self.registry.as_ref(), account, host, &wanted)))
    }

    fn authenticate(&self, headers: &HeaderMap, wanted: Scope) -> Result<Token, Failure> {
        let found = match (bearer(headers), &self.access) {
            (Some(text), Access::Tokens(tokens)) => tokens.find(text, Timestamp::now()),
            (Some(text), Access::One(own)) => Ok(tokens::one(own, text)),
            (None, _) => Ok(None),
        };
        let found = found.map_err(|error| Failure::internal(format!("failed to {error}")))?;
        let token = found
            .ok_or_else(|| Failure::new(StatusCode::FORBIDDEN, 10000, "Authentication error"))?;
        if token.allows(wanted) {
            return Ok(token);
        }
        Err(not_allowed(&token, wanted))
    }
}

fn not_allowed(token: &Token, wanted: Scope) -> Failure {
    let message = format!(
        "Authentication error: the token \"{}\" does not allow {}",
        token.name,
        wanted.name()
    );
    Failure::new(StatusCode::FORBIDDEN, 10000, message)
}
