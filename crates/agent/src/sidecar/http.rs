//! The sidecar's HTTP: `CONNECT`, `PUT /egress`, `GET /ca`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::messages::not_listening;
use tokio::net::TcpStream;

use super::Shared;
use super::tunnel::{Connected, Tunnel, connect};
use crate::egress::outbound::Settings;
use crate::instance::Request as Ask;

type Reply = Response<Full<Bytes>>;

/// Longest body of `PUT /egress`: a list of host names.
const MOST_EGRESS_BYTES: usize = 1024 * 1024;

/// What one request asks for, by its first line alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// `CONNECT 127.0.0.1:<port>`. The address is not looked at: a program of the instance is meant.
    Connect(u16),
    ConnectWithoutPort,
    Egress,
    Certificate,
    Unknown,
}

impl Call {
    fn of(method: &Method, uri: &Uri) -> Self {
        match (method, uri.path()) {
            (&Method::CONNECT, _) => match uri.port_u16() {
                None | Some(0) => Self::ConnectWithoutPort,
                Some(port) => Self::Connect(port),
            },
            (&Method::PUT, "/egress") => Self::Egress,
            (&Method::GET, "/ca") => Self::Certificate,
            _ => Self::Unknown,
        }
    }
}

/// Serves one connection; a successful `CONNECT` turns it into a tunnel and ends with it.
pub(super) async fn serve(stream: TcpStream, shared: Shared) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection from workerd went away");
        return;
    }
    let tunnel: Arc<Mutex<Option<Tunnel>>> = Arc::default();
    let place = Arc::clone(&tunnel);
    let service = service_fn(move |request| {
        let (shared, place) = (shared.clone(), Arc::clone(&place));
        async move { Ok::<_, Infallible>(answer(request, &shared, &place).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "a connection from workerd broke");
    }
    let tunnel = tunnel.lock().expect("no holder of this lock panics").take();
    if let Some(tunnel) = tunnel {
        tunnel.run().await;
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
    tunnel: &Mutex<Option<Tunnel>>,
) -> Reply {
    match Call::of(request.method(), request.uri()) {
        Call::Connect(port) => open(request, port, shared, tunnel).await,
        Call::ConnectWithoutPort => text(StatusCode::UNPROCESSABLE_ENTITY, "CONNECT needs a port"),
        Call::Egress => egress(request, shared).await,
        Call::Certificate => certificate(shared),
        Call::Unknown => {
            text(StatusCode::NOT_FOUND, "the sidecar knows CONNECT, PUT /egress and GET /ca")
        }
    }
}

async fn open(
    mut request: Request<Incoming>,
    port: u16,
    shared: &Shared,
    tunnel: &Mutex<Option<Tunnel>>,
) -> Reply {
    match connect(shared, port).await {
        Connected::Yes { upstream, instance } => {
            let upgrade = hyper::upgrade::on(&mut request);
            *tunnel.lock().expect("no holder of this lock panics") =
                Some(Tunnel { upgrade, upstream, instance: *instance });
            Response::new(Full::default())
        }
        // For a 400 workerd makes an error text of its own, and not one that the class takes for "it
        // runs, but does not listen": `start()` of a job without a port would then never return. Of
        // any other status it shows the body, which has both wordings.
        Connected::NotListening => text(StatusCode::BAD_GATEWAY, &not_listening(port)),
        // The class must not take this for a program that runs: workerd's own text it is.
        Connected::Ended { out_of_memory: false } => {
            text(StatusCode::BAD_REQUEST, &not_listening(port))
        }
        // Nor for one, and here there is more to say.
        Connected::Ended { out_of_memory: true } => {
            text(StatusCode::BAD_GATEWAY, model::messages::OUT_OF_MEMORY)
        }
        Connected::Unavailable(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

/// Serves what `bytes` hold, as far as that needs no instance; see [`crate::fuzz`].
pub(crate) fn fuzz(bytes: &[u8]) {
    let service = service_fn(async |request: Request<Incoming>| {
        let status = match Call::of(request.method(), request.uri()) {
            Call::Connect(_) | Call::Certificate => StatusCode::OK,
            Call::ConnectWithoutPort => StatusCode::UNPROCESSABLE_ENTITY,
            Call::Unknown => StatusCode::NOT_FOUND,
            Call::Egress => match settings(request).await {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::BAD_REQUEST,
            },
        };
        Ok::<_, Infallible>(text(status, ""))
    });
    let stream = tokio::io::join(std::io::Cursor::new(bytes.to_vec()), tokio::io::sink());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // That a connection broke is what most bytes come to.
    let _ = tokio.expect("make a runtime").block_on(connection.with_upgrades());
}

async fn settings(request: Request<Incoming>) -> Result<Settings, String> {
    let body = Limited::new(request.into_body(), MOST_EGRESS_BYTES);
    let read = tokio::time::timeout(Duration::from_secs(10), body.collect()).await;
    let Ok(Ok(body)) = read else {
        return Err("the egress settings could not be read".to_owned());
    };
    serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("egress settings: {error}"))
}

async fn egress(request: Request<Incoming>, shared: &Shared) -> Reply {
    match settings(request).await {
        Ok(settings) => {
            shared.outbound.send_modify(|outbound| outbound.apply(settings));
            // A program that runs may need a route for its first handler: it has it when the Worker
            // goes on.
            let instance = shared.current.get();
            if let Some(instance) = instance.filter(|i| i.published().running.is_some()) {
                let _ = instance.tell(Ask::Outbound).await;
            }
            Response::new(Full::default())
        }
        Err(error) => text(StatusCode::BAD_REQUEST, &error),
    }
}

fn certificate(shared: &Shared) -> Reply {
    match shared.node.certificate.pem() {
        Ok(pem) => {
            let mut reply = Response::new(Full::from(pem.to_owned()));
            let kind = header::HeaderValue::from_static("application/x-pem-file");
            reply.headers_mut().insert(header::CONTENT_TYPE, kind);
            reply
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn text(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::new(Full::from(text.to_owned()));
    *reply.status_mut() = status;
    reply
}
