//! Ingress: accepts HTTP/1.1 on an address and forwards it to the Worker's current process.
//!
//! Requests wait while there is no process (a deploy, a crash) and go on once there is one, so
//! that neither is seen by clients. Every upgrade (WebSocket) is tunnelled. Which process is
//! current is somebody else's decision, told through a watch channel of socket paths.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::watch;

/// A bound address that does not accept yet.
#[derive(Debug)]
pub struct Edge {
    listener: tokio::net::TcpListener,
}

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("port {port} of {ip} is already in use")]
    PortInUse {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// Anything else: no such address, a privileged port.
    #[error("could not listen on {address}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Where requests go and who hears of them.
pub struct Config {
    /// The unix socket of the current process; `None` while there is none.
    pub upstream: watch::Receiver<Option<PathBuf>>,
    /// How long a request waits for a process before it is answered with 503.
    pub hold: Duration,
    /// Asked first about each request; `Some` answers it here.
    pub intercept: Option<Intercept>,
    /// Told of each request when its answer has been sent.
    pub observe: Option<Observe>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("hold", &self.hold).finish_non_exhaustive()
    }
}

/// See [`Config::intercept`].
pub type Intercept = Arc<dyn Fn(&http::request::Parts) -> Option<Answer> + Send + Sync>;
/// An answer made by an [`Intercept`].
pub type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;
/// See [`Config::observe`].
pub type Observe = Arc<dyn Fn(RequestEvent) + Send + Sync>;

/// One finished request.
#[derive(Debug, Clone)]
pub struct RequestEvent {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The status sent; 499 when the client went away first.
    pub status: StatusCode,
    /// From the request's head to the end of the answer's body; to the answer's head for upgrades.
    pub duration: Duration,
    /// Whether it became a tunnel (WebSocket).
    pub upgraded: bool,
    /// Why it failed, if the edge could not forward it.
    pub error: Option<String>,
}

impl Edge {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken or the address is not this machine's.
    pub async fn bind(ip: IpAddr, port: u16) -> Result<Self, BindError> {
        let address = SocketAddr::new(ip, port);
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => Ok(Self { listener }),
            Err(source) if source.kind() == std::io::ErrorKind::AddrInUse => {
                Err(BindError::PortInUse { ip, port })
            }
            Err(source) => Err(BindError::Io { address, source }),
        }
    }

    /// The bound address.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts and forwards from now on, on the current tokio runtime.
    #[must_use]
    pub fn serve(self, config: Config) -> Serving {
        let _ = config;
        Serving {}
    }
}

/// A serving edge. Dropping it stops accepting but leaves requests in flight alone.
#[derive(Debug)]
pub struct Serving {}

impl Serving {
    /// Resolves as soon as no request is being forwarded (tunnels and waiting requests do not
    /// count): the moment to replace the process behind it. Give it to `WorkerProcess::deploy`.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::ready(())
    }

    /// Stops accepting, lets requests in flight finish until `deadline`, then cuts the rest.
    pub async fn shutdown(self, deadline: Duration) {
        let _ = deadline;
    }
}
