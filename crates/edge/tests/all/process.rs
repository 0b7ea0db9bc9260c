//! An edge, processes behind it that do as a test says, and clients in front of it.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge::{Config, Edge, RequestEvent, Serving, Site};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// An edge with nothing behind it yet.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) serving: Serving,
    pub(crate) site: Site,
    pub(crate) upstream: Arc<watch::Sender<Option<PathBuf>>>,
    pub(crate) dir: tempfile::TempDir,
    events: mpsc::UnboundedReceiver<RequestEvent>,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (upstream, receiver) = watch::channel(None);
        let (sender, events) = mpsc::unbounded_channel();
        let mut config = Config {
            upstream: receiver,
            hold: DEADLINE,
            headers: Arc::new(|_| vec![]),
            concurrency: None,
            intercept: None,
            observe: Some(Arc::new(move |event| drop(sender.send(event)))),
        };
        change(&mut config);
        let edge = Edge::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).await.expect("a port");
        let address = edge.local_addr().expect("an address");
        let dir = tempfile::tempdir().expect("a folder");
        let (serving, site) = edge.serve(config);
        Self { address, serving, site, upstream: Arc::new(upstream), dir, events }
    }

    /// A process that answers with `answer`, made the current one.
    pub(crate) fn process<F>(
        &self,
        name: &str,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Process
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let process = Process::new(&self.dir.path().join(name), answer);
        self.upstream.send_replace(Some(process.path.clone()));
        process
    }

    pub(crate) async fn event(&mut self) -> RequestEvent {
        tokio::time::timeout(DEADLINE, self.events.recv()).await.expect("in time").expect("an edge")
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn send(&self, request: http::request::Builder) -> Response<Bytes> {
        let request = request.header("host", "site.test").body(text("")).expect("a request");
        let (parts, body) = self.start(request).await.into_parts();
        Response::from_parts(parts, body.collect().await.expect("a body").to_bytes())
    }

    /// Sends a request on a connection of its own and returns once its head is there.
    pub(crate) async fn start(&self, request: Request<Body>) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.expect("an edge");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        sender.send_request(request).await.expect("an answer")
    }

    /// Writes these bytes and reads until the connection closes.
    pub(crate) async fn raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("an edge");
        stream.write_all(bytes.as_bytes()).await.expect("an edge");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // A reset after the answer is an end, too.
        let _ = tokio::time::timeout(DEADLINE, read).await.expect("in time");
        String::from_utf8(answer).expect("text")
    }
}

/// A server on a unix socket; ends when dropped, as a process that is killed.
pub(crate) struct Process {
    pub(crate) path: PathBuf,
    task: AbortHandle,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Process {
    fn new<F>(path: &Path, answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = UnixListener::bind(path).expect("a socket");
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let answer = Arc::clone(&answer);
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades(),
                );
            }
        });
        Self { path: path.to_owned(), task: task.abort_handle() }
    }
}

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn ok(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(text(body))
}

/// A body fed by hand; ends when the sender is dropped.
pub(crate) fn fed() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Fed(receiver).boxed())
}

struct Fed(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}
