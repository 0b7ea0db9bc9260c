//! Accepts connections, and ends them in an orderly way.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::body::{Download, Record};
use crate::config::Config;
use crate::proxy::{own, plain};
use crate::site::{Lifecycle, Route, Site};

/// A client may take this long for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(60);
/// Pause after an accept that failed, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound address that does not accept yet.
#[derive(Debug)]
pub struct Edge {
    listener: TcpListener,
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

impl Edge {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken or the address is not this machine's.
    pub async fn bind(ip: IpAddr, port: u16) -> Result<Self, BindError> {
        let address = SocketAddr::new(ip, port);
        match TcpListener::bind(address).await {
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

    /// Accepts from now on, on the current tokio runtime, and forwards every request to one Worker.
    #[must_use]
    pub fn serve(self, config: Config) -> (Serving, Site) {
        let site = Site::new(config);
        let route = site.clone();
        (self.serve_sites(Arc::new(move |_| Some(route.clone()))), site)
    }

    /// Accepts from now on, on the current tokio runtime, and forwards each request to the Worker
    /// that `route` names for it.
    #[must_use]
    pub fn serve_sites(self, route: Route) -> Serving {
        let lifecycle = Lifecycle::default();
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let front = Front { route, lifecycle: lifecycle.clone(), cut: cut.clone() };
        connections.spawn(accept(self.listener, front, connections.clone()));
        let _stop = lifecycle.stopping.clone().drop_guard();
        Serving { lifecycle, connections, cut, _stop }
    }
}

/// A serving edge. Dropping it stops accepting; requests in flight go on.
#[derive(Debug)]
pub struct Serving {
    lifecycle: Lifecycle,
    connections: TaskTracker,
    /// Cancelled when connections are to be closed at once.
    cut: CancellationToken,
    _stop: DropGuard,
}

impl Serving {
    /// Stops accepting, lets requests in flight finish for at most `grace`, then cuts the rest and
    /// all tunnels. Requests that wait for a process are answered with 503.
    pub async fn shutdown(self, grace: Duration) {
        self.lifecycle.stopping.cancel();
        self.connections.close();
        self.lifecycle.tunnels.close();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_err() {
            self.cut.cancel();
            self.connections.wait().await;
        }
        self.lifecycle.cut.cancel();
        self.lifecycle.tunnels.wait().await;
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Front {
    route: Route,
    lifecycle: Lifecycle,
    /// Cancelled when connections are to be closed at once.
    cut: CancellationToken,
}

impl Front {
    async fn serve(
        &self,
        request: Request<Incoming>,
        client: IpAddr,
    ) -> Result<Response<Download>, Infallible> {
        let (head, body) = request.into_parts();
        let site = (self.route)(&head);
        let request = Request::from_parts(head, body);
        match site {
            Some(site) => site.0.serve(request, client, &self.lifecycle).await,
            None => {
                let record = Record::new(None, request.method(), request.uri());
                let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
                let host = host.unwrap_or("this host");
                let text = format!("no Worker serves {host}{}", request.uri().path());
                Ok(own(plain(StatusCode::NOT_FOUND, &text), record))
            }
        }
    }
}

async fn accept(listener: TcpListener, front: Front, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = front.lifecycle.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, client)) => {
                connections.spawn(connection(stream, client.ip(), front.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, client: IpAddr, front: Front) {
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    let (stopping, cut) = (front.lifecycle.stopping.clone(), front.cut.clone());
    let service = service_fn(move |request| {
        let front = front.clone();
        async move { front.serve(request, client).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                served = &mut connection => served,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection of a client");
    }
}
