//! For `cargo xtask bench edge`: the edge alone, in front of a backend that is not workerd, and that
//! backend.
//!
//! `edge_alone proxy SOCKET PLAIN TLS CERTIFICATE KEY` or `edge_alone backend SOCKET`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge::{CertificateFiles, Certificates, Config, Edge, Front, Site};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// What the backend answers: as long as many an answer of an API.
const ANSWER: [u8; 512] = [b'x'; 512];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["proxy", socket, plain, tls, certificate, key] => {
            proxy(socket, [plain, tls], [certificate, key]).await;
        }
        ["backend", socket] => backend(socket).await,
        _ => panic!("neither a proxy nor a backend"),
    }
}

async fn proxy(socket: &str, addresses: [&str; 2], [certificate, key]: [&str; 2]) {
    let (_upstream, upstream) = watch::channel(Some(PathBuf::from(socket)));
    let site = Site::new(Config {
        upstream,
        hold: Duration::from_secs(30),
        headers: Arc::new(|_| Vec::new()),
        concurrency: None,
        intercept: None,
        observe: None,
    });
    let [plain, tls] = addresses.map(|address| address.parse::<SocketAddr>().expect("an address"));
    let [plain, tls] =
        [Edge::bind(plain.ip(), plain.port()).await, Edge::bind(tls.ip(), tls.port()).await]
            .map(|edge| edge.expect("a free port"));
    let files = CertificateFiles { certificate: certificate.into(), key: key.into() };
    let certificates = Certificates::read(&[files]).expect("a certificate");
    let front = Front::new(Arc::new(move |_| Some(site.clone())));
    let _tls = tls.serve_sites(front.clone().with_tls(&certificates).expect("TLS"));
    let _plain = plain.serve_sites(front);
    std::future::pending().await
}

async fn backend(socket: &str) {
    let listener = UnixListener::bind(socket).expect("a socket");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer))
            .with_upgrades();
        tokio::spawn(connection);
    }
}

/// An answer, or a tunnel that says nothing for as long as the client stays.
async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if !request.headers().contains_key(UPGRADE) {
        return Ok(Response::new(Full::new(Bytes::from_static(&ANSWER))));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.expect("a tunnel"));
        let _ = stream.read(&mut [0; 1]).await;
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(response)
}
