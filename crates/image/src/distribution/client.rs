//! One repository's HTTP side: its endpoints, who we are to each, and how often a request is made.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{self, Method, Response, StatusCode, header};
use ureq::{Agent, Body, SendBody};

use super::auth::{self, Challenge, TokenAnswer};
use super::credentials;
use super::http::{agent, host, is_loopback, origin, root_certificates};
use super::trouble::{ANSWER_BYTES, Trouble};
use crate::error::{Attempt, StoreError};
use crate::options::Credentials;
use crate::progress::Progress;
use crate::reference::{DOCKER_HUB, Reference};

/// Times a request is made before its endpoint is given up.
pub(crate) const ATTEMPTS: u32 = 4;
/// Pause after the first failure; it doubles with each further one.
const BACK_OFF: Duration = Duration::from_millis(200);
/// Longest pause a registry may ask for by `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How often a pause looks whether the caller asked to stop.
const PAUSE_STEP: Duration = Duration::from_millis(20);

/// What an endpoint is to its registry.
const REGISTRY: &str = "registry";

/// What a caller says about registries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access<'a> {
    /// Registry host → base URL asked before it; `None` where only the registry itself will do.
    pub(crate) mirrors: Option<&'a BTreeMap<String, String>>,
    /// Hosts that are spoken to without TLS.
    pub(crate) insecure: &'a BTreeSet<String>,
    pub(crate) credentials: &'a BTreeMap<String, Credentials>,
    pub(crate) docker_config: Option<&'a Path>,
    /// What a token must allow: `pull`, or `pull,push`.
    pub(crate) actions: &'static str,
}

/// A registry or a mirror of it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    role: &'static str,
    /// Scheme, host and path, without `/v2` and without a slash at the end; see [`Self::base`].
    base: String,
    /// Whether TLS turned out to be what is spoken there, although nothing says so.
    tls: AtomicBool,
    /// The registry a mirror stands for.
    namespace: Option<String>,
    credentials: Option<Credentials>,
    /// The `Authorization` that worked last.
    authorization: Mutex<Option<String>>,
}

impl Endpoint {
    /// Scheme, host and path, without `/v2` and without a slash at the end.
    pub(super) fn base(&self) -> String {
        match self.base.strip_prefix("http://") {
            Some(rest) if self.tls.load(Ordering::Relaxed) => format!("https://{rest}"),
            _ => self.base.clone(),
        }
    }

    /// Whether TLS may be spoken there all the same: a registry's own host may have a certificate
    /// where none is asked for.
    fn may_speak_tls(&self) -> bool {
        self.role == REGISTRY && self.base.starts_with("http:") && !self.tls.load(Ordering::Relaxed)
    }
}

/// Why a request gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This endpoint does not serve it; another one may.
    Endpoint(Attempt),
    /// No use in asking others.
    Store(StoreError),
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// Nothing, as `GET` and `HEAD` do.
    None,
    Bytes(&'a [u8]),
    /// So many bytes of a reader that can be opened again, should the request be repeated.
    Stream {
        open: &'a dyn Fn() -> io::Result<Box<dyn Read + 'a>>,
        length: u64,
    },
}

/// A request to a repository.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    /// Below the repository (`manifests/v1`), or a whole URL that an answer gave.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) payload: Payload<'a>,
    /// An answer, beside successes, that is one to the question.
    pub(crate) also: Option<StatusCode>,
    /// Times it is made while it may work next time.
    pub(crate) attempts: u32,
}

impl<'a> Request<'a> {
    /// Asks for what is at `target`, as often as it takes.
    pub(crate) fn new(method: &'a Method, target: &'a str) -> Self {
        let (headers, payload): (&[_], _) = (&[], Payload::None);
        Self { method, target, headers, payload, also: None, attempts: ATTEMPTS }
    }
}

/// A repository in its registry, and where else it may be had.
pub(crate) struct Client {
    repository: String,
    actions: &'static str,
    endpoints: Vec<Endpoint>,
    proxied: Agent,
    /// For endpoints on this machine: a proxy elsewhere cannot reach them.
    direct: Agent,
}

impl Client {
    /// Fails with what is wrong in the settings.
    pub(crate) fn new(reference: &Reference, access: &Access<'_>) -> Result<Self, String> {
        Self::of(reference.registry(), reference.repository(), access)
    }

    /// The same of a registry itself, whatever its repositories.
    pub(super) fn of_registry(registry: &str, access: &Access<'_>) -> Result<Self, String> {
        Self::of(registry, "", access)
    }

    fn of(registry: &str, repository: &str, access: &Access<'_>) -> Result<Self, String> {
        let mut endpoints = Vec::new();
        if let Some(url) = access.mirrors.and_then(|mirrors| mirrors.get(registry)) {
            let base = url.trim_end_matches('/').trim_end_matches("/v2").to_owned();
            let Some(host) = host(&base) else {
                return Err(format!(
                    "the mirror \"{url}\" for {registry} is not a URL (https://host[:port][/path])"
                ));
            };
            endpoints.push(Endpoint {
                role: "mirror",
                namespace: Some(registry.to_owned()),
                credentials: credentials::find(host, access)?,
                authorization: Mutex::new(None),
                tls: AtomicBool::new(false),
                base,
            });
        }
        let base = match registry {
            DOCKER_HUB => "https://registry-1.docker.io".to_owned(),
            _ if is_loopback(registry) || access.insecure.contains(registry) => {
                format!("http://{registry}")
            }
            _ => format!("https://{registry}"),
        };
        endpoints.push(Endpoint {
            role: REGISTRY,
            base,
            tls: AtomicBool::new(false),
            namespace: None,
            credentials: credentials::find(registry, access)?,
            authorization: Mutex::new(None),
        });
        let certificates = root_certificates();
        let (proxied, direct) = (agent(true, certificates.clone()), agent(false, certificates));
        let repository = repository.to_owned();
        Ok(Self { repository, actions: access.actions, endpoints, proxied, direct })
    }

    /// A mirror, if there is one, then the registry.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The registry itself.
    pub(crate) fn registry(&self) -> &Endpoint {
        self.endpoints.last().expect("the registry is always among the endpoints")
    }

    /// What an endpoint did that is of no use.
    pub(crate) fn failure(&self, endpoint: &Endpoint, target: &str, outcome: String) -> Failure {
        let (role, url) = (endpoint.role, self.url(endpoint, target));
        Failure::Endpoint(Attempt { role, url, outcome, status: None })
    }

    /// The answer to a request, if it is one to the question. Repeats what may work next time.
    pub(crate) fn request(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Response<Body>, Failure> {
        let mut url = self.url(endpoint, request.target);
        let mut attempt = 0;
        loop {
            if progress.cancelled() {
                return Err(Failure::Store(StoreError::Cancelled));
            }
            attempt += 1;
            let mut trouble = match self.authorized(endpoint, &url, request) {
                Ok(response)
                    if response.status().is_success()
                        || request.also == Some(response.status()) =>
                {
                    return Ok(response);
                }
                Ok(response) => Trouble::of(response),
                Err(trouble) => trouble,
            };
            if progress.cancelled() {
                return Err(Failure::Store(StoreError::Cancelled));
            }
            if trouble.may_be_tls() {
                if attempt == 1
                    && endpoint.may_speak_tls()
                    && let Err(tls) = self.try_tls(endpoint)
                {
                    trouble.also_by_tls(&tls);
                }
                // Another request may have found out as well.
                let now = self.url(endpoint, request.target);
                if now != url {
                    url = now;
                    continue;
                }
            }
            if !trouble.transient || attempt >= request.attempts {
                let Trouble { outcome, status, .. } = trouble;
                let url = without_query(&url).to_owned();
                return Err(Failure::Endpoint(Attempt {
                    role: endpoint.role,
                    url,
                    outcome,
                    status,
                }));
            }
            let shown = without_query(&url);
            progress.log(&format!("{} {shown}: {}; trying again", endpoint.role, trouble.outcome));
            pause(attempt, trouble.retry_after, progress)?;
        }
    }

    /// Speaks TLS to an endpoint that was taken for one without, from now on if that works.
    fn try_tls(&self, endpoint: &Endpoint) -> Result<(), Trouble> {
        let url = format!("{}/v2/", endpoint.base.replacen("http:", "https:", 1));
        self.send(&url, &Request::new(&Method::GET, &url), None)?;
        endpoint.tls.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// One request, with a token or a password if the registry asks for it.
    fn authorized(
        &self,
        endpoint: &Endpoint,
        url: &str,
        request: &Request<'_>,
    ) -> Result<Response<Body>, Trouble> {
        // What an answer leads to elsewhere, a storage bucket say, must not learn who we are.
        let ours = origin(url).is_some() && origin(url) == origin(&endpoint.base());
        if !ours {
            return self.send(url, request, None);
        }
        let known = lock(&endpoint.authorization).clone();
        let response = self.send(url, request, known.as_deref())?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let values = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = auth::parse(values.iter().filter_map(|value| value.to_str().ok()));
        let authorization = match challenge {
            Some(Challenge::Bearer { realm, service, scope }) => {
                self.token(endpoint, &realm, service.as_deref(), scope.as_deref())?
            }
            Some(Challenge::Basic) => match &endpoint.credentials {
                Some(credentials) => credentials::basic(credentials),
                None => return Ok(response),
            },
            None => return Ok(response),
        };
        let response = self.send(url, request, Some(&authorization))?;
        if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            *lock(&endpoint.authorization) = Some(authorization);
        }
        Ok(response)
    }

    /// Gets a token; anonymously when we have no credentials.
    fn token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<String, Trouble> {
        if host(realm).is_none() {
            return Err(Trouble::of_text(format!("its token server \"{realm}\" is not a URL")));
        }
        if endpoint.base().starts_with("https:") && !realm.starts_with("https:") {
            let text = format!("its token server {realm} would get our password in the clear");
            return Err(Trouble::of_text(text));
        }
        let own = match self.repository.as_str() {
            "" => String::new(),
            repository => format!("repository:{repository}:{}", self.actions),
        };
        let url = auth::token_url(realm, service, &auth::scopes(&own, scope));
        let basic = endpoint.credentials.as_ref().map(credentials::basic);
        let response = self.send(&url, &Request::new(&Method::GET, &url), basic.as_deref())?;
        if !response.status().is_success() {
            let mut trouble = Trouble::of(response);
            trouble.outcome = format!("token server {realm}: {}", trouble.outcome);
            return Err(trouble);
        }
        let reader = response.into_body().into_reader().take(ANSWER_BYTES);
        serde_json::from_reader::<_, TokenAnswer>(reader)
            .ok()
            .and_then(TokenAnswer::into_token)
            .map(|token| format!("Bearer {token}"))
            .ok_or_else(|| Trouble::of_text(format!("token server {realm} gave no token")))
    }

    fn send(
        &self,
        url: &str,
        request: &Request<'_>,
        authorization: Option<&str>,
    ) -> Result<Response<Body>, Trouble> {
        let direct = host(url).is_some_and(is_loopback);
        let agent = if direct { &self.direct } else { &self.proxied };
        let mut builder = http::Request::builder().method(request.method).uri(url);
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(value) = authorization {
            builder = builder.header(header::AUTHORIZATION, value);
        }
        let invalid = |error: http::Error| Trouble::of_text(error.to_string());
        let answer = match request.payload {
            Payload::None => agent.run(builder.body(SendBody::none()).map_err(invalid)?),
            Payload::Bytes(bytes) => agent.run(builder.body(bytes).map_err(invalid)?),
            Payload::Stream { open, length } => {
                let mut reader = open().map_err(|error| Trouble::of_text(error.to_string()))?;
                let builder = builder.header(header::CONTENT_LENGTH, length);
                agent.run(builder.body(SendBody::from_reader(&mut reader)).map_err(invalid)?)
            }
        };
        answer.map_err(Trouble::of_error)
    }

    /// The whole URL of what is below the repository.
    pub(crate) fn url(&self, endpoint: &Endpoint, target: &str) -> String {
        if host(target).is_some() {
            return target.to_owned();
        }
        let mut url = match self.repository.as_str() {
            "" => format!("{}/v2/{target}", endpoint.base()),
            repository => format!("{}/v2/{repository}/{target}", endpoint.base()),
        };
        if let Some(namespace) = &endpoint.namespace {
            url.push_str(if url.contains('?') { "&ns=" } else { "?ns=" });
            auth::encode(namespace, &mut url);
        }
        url
    }
}

/// A URL for messages: queries carry states of uploads, and secrets of storage buckets.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// Waits before the next attempt; longer each time, or as long as the registry asks.
pub(crate) fn pause(
    attempt: u32,
    asked: Option<Duration>,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let mut left = asked.unwrap_or(BACK_OFF * 2_u32.pow(attempt - 1)).min(LONGEST_PAUSE);
    while !left.is_zero() {
        if progress.cancelled() {
            return Err(Failure::Store(StoreError::Cancelled));
        }
        let step = left.min(PAUSE_STEP);
        std::thread::sleep(step);
        left -= step;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
