//! Accepts connections, and ends them in an orderly way.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::acme;
use crate::arrival::{Peer, Ray, Scheme};
use crate::body::{Download, Record};
use crate::config::{Config, Observe};
use crate::headers::set_ray;
use crate::patience::{Activity, Patient};
use crate::proxy::{own, plain};
use crate::site::{Lifecycle, Route, Site};
use crate::tls::{self, CertificateError, Certificates};
use crate::trust::{Trust, believed};

/// A client may take this long for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(60);
/// A client may take this long for a TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);
/// A connection without a request is closed after this time, or at the latest after twice that.
const IDLE: Duration = Duration::from_secs(75);
/// Over HTTP/2 a client that is silent is asked after this time whether it is there.
const PING: Duration = Duration::from_secs(30);
/// Bytes that a request's head may have, as with Cloudflare; more is answered with 431. Over
/// HTTP/1.1 it may also have 100 headers at most.
const HEAD_LIMIT: usize = 128 << 10;
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 256;
/// At the end a new connection may take this long to show that it has a request.
const LAST_LOOK: Duration = Duration::from_millis(100);
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
        (self.serve_sites(Front::new(Arc::new(move |_| Some(route.clone())))), site)
    }

    /// Accepts from now on, on the current tokio runtime, and forwards each request to the Worker
    /// that `front` names for it.
    #[must_use]
    pub fn serve_sites(self, front: Front) -> Serving {
        let lifecycle = Lifecycle::default();
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let front =
            Connections { front: Arc::new(front), lifecycle: lifecycle.clone(), cut: cut.clone() };
        connections.spawn(accept(self.listener, front, connections.clone()));
        let _stop = lifecycle.stopping.clone().drop_guard();
        Serving { lifecycle, connections, cut, _stop }
    }
}

/// What an address serves.
#[derive(Clone)]
pub struct Front {
    route: Route,
    tls: Option<Arc<ServerConfig>>,
    redirect: Option<u16>,
    observe: Option<Observe>,
    trust: Option<Trust>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("redirect", &self.redirect).finish_non_exhaustive()
    }
}

impl Front {
    /// Plain HTTP to the Workers that `route` names.
    #[must_use]
    pub fn new(route: Route) -> Self {
        Self { route, tls: None, redirect: None, observe: None, trust: None }
    }

    /// With TLS.
    ///
    /// # Errors
    /// The machine has no source of randomness.
    pub fn with_tls(self, certificates: &Certificates) -> Result<Self, CertificateError> {
        Ok(Self { tls: Some(certificates.server(&["h2", "http/1.1", acme::PROTOCOL])?), ..self })
    }

    /// Every request by plain HTTP is answered with 308: the same, with TLS, on this port.
    #[must_use]
    pub fn redirecting(self, port: u16) -> Self {
        Self { redirect: Some(port), ..self }
    }

    /// Behind proxies: `X-Forwarded-For` and `X-Forwarded-Proto` of those that `trust` names say who a
    /// client is and by which scheme it came.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust: Some(trust), ..self }
    }

    /// Told of the requests that no Worker is asked about; a Worker's own are told to its site.
    #[must_use]
    pub fn observed(self, observe: Observe) -> Self {
        Self { observe: Some(observe), ..self }
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
struct Connections {
    front: Arc<Front>,
    lifecycle: Lifecycle,
    /// Cancelled when connections are to be closed at once.
    cut: CancellationToken,
}

impl Connections {
    async fn serve(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Result<Response<Download>, Infallible> {
        let (head, body) = request.into_parts();
        let peer = match &self.front.trust {
            Some(trust) => believed(peer, &head.headers, &**trust),
            None => peer,
        };
        if let Some(port) = self.front.redirect.filter(|_| peer.scheme == Scheme::Http) {
            return Ok(self.answer(&head, peer, redirect(&head, port)));
        }
        match (self.front.route)(&head) {
            Some(site) => {
                site.0.serve(Request::from_parts(head, body), peer, &self.lifecycle).await
            }
            None => {
                let host = host(&head).unwrap_or("this host");
                let text = format!("no Worker serves {host}{}", head.uri.path());
                Ok(self.answer(&head, peer, plain(StatusCode::NOT_FOUND, &text)))
            }
        }
    }

    /// An answer that no Worker gives.
    fn answer(
        &self,
        head: &Parts,
        peer: Peer,
        answer: Response<Full<Bytes>>,
    ) -> Response<Download> {
        let ray = Ray::new();
        let mut response = own(answer, Record::new(self.front.observe.as_ref(), head, peer, ray));
        set_ray(response.headers_mut(), ray);
        response
    }
}

/// The host that a request asks for.
fn host(head: &Parts) -> Option<&str> {
    let authority = head.uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| head.headers.get(HOST).and_then(|host| host.to_str().ok()))
}

/// Sends a client to where there is TLS; with the method and the body that it has.
fn redirect(head: &Parts, port: u16) -> Response<Full<Bytes>> {
    let name = host(head).and_then(|host| host.parse::<Authority>().ok());
    let Some(name) = name else {
        return plain(StatusCode::BAD_REQUEST, &"requests need a Host header");
    };
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let place = match port {
        443 => format!("https://{}{path}", name.host()),
        port => format!("https://{}:{port}{path}", name.host()),
    };
    let mut response = plain(StatusCode::PERMANENT_REDIRECT, &place);
    match HeaderValue::from_str(&place) {
        Ok(place) => drop(response.headers_mut().insert(LOCATION, place)),
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

async fn accept(listener: TcpListener, front: Connections, connections: TaskTracker) {
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

async fn connection(stream: TcpStream, client: IpAddr, front: Connections) {
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    let stream = Patient::new(stream);
    let Some(tls) = &front.front.tls else {
        return serve(stream, Peer::new(client, None), front).await;
    };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    let stopping = front.lifecycle.stopping.clone();
    tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_DEADLINE, handshake) => match shaken {
            // The handshake was the proof.
            Ok(Ok(stream)) if is_proof(&stream) => {}
            Ok(Ok(stream)) => {
                let tls = Some(tls::session(stream.get_ref().1));
                serve(stream, Peer::new(client, tls), front).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
        () = stopping.cancelled() => {}
    }
}

/// Whether an ACME server has asked whose a name is.
fn is_proof<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(acme::PROTOCOL.as_bytes())
}

/// HTTP of one client: the first bytes tell which version.
async fn serve<S>(stream: S, peer: Peer, front: Connections)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stopping, cut) = (front.lifecycle.stopping.clone(), front.cut.clone());
    let activity = Arc::new(Activity::default());
    let requests = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (front, requests) = (front.clone(), Arc::clone(&requests));
        async move {
            requests.begin();
            let answer = front.serve(request, peer).await;
            requests.end();
            answer
        }
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = async {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = activity.idle(IDLE) => {}
            }
        } => {
            // A request may have come that nobody has looked at yet; it gets its answer.
            if activity.is_new()
                && tokio::time::timeout(LAST_LOOK, connection.as_mut()).await.is_ok()
            {
                return;
            }
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

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(PING)
        .enable_connect_protocol();
    builder
}
