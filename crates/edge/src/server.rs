//! Accepts connections, and ends them in an orderly way.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::proxy::Proxy;

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

    /// Accepts and forwards from now on, on the current tokio runtime.
    #[must_use]
    pub fn serve(self, config: Config) -> Serving {
        let proxy = Arc::new(Proxy::new(config));
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let accepting = accept(self.listener, Arc::clone(&proxy), connections.clone(), cut.clone());
        connections.spawn(accepting);
        let _stop = proxy.stopping.clone().drop_guard();
        Serving { proxy, connections, cut, _stop }
    }
}

/// A serving edge. Dropping it stops accepting; requests in flight go on.
#[derive(Debug)]
pub struct Serving {
    proxy: Arc<Proxy>,
    connections: TaskTracker,
    /// Cancelled when connections are to be closed at once.
    cut: CancellationToken,
    _stop: DropGuard,
}

impl Serving {
    /// Resolves as soon as no process works on a request (tunnels and requests that wait for a
    /// process do not count): the moment to replace the process. Give it to
    /// `WorkerProcess::deploy`, which first takes the process away from new requests.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let in_flight = self.proxy.in_flight.clone();
        async move { in_flight.zero().await }
    }

    /// Stops accepting, lets requests in flight finish for at most `grace`, then cuts the rest and
    /// all tunnels. Requests that wait for a process are answered with 503.
    pub async fn shutdown(self, grace: Duration) {
        self.proxy.stopping.cancel();
        self.connections.close();
        self.proxy.tunnels.close();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_err() {
            self.cut.cancel();
            self.connections.wait().await;
        }
        self.proxy.cut.cancel();
        self.proxy.tunnels.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    connections: TaskTracker,
    cut: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = proxy.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, client)) => {
                connections.spawn(connection(stream, client.ip(), Arc::clone(&proxy), cut.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, client: IpAddr, proxy: Arc<Proxy>, cut: CancellationToken) {
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    let stopping = proxy.stopping.clone();
    let service = service_fn(move |request| {
        let proxy = Arc::clone(&proxy);
        async move { proxy.serve(request, client).await }
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
