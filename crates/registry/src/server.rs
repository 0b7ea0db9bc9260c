//! Accepts connections, with TLS or plain on this machine alone, and ends them in an orderly way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::api::Registry;
use crate::garbage;
use crate::reply::Body;

/// A client may take this long for a handshake, or a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(60);
/// Pause after an accept that failed, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers what is not the registry's: paths that do not begin with `/v2`. A client's [`SocketAddr`]
/// stands among its request's extensions. An answer may change the protocol.
pub type Other = Arc<
    dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync,
>;

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("{address} is already in use")]
    InUse {
        /// The address.
        address: SocketAddr,
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

/// A bound address that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken or the address is not this machine's.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, BindError> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self { listener, tls }),
            Err(source) if source.kind() == std::io::ErrorKind::AddrInUse => {
                Err(BindError::InUse { address })
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

    /// Accepts and answers from now on, on the current tokio runtime.
    #[must_use]
    pub fn serve(self, registry: Registry, other: Option<Other>) -> Serving {
        let stop = CancellationToken::new();
        let collecting = garbage::regularly(Arc::clone(&registry.api), stop.clone());
        let client = SocketAddr::from(([0, 0, 0, 0], 0));
        let service = Service { registry, other, scheme: self.scheme(), client };
        let accepting = self.accept(service, stop.clone());
        Serving { stop, collecting: tokio::spawn(collecting), accepting: tokio::spawn(accepting) }
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Accepts until told to stop; returns what is still connected.
    async fn accept(self, service: Service, stop: CancellationToken) -> JoinSet<()> {
        let tls = self.tls.map(TlsAcceptor::from);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return connections,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, client)) => {
                    let (tls, service) = (tls.clone(), Service { client, ..service.clone() });
                    connections.spawn(connection(stream, tls, service, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A serving registry.
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    collecting: tokio::task::JoinHandle<()>,
    /// Returns the connections that are open.
    accepting: tokio::task::JoinHandle<JoinSet<()>>,
}

impl Serving {
    /// Stops accepting, lets requests in flight finish for at most `grace`, then cuts the rest: an
    /// upload that is cut can be resumed. Tells whether all have finished.
    pub async fn shutdown(self, grace: Duration) -> bool {
        self.stop.cancel();
        let Ok(mut connections) = self.accepting.await else { return false };
        let all = async { while connections.join_next().await.is_some() {} };
        let finished = tokio::time::timeout(grace, all).await.is_ok();
        connections.shutdown().await;
        let _ = self.collecting.await;
        finished
    }
}

/// Who answers.
#[derive(Clone)]
struct Service {
    registry: Registry,
    other: Option<Other>,
    scheme: &'static str,
    /// Where the requests come from.
    client: SocketAddr,
}

impl Service {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        match &self.other {
            Some(other) if path != "/v2" && !path.starts_with("/v2/") => {
                request.extensions_mut().insert(self.client);
                other(request).await
            }
            _ => self.registry.api.answer(request, self.scheme).await,
        }
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    service: Service,
    stop: CancellationToken,
) {
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    match tls {
        None => serve(stream, service, stop).await,
        Some(tls) => match tokio::time::timeout(HEAD_DEADLINE, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, service, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Service,
    stop: CancellationToken,
) {
    let service = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection of a client");
    }
}
