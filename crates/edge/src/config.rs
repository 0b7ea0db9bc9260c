//! Where requests go, and who hears of them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use http_body_util::Full;
use tokio::sync::watch;

use crate::arrival::{Arrival, Ray};

/// What an edge needs to know.
#[derive(Clone)]
pub struct Config {
    /// The unix socket of the current process; `None` while there is none. Each process has a path
    /// of its own.
    pub upstream: watch::Receiver<Option<PathBuf>>,
    /// How long a request waits for a process before it is answered with 503.
    pub hold: Duration,
    /// Headers to set on a forwarded request, replacing what the client sent under these names.
    pub headers: Headers,
    /// How many requests are worked on or wait at once; one more is answered with 503. A tunnel is
    /// none. `None` for as many as come.
    pub concurrency: Option<usize>,
    /// Asked first about each request; `Some` answers it here.
    pub intercept: Option<Intercept>,
    /// Told of each request when its answer has been sent.
    pub observe: Option<Observe>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("upstream", &*self.upstream.borrow())
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}

/// See [`Config::headers`].
pub type Headers = Arc<dyn Fn(&Arrival<'_>) -> Vec<(HeaderName, HeaderValue)> + Send + Sync>;
/// See [`Config::intercept`].
pub type Intercept = Arc<dyn Fn(&http::request::Parts) -> Option<Answer> + Send + Sync>;
/// An answer made by an [`Intercept`].
pub type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;
/// See [`Config::observe`].
pub type Observe = Arc<dyn Fn(RequestEvent) + Send + Sync>;

/// One finished request.
#[derive(Debug, Clone)]
pub struct RequestEvent {
    /// What it is known by to the Worker and to the client: `CF-Ray`.
    pub ray: Ray,
    /// Who sent it.
    pub client: IpAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The version of HTTP that the client spoke.
    pub version: Version,
    /// The host that it asked for, with its port where it said one.
    pub host: Option<String>,
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The status sent; 499 when the client went away before there was one.
    pub status: StatusCode,
    /// Bytes of the answer's body that were sent.
    pub sent: u64,
    /// From the request's head to the end of the answer's body; to the answer's head for upgrades.
    pub duration: Duration,
    /// Whether it became a tunnel (WebSocket).
    pub upgraded: bool,
    /// Why it failed, if it did on its way: the edge's own answer, or a body that broke off.
    pub error: Option<String>,
}
