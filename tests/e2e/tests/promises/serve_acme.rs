//! Certificates for the hosts of Workers come from an ACME server, are renewed in time, and serve on
//! when the server is gone: tried with Pebble, Let's Encrypt's own test server.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{NEWEST, PATIENCE, Platform, Project, eventually};
use serde_json::json;

const HOST: &str = "app.berth.test";
/// Seconds that a certificate is valid: it is renewed after 20 of them.
const VALID: u32 = 30;

/// An ACME server and the name server by which it finds whom to ask; they end when dropped.
struct Pebble {
    children: [Child; 2],
    folder: PathBuf,
    directory: String,
    management: u16,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn run(command: &mut Command) -> Option<String> {
    let output = command.output().expect("a program of the tests' prerequisites");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
}

impl Pebble {
    /// Starts one that asks on this port of this machine whose a name is; `None` where it is not
    /// installed, which is fine on a developer's machine alone.
    fn start(folder: &Path, tls: u16) -> Option<Self> {
        let [listen, management, names, control] = [(); 4].map(|()| free_port());
        let file = |name: &str| folder.join(name);
        let made = run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=pebble"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(file("server.key"))
            .arg("-out")
            .arg(file("server.pem")));
        made.expect("openssl makes a certificate");
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{listen}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": file("server.pem"),
            "privateKey": file("server.key"),
            "httpPort": free_port(),
            "tlsPort": tls,
            "certificateValidityPeriod": VALID,
        }});
        fs_err::write(file("pebble.json"), config.to_string()).expect("a file");
        let start = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let mut dns = start(
            Command::new("pebble-challtestsrv")
                .args(["-dns01", &format!("127.0.0.1:{names}")])
                .args(["-management", &format!("127.0.0.1:{control}")])
                .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
                .args(["-http01", "", "-https01", "", "-tlsalpn01", ""]),
        )?;
        let server = start(
            Command::new("pebble")
                .args(["-strict", "-dnsserver", &format!("127.0.0.1:{names}"), "-config"])
                .arg(file("pebble.json"))
                .env("PEBBLE_VA_NOSLEEP", "1"),
        );
        let Some(server) = server else {
            let _ = dns.kill();
            let _ = dns.wait();
            return None;
        };
        let directory = format!("https://localhost:{listen}/dir");
        let folder = folder.to_owned();
        let pebble = Self { children: [dns, server], folder, directory, management };
        eventually(PATIENCE, || pebble.get(&pebble.directory)).expect("Pebble starts");
        Some(pebble)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    fn get(&self, url: &str) -> Option<String> {
        run(Command::new("curl")
            .args(["--silent", "--fail", url, "--cacert"])
            .arg(self.certificate()))
    }

    /// The authority of what it issues.
    fn root(&self) -> PathBuf {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let path = self.folder.join("root.pem");
        fs_err::write(&path, self.get(&url).expect("its root")).expect("a file");
        path
    }
}

/// The serial number of the certificate that a client gets, if it trusts it and is answered.
fn serial(root: &Path, port: u16) -> Option<String> {
    let answer = run(Command::new("curl")
        .args(["--silent", "--verbose", "--max-time", "20"])
        .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
        .args(["--write-out", "%{http_code}", "--output", "/dev/null", "--cacert"])
        .arg(root)
        .arg(format!("https://{HOST}:{port}/")))?;
    assert_eq!(answer, "200");
    run(Command::new("sh").args([
        "-c",
        &format!(
            "openssl s_client -connect 127.0.0.1:{port} -servername {HOST} </dev/null 2>/dev/null \
             | openssl x509 -noout -serial"
        ),
    ]))
}

fn project() -> Project {
    let project = NEWEST.example("stateless");
    let code = "export default { fetch: () => new Response(\"hello\") };";
    project.write("src/index.ts", code);
    let config = json!({
        "name": "app", "main": "src/index.ts", "compatibility_date": "2026-01-01",
        "routes": [{ "pattern": HOST, "custom_domain": true }],
    });
    project.write("wrangler.jsonc", &config.to_string());
    project
}

#[test]
fn certificates_are_had_renewed_and_kept() {
    let (project, port) = (project(), free_port());
    let Some(pebble) = Pebble::start(project.path(), port) else {
        assert!(std::env::var_os("CI").is_none(), "CI has the package pebble");
        eprintln!("not tried: pebble is not installed (Debian's package pebble)");
        return;
    };
    let platform = Platform::start();
    platform.client(&project, &["deploy"]).assert_succeeds();
    let (ca, directory) = (pebble.certificate(), pebble.directory.clone());
    let listen = format!("127.0.0.1:{port}");
    let options = [
        "--listen-tls",
        &listen,
        "--acme-directory",
        &directory,
        "--acme-email",
        "operator@berth.test",
        "--acme-ca",
        ca.to_str().expect("text"),
    ];
    let platform = platform.stopped_and_started_again_with(&options);
    platform.wait_for_line(&format!("A new certificate for {HOST}"));
    let root = pebble.root();
    let first = serial(&root, port).expect("the certificate is trusted");
    let renewed = || serial(&root, port).filter(|serial| *serial != first);
    let second = eventually(PATIENCE + Duration::from_secs(VALID.into()), renewed);
    let second = second.expect("it is renewed before it ends, while it serves");

    drop(pebble);
    let platform = platform.stopped_and_started_again_with(&options);
    assert_eq!(serial(&root, port), Some(second), "it is kept, and serves without the server");
    let acme = platform.data().home().join("acme");
    let mut files = 0;
    for folder in fs_err::read_dir(&acme).expect("a folder") {
        for file in fs_err::read_dir(folder.expect("a folder").path()).expect("a folder") {
            let file = file.expect("a file");
            let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.path().display());
            files += 1;
        }
    }
    assert_eq!(files, 2, "the account and the certificate");
    platform.stop();
}
