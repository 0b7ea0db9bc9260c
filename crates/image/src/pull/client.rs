//! One pull's HTTP side: which endpoints to ask, in which order, as whom, and how often.

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::auth::{self, Challenge, TokenAnswer};
use super::credentials;
use crate::content::DOCUMENT_BYTES;
use crate::digest::Digest;
use crate::document::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::error::{Attempt, PullError, StoreError};
use crate::options::{Credentials, PullOptions};
use crate::progress::Progress;
use crate::reference::{DOCKER_HUB, Reference};

/// Times a request is made before its endpoint is given up.
pub(super) const ATTEMPTS: u32 = 4;
/// Pause after the first failure; it doubles with each further one.
const BACK_OFF: Duration = Duration::from_millis(200);
/// Longest pause a registry may ask for by `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How often a pause looks whether the pull was cancelled.
const PAUSE_STEP: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest error body or token answer that is read.
const ANSWER_BYTES: u64 = 64 * 1024;
/// Where distributions keep the certificates they trust.
const CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A registry or a mirror of it.
#[derive(Debug)]
pub(super) struct Endpoint {
    role: &'static str,
    /// Scheme, host and path, without `/v2` and without a slash at the end.
    base: String,
    /// The registry a mirror stands for.
    namespace: Option<String>,
    credentials: Option<Credentials>,
    /// The `Authorization` that worked last.
    authorization: Mutex<Option<String>>,
}

/// Why a request gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// This endpoint does not serve it; another one may.
    Endpoint(Attempt),
    /// No use in asking others.
    Store(StoreError),
}

pub(super) struct Client {
    reference: Reference,
    pub(super) endpoints: Vec<Endpoint>,
    proxied: Agent,
    /// For endpoints on this machine: a proxy elsewhere cannot reach them.
    direct: Agent,
}

impl Client {
    pub(super) fn new(reference: &Reference, options: &PullOptions) -> Result<Self, PullError> {
        let settings =
            |reason| PullError::Settings { reference: Box::new(reference.clone()), reason };
        let registry = reference.registry();
        let mut endpoints = Vec::new();
        if let Some(url) = options.mirrors.get(registry) {
            let base = url.trim_end_matches('/').trim_end_matches("/v2").to_owned();
            let Some(host) = host(&base) else {
                return Err(settings(format!(
                    "the mirror \"{url}\" for {registry} is not a URL (https://host[:port][/path])"
                )));
            };
            let credentials = credentials::find(host, options).map_err(settings)?;
            endpoints.push(Endpoint {
                role: "mirror",
                namespace: Some(registry.to_owned()),
                credentials,
                authorization: Mutex::new(None),
                base,
            });
        }
        let base = match registry {
            DOCKER_HUB => "https://registry-1.docker.io".to_owned(),
            _ if is_loopback(registry) => format!("http://{registry}"),
            _ => format!("https://{registry}"),
        };
        endpoints.push(Endpoint {
            role: "registry",
            base,
            namespace: None,
            credentials: credentials::find(registry, options).map_err(settings)?,
            authorization: Mutex::new(None),
        });
        let reference = reference.clone();
        let certificates = root_certificates();
        let (proxied, direct) = (agent(true, certificates.clone()), agent(false, certificates));
        Ok(Self { reference, endpoints, proxied, direct })
    }

    /// The manifest of a tag or digest; what comes for a digest has that digest.
    pub(super) fn manifest(
        &self,
        version: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<u8>, PullError> {
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");
        let path = format!("manifests/{version}");
        self.each_endpoint(&format!("its manifest {version}"), |endpoint| {
            let headers = [(header::ACCEPT.as_str(), accept.as_str())];
            let response = self.get(endpoint, &path, &headers, progress)?;
            let mut bytes = Vec::new();
            response
                .into_body()
                .into_reader()
                .take(DOCUMENT_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| self.failure(endpoint, &path, error.to_string()))?;
            if bytes.len() as u64 > DOCUMENT_BYTES {
                return Err(self.failure(endpoint, &path, "it is larger than 4 MiB".to_owned()));
            }
            match version.parse::<Digest>() {
                Ok(digest) if Digest::of(&bytes) != digest => {
                    let outcome = "what came has another digest".to_owned();
                    Err(self.failure(endpoint, &path, outcome))
                }
                _ => Ok(bytes),
            }
        })
    }

    /// Asks one endpoint after the other.
    pub(super) fn each_endpoint<T>(
        &self,
        what: &str,
        request: impl Fn(&Endpoint) -> Result<T, Failure>,
    ) -> Result<T, PullError> {
        let mut attempts = Vec::new();
        for endpoint in &self.endpoints {
            match request(endpoint) {
                Ok(value) => return Ok(value),
                Err(Failure::Endpoint(attempt)) => attempts.push(attempt),
                Err(Failure::Store(source)) => return Err(self.store_error(source)),
            }
        }
        let reference = Box::new(self.reference.clone());
        Err(PullError::Unavailable { reference, what: what.to_owned(), attempts })
    }

    pub(super) fn store_error(&self, source: StoreError) -> PullError {
        let reference = Box::new(self.reference.clone());
        if source.is_cancelled() {
            PullError::Cancelled { reference }
        } else {
            PullError::Store { reference, source }
        }
    }

    pub(super) fn failure(&self, endpoint: &Endpoint, path: &str, outcome: String) -> Failure {
        let (role, url) = (endpoint.role, self.url(endpoint, path));
        Failure::Endpoint(Attempt { role, url, outcome, status: None })
    }

    /// The answer to a request, if it is a success. Repeats what may work next time.
    pub(super) fn get(
        &self,
        endpoint: &Endpoint,
        path: &str,
        headers: &[(&str, &str)],
        progress: &dyn Progress,
    ) -> Result<Response<Body>, Failure> {
        let url = self.url(endpoint, path);
        let mut attempt = 0;
        loop {
            if progress.cancelled() {
                return Err(Failure::Store(StoreError::Cancelled));
            }
            attempt += 1;
            let trouble = match self.get_authorized(endpoint, &url, headers) {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => Trouble::of(response),
                Err(trouble) => trouble,
            };
            if !trouble.transient || attempt == ATTEMPTS {
                let (role, outcome) = (endpoint.role, trouble.outcome);
                return Err(Failure::Endpoint(Attempt {
                    role,
                    url,
                    outcome,
                    status: trouble.status,
                }));
            }
            progress.log(&format!("{} {url}: {}; trying again", endpoint.role, trouble.outcome));
            pause(attempt, trouble.retry_after, progress)?;
        }
    }

    /// One request, with a token or a password if the registry asks for it.
    fn get_authorized(
        &self,
        endpoint: &Endpoint,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, Trouble> {
        let known = lock(&endpoint.authorization).clone();
        let response = self.send(url, headers, known.as_deref())?;
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
        let response = self.send(url, headers, Some(&authorization))?;
        if response.status().is_success() {
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
        if endpoint.base.starts_with("https:") && !realm.starts_with("https:") {
            let text = format!("its token server {realm} would get our password in the clear");
            return Err(Trouble::of_text(text));
        }
        let own_scope = format!("repository:{}:pull", self.reference.repository());
        let url = auth::token_url(realm, service, scope.unwrap_or(&own_scope));
        let basic = endpoint.credentials.as_ref().map(credentials::basic);
        let response = self.send(&url, &[], basic.as_deref())?;
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
        headers: &[(&str, &str)],
        authorization: Option<&str>,
    ) -> Result<Response<Body>, Trouble> {
        let direct = host(url).is_some_and(is_loopback);
        let mut request = if direct { &self.direct } else { &self.proxied }.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.call().map_err(Trouble::of_error)
    }

    fn url(&self, endpoint: &Endpoint, path: &str) -> String {
        let mut url = format!("{}/v2/{}/{path}", endpoint.base, self.reference.repository());
        if let Some(namespace) = &endpoint.namespace {
            url.push_str("?ns=");
            auth::encode(namespace, &mut url);
        }
        url
    }
}

/// Why one request failed.
struct Trouble {
    outcome: String,
    status: Option<u16>,
    transient: bool,
    retry_after: Option<Duration>,
}

impl Trouble {
    fn of_text(outcome: String) -> Self {
        Self { outcome, status: None, transient: false, retry_after: None }
    }

    fn of_error(error: ureq::Error) -> Self {
        let transient = match &error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_) => true,
            // A certificate that is wrong stays wrong.
            _ => false,
        };
        let outcome = match error {
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        Self { outcome, status: None, transient, retry_after: None }
    }

    /// Of an answer that is no success, with what the registry says about it.
    fn of(response: Response<Body>) -> Self {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let mut outcome = status.to_string();
        if let Some(message) = registry_message(response) {
            outcome = format!("{outcome} ({message})");
        }
        let transient = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Self { outcome, status: Some(status.as_u16()), transient, retry_after }
    }
}

/// The first message of a registry's error answer, on one line.
fn registry_message(response: Response<Body>) -> Option<String> {
    let reader = response.into_body().into_reader().take(ANSWER_BYTES);
    let value: serde_json::Value = serde_json::from_reader(reader).ok()?;
    let message = value["errors"][0]["message"].as_str()?;
    let line: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    (!line.is_empty()).then_some(line)
}

/// Waits before the next attempt; longer each time, or as long as the registry asks.
pub(super) fn pause(
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

fn agent(proxied: bool, certificates: RootCerts) -> Agent {
    let proxy = if proxied { ureq::Proxy::try_from_env() } else { None };
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(proxy)
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(certificates).build())
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .build()
        .new_agent()
}

/// The certificates this machine trusts (`SSL_CERT_FILE`, or its distribution's), so that a
/// company's own authority works; Mozilla's when there are none.
fn root_certificates() -> RootCerts {
    let chosen = std::env::var("SSL_CERT_FILE").ok();
    let files = chosen.iter().map(String::as_str).chain(CERTIFICATES);
    for file in files {
        let Ok(pem) = fs_err::read(file) else { continue };
        let certificates: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if !certificates.is_empty() {
            return RootCerts::new_with_certs(&certificates);
        }
    }
    RootCerts::WebPki
}

/// Host and port of an http(s) URL.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // A password in a URL would end in messages.
    (!host.is_empty() && !host.contains('@') && !host.contains(char::is_whitespace)).then_some(host)
}

/// Whether a host (with or without port) is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls_and_without_proxy() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "a.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.com", "10.0.0.1:80", "localhost.example.com", "[2001:db8::1]:80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_mirror_must_be_a_url_without_a_password() {
        assert_eq!(host("https://m.example:5000/prefix?x"), Some("m.example:5000"));
        for bad in ["m.example", "ftp://x", "https://", "https://u:p@h", "https:// x"] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }
}
