//! One request: wait for a process, forward, hand back its answer or say why there is none.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use tokio::time::Instant;

use crate::arrival::{Arrival, Peer, Ray};
use crate::body::{Download, FromProcess, Record, Upload, UploadError};
use crate::config::Config;
use crate::door::Inside;
use crate::headers;
use crate::in_flight::{Guard, InFlight};
use crate::pool::{Lease, Pool};
use crate::site::Lifecycle;
use crate::tunnel;

/// What all requests to one Worker share.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) config: Config,
    pub(crate) in_flight: InFlight,
    /// The requests that are not over, wherever they are.
    admitted: InFlight,
    pool: Pool,
    /// The sockets to use, where requests come from other Workers.
    inside: Option<Inside>,
}

/// Why a request got no answer from a process.
#[derive(Debug, Clone, thiserror::Error)]
enum Failure {
    #[error("HTTP/1.1 requests need a Host header")]
    NoHost,
    #[error("CONNECT is not supported")]
    Connect,
    #[error("the Worker did not start within {0} s")]
    NotRunning(u64),
    #[error("berth is shutting down")]
    Stopping,
    #[error("the Worker has {0} requests at once, which is its limit; try again")]
    Busy(usize),
    #[error(transparent)]
    Upload(UploadError),
    #[error("the Worker's process did not answer: {0}")]
    Process(String),
    #[error("the Worker's process switched protocols without being asked to")]
    Unasked,
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoHost | Self::Upload(UploadError::Broken) => StatusCode::BAD_REQUEST,
            Self::Upload(UploadError::Stalled) => StatusCode::REQUEST_TIMEOUT,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotRunning(_) | Self::Stopping | Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Process(_) | Self::Unasked => StatusCode::BAD_GATEWAY,
        }
    }
}

impl Failure {
    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = plain(self.status(), self);
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// How a client asks for a tunnel.
enum Asked {
    /// With `Upgrade`, for this protocol.
    Upgrade(HeaderValue),
    /// With an extended `CONNECT`, for a WebSocket.
    Connect,
}

/// Which connection a request is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// A kept one, or a new one if there is none.
    Any,
    /// A new one, because a kept one failed.
    NewConnection,
    /// A new one to the next process, because one to the last failed.
    NewProcess,
}

/// How long the end of a process may take to be known after its connections have broken.
const NEWS: Duration = Duration::from_secs(1);

/// An answer's head with what its body needs.
struct Answered {
    response: Response<Incoming>,
    lease: Lease,
    guard: Guard,
}

impl Proxy {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            in_flight: InFlight::default(),
            admitted: InFlight::default(),
            pool: Pool::default(),
            inside: None,
        }
    }

    /// One for requests of other Workers.
    pub(crate) fn inside(config: Config, sockets: Inside) -> Self {
        Self { inside: Some(sockets), ..Self::new(config) }
    }

    /// Answers one request of a client.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        edge: &Lifecycle,
    ) -> Result<Response<Download>, Infallible> {
        let ray = Ray::new();
        let (parts, body) = request.into_parts();
        let mut record = Record::new(self.config.observe.as_ref(), &parts, peer, ray);
        if let Some(answer) = self.config.intercept.as_ref().and_then(|ask| ask(&parts)) {
            return Ok(own(answer.await, record));
        }
        let request = Request::from_parts(parts, body);
        let forwarded = match self.admit(&mut record) {
            Ok(()) => self.forward(request, (peer, ray), edge, &mut record).await,
            Err(failure) => Err(failure),
        };
        let mut response = match forwarded {
            Ok(response) => response(record),
            Err(failure) => {
                record.fail(failure.to_string());
                own(failure.response(), record)
            }
        };
        if self.inside.is_none() {
            headers::set_ray(response.headers_mut(), ray);
        }
        Ok(response)
    }

    fn admit(&self, record: &mut Record) -> Result<(), Failure> {
        if let Some(most) = self.config.concurrency {
            record.admit(self.admitted.enter_below(most).ok_or(Failure::Busy(most))?);
        }
        Ok(())
    }

    /// The request as the process is to see it, and how the client asks for a tunnel if it does.
    fn prepare(
        &self,
        request: Request<Incoming>,
        (peer, ray): (Peer, Ray),
    ) -> Result<(Request<Upload>, Option<Asked>), Failure> {
        let asked = asked(&request)?;
        let (mut head, body) = request.into_parts();
        let authority = head.uri.authority().cloned();
        match self.inside {
            Some(_) => headers::passed(&mut head.headers, authority.as_ref()),
            None => {
                let (Peer { client, scheme, tls, .. }, version) = (peer, head.version);
                let arrival = Arrival { client, scheme, tls, version, headers: &head.headers };
                let own = (self.config.headers)(&arrival);
                headers::forwarded(&mut head.headers, peer, ray, authority.as_ref(), own);
            }
        }
        let body = match &asked {
            Some(Asked::Upgrade(protocol)) => {
                headers::set_upgrade(&mut head.headers, protocol.clone());
                Upload::of(body)
            }
            Some(Asked::Connect) => {
                head.method = Method::GET;
                headers::ask_for_websocket(&mut head.headers);
                Upload::Empty
            }
            None => Upload::of(body),
        };
        if head.version == Version::HTTP_2 {
            headers::join_cookies(&mut head.headers);
        }
        head.uri = target(&head.uri);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        Ok((Request::from_parts(head, body), asked))
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        from: (Peer, Ray),
        edge: &Lifecycle,
        record: &mut Record,
    ) -> Result<impl FnOnce(Record) -> Response<Download> + use<>, Failure> {
        check(&request)?;
        // Taken before the request is taken apart.
        let client = asked(&request)?.map(|_| hyper::upgrade::on(&mut request));
        let (request, asked) = self.prepare(request, from)?;
        let Answered { mut response, lease, guard } = self.send(request, edge).await?;
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = headers::upgrade_of(response.headers()).filter(|_| switches);
        headers::remove_hop_by_hop(response.headers_mut());
        match (switches, client, asked) {
            (true, Some(client), Some(asked)) => {
                let process = hyper::upgrade::on(&mut response);
                let end = match asked {
                    Asked::Upgrade(_) => edge.cut.clone(),
                    // Its connection ends with it, and the edge's end waits for connections.
                    Asked::Connect => {
                        *response.status_mut() = StatusCode::OK;
                        headers::agree_to_websocket(response.headers_mut());
                        edge.stopping.clone()
                    }
                };
                if let (Asked::Upgrade(_), Some(protocol)) = (asked, protocol) {
                    headers::set_upgrade(response.headers_mut(), protocol);
                }
                edge.tunnels.spawn(tunnel::run(client, process, end));
            }
            (true, ..) => return Err(Failure::Unasked),
            (false, ..) => {}
        }
        record.status(response.status());
        Ok(move |record| {
            response.map(|body| match switches {
                true => Download::tunnel(record),
                false => Download::process(FromProcess { body, lease, _guard: guard }, record),
            })
        })
    }

    /// Sends the request to the current process, as soon as there is one.
    ///
    /// A request that was not sent whole is sent again. One that was sent without an answer is
    /// repeated only if that is safe ([`repeat`]): once on a new connection, if it was on a kept one
    /// that the process may have been about to close, and once to the next process, if this one
    /// turns out to have ended.
    async fn send(
        &self,
        mut request: Request<Upload>,
        edge: &Lifecycle,
    ) -> Result<Answered, Failure> {
        let deadline = Instant::now() + self.config.hold;
        let mut attempt = Attempt::Any;
        let mut dead = None;
        loop {
            let (path, guard) = self.process(dead.as_deref(), deadline, edge).await?;
            let leased = match attempt {
                Attempt::Any => self.pool.lease(&path).await,
                Attempt::NewConnection | Attempt::NewProcess => self.pool.connect(&path).await,
            };
            let mut lease = match leased {
                Ok(lease) => lease,
                // It has just ended: nothing was sent, so the next one can serve this.
                Err(error) => {
                    tracing::debug!(%error, path = %path.display(), "connect");
                    dead = Some(path);
                    continue;
                }
            };
            let copy = if attempt == Attempt::NewProcess { None } else { repeat(&request) };
            let mut error = match lease.sender.try_send_request(request).await {
                Ok(response) => return Ok(Answered { response, lease, guard }),
                Err(error) => error,
            };
            let failure = Failure::of(error.error());
            drop(guard);
            request = error.take_message().or(copy).ok_or(failure.clone())?;
            attempt = match attempt {
                Attempt::Any if lease.reused => Attempt::NewConnection,
                Attempt::Any | Attempt::NewConnection => {
                    self.ended(&path).await.map_err(|()| failure)?;
                    Attempt::NewProcess
                }
                Attempt::NewProcess => return Err(failure),
            };
        }
    }

    /// Makes a tunnel to the current process, as soon as there is one.
    pub(crate) async fn connect(
        &self,
        mut request: Request<Incoming>,
        edge: &Lifecycle,
    ) -> Result<Response<Download>, Infallible> {
        let mut record = Record::none();
        let client = hyper::upgrade::on(&mut request);
        match self.try_connect(request, edge).await {
            Ok(mut response) => {
                let process = hyper::upgrade::on(&mut response);
                edge.tunnels.spawn(tunnel::run(client, process, edge.cut.clone()));
                record.status(StatusCode::OK);
                Ok(Response::new(Download::tunnel(record)))
            }
            Err(failure) => Ok(own(failure.response(), record)),
        }
    }

    async fn try_connect(
        &self,
        request: Request<Incoming>,
        edge: &Lifecycle,
    ) -> Result<Response<Incoming>, Failure> {
        let sockets = self.inside.as_ref().ok_or(Failure::Connect)?;
        let deadline = Instant::now() + self.config.hold;
        let mut dead = None;
        loop {
            let (path, _guard) = self.process(dead.as_deref(), deadline, edge).await?;
            let Ok(mut lease) = self.pool.connect(&path.with_file_name(&sockets.rpc)).await else {
                dead = Some(path);
                continue;
            };
            let mut connect = Request::new(Upload::Empty);
            *connect.method_mut() = Method::CONNECT;
            *connect.uri_mut() = request.uri().clone();
            connect.headers_mut().clone_from(request.headers());
            let sent = lease.sender.send_request(connect).await;
            let response = sent.map_err(|error| Failure::Process(describe(&error)))?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            return Err(Failure::Process(format!("CONNECT: {}", response.status())));
        }
    }

    /// The socket to use of a process.
    fn socket(&self, path: &Path) -> PathBuf {
        match self.inside.as_ref().and_then(|sockets| sockets.http.as_ref()) {
            Some(name) => path.with_file_name(name),
            None => path.to_owned(),
        }
    }

    /// Waits a moment for the news that the process at `path` has ended.
    async fn ended(&self, path: &Path) -> Result<(), ()> {
        let mut upstream = self.config.upstream.clone();
        let is_other = |current: &Option<PathBuf>| {
            current.as_deref().is_none_or(|current| self.socket(current) != path)
        };
        let other = upstream.wait_for(is_other);
        match tokio::time::timeout(NEWS, other).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(()),
        }
    }

    /// The current process, which is counted as busy, once it is another than `dead`.
    async fn process(
        &self,
        dead: Option<&Path>,
        deadline: Instant,
        edge: &Lifecycle,
    ) -> Result<(PathBuf, Guard), Failure> {
        let mut upstream = self.config.upstream.clone();
        loop {
            // Counted before looking: whoever sees no request in flight after taking the process
            // away knows that none will follow.
            let guard = self.in_flight.enter();
            let current = upstream.borrow_and_update().as_deref().map(|path| self.socket(path));
            if let Some(path) = current.filter(|path| dead != Some(path.as_path())) {
                return Ok((path, guard));
            }
            drop(guard);
            tokio::select! {
                changed = upstream.changed() => if changed.is_err() {
                    return Err(Failure::Stopping);
                },
                () = tokio::time::sleep_until(deadline) => {
                    return Err(Failure::NotRunning(self.config.hold.as_secs()));
                }
                () = edge.stopping.cancelled() => return Err(Failure::Stopping),
            }
        }
    }
}

/// An answer of the edge's own.
pub(crate) fn plain(status: StatusCode, text: &dyn std::fmt::Display) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(crate) fn own(response: Response<Full<Bytes>>, mut record: Record) -> Response<Download> {
    record.status(response.status());
    response.map(|text| Download::text(text, record))
}

/// How a client asks for a tunnel, if it does.
fn asked(request: &Request<Incoming>) -> Result<Option<Asked>, Failure> {
    if request.method() != Method::CONNECT {
        return Ok(headers::upgrade_of(request.headers()).map(Asked::Upgrade));
    }
    match request.extensions().get::<Protocol>() {
        Some(protocol) if protocol.as_str() == "websocket" => Ok(Some(Asked::Connect)),
        _ => Err(Failure::Connect),
    }
}

fn check(request: &Request<Incoming>) -> Result<(), Failure> {
    let host = request.headers().contains_key(HOST) || request.uri().authority().is_some();
    if !host && request.version() == Version::HTTP_11 {
        return Err(Failure::NoHost);
    }
    Ok(())
}

/// The request target that a server (not a proxy) is sent.
fn target(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(path) => Uri::from(path.clone()),
        None => Uri::from_static("/"),
    }
}

/// The same request, if it may be sent twice.
fn repeat(request: &Request<Upload>) -> Option<Request<Upload>> {
    if !request.method().is_idempotent() || !matches!(request.body(), Upload::Empty) {
        return None;
    }
    let mut copy = Request::new(Upload::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

impl Failure {
    /// Why a request could not be sent or was not answered.
    fn of(error: &hyper::Error) -> Self {
        let upload = std::error::Error::source(error).and_then(|error| error.downcast_ref());
        upload.map_or_else(|| Self::Process(describe(error)), |error| Self::Upload(*error))
    }
}

/// An error of hyper with its causes.
fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
