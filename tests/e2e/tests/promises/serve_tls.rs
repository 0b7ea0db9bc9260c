//! Workers and their containers are reached with TLS, over HTTP/1.1, HTTP/2 and WebSockets, and a
//! certificate that is renewed serves without a restart.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use e2e::{Berth, Certificate, NEWEST, PATIENCE, Platform, Project, eventually};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tungstenite::Message;

const HOST: &str = "hello-containers.localhost";

const WORKER: &str = r#"
import { Container, getContainer } from "@cloudflare/containers";

export class MyContainer extends Container { defaultPort = 8080; }

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/cf") {
      const names = ["cf-connecting-ip", "cf-visitor", "x-forwarded-proto", "cf-ray"];
      const headers = names.map((name) => request.headers.get(name));
      return Response.json({ url: request.url, cf: request.cf, headers });
    }
    if (pathname === "/ws") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send(`echo ${data}`));
      return new Response(null, { status: 101, webSocket: client });
    }
    return getContainer(env.MY_CONTAINER).fetch(request);
  },
};
"#;

/// What curl gets; `None` if it does not trust whom it meets.
fn curl(certificate: &Path, port: u16, path: &str, version: &str) -> Option<String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", version, "--max-time", "60"])
        .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
        .args(["--write-out", "\nversion %{http_version}"])
        .arg("--cacert")
        .arg(certificate)
        .arg(format!("https://{HOST}:{port}{path}"))
        .output()
        .expect("run curl");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
}

/// A WebSocket through TLS, asked one thing.
fn websocket(certificate: &Path, port: u16, said: &str) -> Message {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("PEM")).expect("a certificate");
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = ServerName::try_from(HOST).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("TLS");
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("set a deadline");
    let stream = StreamOwned::new(connection, stream);
    let (mut socket, _) =
        tungstenite::client(format!("wss://{HOST}:{port}/ws"), stream).expect("a WebSocket");
    socket.send(Message::text(said)).expect("send");
    socket.read().expect("an answer")
}

#[test]
fn workers_and_containers_are_served_with_tls_and_a_renewed_certificate() {
    let platform = Platform::start();
    let project = NEWEST.example("hello");
    project.write("src/index.ts", WORKER);
    platform.client(&project, &["deploy"]).assert_succeeds();
    let folder = project.path();
    let Certificate { certificate, key } = Certificate::of_host(folder, HOST);
    let log = folder.join("access.log");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let platform = platform.stopped_and_started_again_with(&[
        "--listen-tls",
        "127.0.0.1:0",
        "--tls-cert",
        &text(&certificate),
        "--tls-key",
        &text(&key),
        "--redirect-to-tls",
        "--access-log",
        &text(&log),
    ]);
    let line = platform.wait_for_line("Workers with TLS on https://<worker>.localhost:");
    let port: u16 = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");

    for (version, name, number) in [("--http1.1", "HTTP/1.1", "1.1"), ("--http2", "HTTP/2", "2")] {
        let said = curl(&certificate, port, "/cf?token=hush", version).expect("an answer");
        let (body, version) = said.split_once("\nversion ").expect("both");
        assert_eq!(version, number);
        let seen: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(seen["url"], format!("https://{HOST}:{port}/cf?token=hush"));
        assert_eq!(
            (&seen["cf"]["httpProtocol"], &seen["cf"]["tlsVersion"]),
            (&name.into(), &"TLSv1.3".into())
        );
        assert_eq!(seen["headers"][0], "127.0.0.1");
        assert_eq!(seen["headers"][1], r#"{"scheme":"https"}"#);
        assert_eq!(seen["headers"][2], "https");
        assert!(seen["headers"][3].as_str().is_some_and(|ray| ray.len() == 20), "{seen}");
    }
    let container = curl(&certificate, port, "/", "--http2").expect("an answer");
    assert!(container.contains("version 2") && container.contains("nstance"), "{container}");
    assert_eq!(websocket(&certificate, port, "a"), Message::text("echo a"));
    let redirected = platform.worker("hello-containers").get("/a?b=c");
    assert_eq!(redirected.status, 308);
    assert_eq!(redirected.headers["location"], format!("https://{HOST}:{port}/a?b=c"));

    let renewed = Certificate::of_host(folder, HOST).certificate;
    let serves = || curl(&renewed, port, "/cf", "--http2");
    eventually(PATIENCE, serves).expect("the renewed certificate serves");
    let whole = fs_err::read(&renewed).expect("a file");
    fs_err::write(&renewed, "half of it").expect("a file");
    platform.wait_for_line("take up a new certificate");
    fs_err::write(&renewed, whole).expect("a file");
    assert!(serves().is_some(), "the one before stays");

    platform.stop();
    let log = fs_err::read_to_string(log).expect("a log");
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().any(|line| {
        line["protocol"] == "HTTP/2"
            && line["path"] == "/cf"
            && line["worker"] == "hello-containers"
    }));
    assert!(lines.iter().any(|line| line["websocket"] == true && line["status"] == 101));
    assert!(lines.iter().any(|line| line["status"] == 308 && line["scheme"] == "http"));
    assert!(!log.contains("hush"), "a query may hold a secret");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_before_anything_starts() {
    let project = Project::empty().with_own_home();
    let Certificate { certificate, key } = Certificate::of_host(project.path(), HOST);
    fs_err::write(&certificate, "no PEM").expect("a file");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (certificate, key) = (text(&certificate), text(&key));
    let pair = ["--tls-cert", &certificate, "--tls-key", &key];
    let serve = ["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let tls = [&serve[..], &["--listen-tls", "127.0.0.1:0"]].concat();
    let run = |args: Vec<&str>| Berth::new(&project, args).run();
    run([&tls[..], &pair].concat()).assert_fails(3, &["use the certificate in", "ca.crt", "hint:"]);
    run(tls.clone()).assert_fails(2, &["--listen-tls has no certificate", "hint:"]);
    let other = [&tls[..], &pair, &["--tls-cert", &certificate]].concat();
    run(other).assert_fails(2, &["--tls-cert is given 2 times, --tls-key 1 times", "hint:"]);
}
