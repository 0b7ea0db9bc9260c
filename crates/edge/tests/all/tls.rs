//! TLS: which certificate a client gets, which protocol, and what the process learns of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use edge::{CertificateFiles, Certificates, Edge, Front, Serving};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::{DEADLINE, Rig, ok, text};

/// Writes a certificate for a name that is its own authority.
fn certificate(dir: &Path, file: &str, name: &str) -> (CertificateFiles, RootCertStore) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let files = CertificateFiles {
        certificate: dir.join(format!("{file}.pem")),
        key: dir.join(format!("{file}.key")),
    };
    fs_err::write(&files.key, made.signing_key.serialize_pem()).expect("a file");
    fs_err::write(&files.certificate, made.cert.pem()).expect("a file");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    (files, roots)
}

async fn connect(
    address: SocketAddr,
    roots: &RootCertStore,
    name: &str,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.expect("an edge");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// An address with TLS beside a rig's own, for the same Worker.
async fn with_tls(rig: &Rig, certificates: &Certificates) -> (SocketAddr, Serving) {
    let edge = Edge::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).await.expect("a port");
    let address = edge.local_addr().expect("an address");
    let site = rig.site.clone();
    let front = Front::new(Arc::new(move |_| Some(site.clone())));
    (address, edge.serve_sites(front.with_tls(certificates).expect("TLS")))
}

#[tokio::test]
async fn the_name_a_client_asks_for_chooses_the_certificate() {
    let rig = Rig::new().await;
    let (one, one_root) = certificate(rig.dir.path(), "one", "one.test");
    let (two, two_root) = certificate(rig.dir.path(), "two", "*.two.test");
    let certificates = Certificates::read(&[one, two]).expect("two certificates");
    let (address, _serving) = with_tls(&rig, &certificates).await;
    for (root, name) in [(&one_root, "one.test"), (&two_root, "a.two.test")] {
        connect(address, root, name, "h2").await.expect("its own certificate");
    }
    let other = connect(address, &two_root, "one.test", "h2").await;
    other.expect_err("the first is another authority's");
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_the_process_learns_of_tls() {
    let rig = Rig::with(|config| {
        config.headers = Arc::new(|arrival| {
            let session = arrival.tls.expect("a session");
            let text = format!("{} {} {:?}", session.version, session.cipher, arrival.version);
            let name = http::HeaderName::from_static("x-session");
            vec![(name, http::HeaderValue::try_from(text).expect("text"))]
        });
    })
    .await;
    let _process = rig.process("a", |request| async move {
        let of = |name: &str| request.headers()[name].to_str().expect("text").to_owned();
        ok(format!("{} {} {}", of("x-forwarded-proto"), of("cf-visitor"), of("x-session")))
    });
    let (files, root) = certificate(rig.dir.path(), "one", "one.test");
    let certificates = Certificates::read(&[files]).expect("a certificate");
    let (address, _serving) = with_tls(&rig, &certificates).await;
    let request = || Request::get("https://one.test/").header("host", "one.test");
    let request = || request().body(text("")).expect("a request");
    let expected = r#"https {"scheme":"https"} TLSv1.3 AEAD-AES256-GCM-SHA384"#;

    let stream = connect(address, &root, "one.test", "h2").await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    let answer = client.send_request(request()).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, format!("{expected} HTTP/2.0"));

    let stream = connect(address, &root, "one.test", "http/1.1").await.expect("TLS");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut client, connection) = handshake.await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let answer = client.send_request(request()).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, format!("{expected} HTTP/1.1"));
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_taken_up_and_a_broken_one_is_not() {
    let rig = Rig::new().await;
    let dir = rig.dir.path();
    let (files, old_root) = certificate(dir, "one", "one.test");
    let certificates = Certificates::read(std::slice::from_ref(&files)).expect("a certificate");
    let (told, mut failures) = tokio::sync::mpsc::unbounded_channel();
    let _followed = certificates.follow(move |error| drop(told.send(error.to_string())));
    let (address, _serving) = with_tls(&rig, &certificates).await;
    fs_err::write(&files.certificate, "half a file").expect("a file");
    let failure = tokio::time::timeout(DEADLINE, failures.recv()).await.expect("in time");
    let failure = failure.expect("it is told");
    assert!(failure.contains("one.pem"), "{failure}");
    connect(address, &old_root, "one.test", "h2").await.expect("the one before serves");
    let (_, new_root) = certificate(dir, "one", "one.test");
    let taken_up = async {
        while connect(address, &new_root, "one.test", "h2").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, taken_up).await.expect("the new one is taken up");
}

#[test]
fn what_is_no_certificate_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, _) = certificate(dir.path(), "one", "one.test");
    let (two, _) = certificate(dir.path(), "two", "two.test");
    let read = |certificate: &Path, key: &Path| {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let error = Certificates::read(&[CertificateFiles { certificate, key }]);
        error.expect_err("it cannot be used").to_string()
    };
    let missing = dir.path().join("missing.pem");
    assert!(read(&missing, &one.key).contains("missing.pem"));
    assert!(read(&one.certificate, &missing).contains("the key from"));
    assert!(read(&one.key, &one.key).contains("one.key"), "a key is no certificate");
    assert!(read(&one.certificate, &two.key).contains("one.pem with the key in"));
}
