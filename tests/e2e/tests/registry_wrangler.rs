//! The unmodified wrangler works with the registry in Cloudflare's place: credentials, the list of
//! images, and deleting one.

use std::process::Command;

use e2e::{Registry, RegistryServer, wrangler_from_npm};
use serde_json::Value;

/// A registry with TLS, which wrangler insists on, and its API.
struct Fixture {
    server: RegistryServer,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let [key, certificate] = ["key.pem", "ca.crt"]
            .map(|name| folder.path().join(name).to_string_lossy().into_owned());
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
            .args(["-keyout", &key, "-out", &certificate]));
        let tls = ["--api", "--tls-cert", &certificate, "--tls-key", &key];
        Self { server: RegistryServer::start(&tls), folder }
    }

    fn wrangler(&self, args: &[&str]) -> String {
        let address = self.server.address();
        let mut command = wrangler_from_npm(self.folder.path());
        command
            .args(args)
            .env("CLOUDFLARE_API_BASE_URL", format!("https://{address}/client/v4"))
            .env("CLOUDFLARE_API_TOKEN", self.server.credential(&["--api"]))
            .env("CLOUDFLARE_ACCOUNT_ID", "acc")
            .env("CLOUDFLARE_CONTAINER_REGISTRY", address)
            .env("NODE_EXTRA_CA_CERTS", self.folder.path().join("ca.crt"));
        run(&mut command)
    }
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout
}

#[test]
fn bi1_bh2_wrangler_gets_credentials_lists_images_and_deletes_one() {
    let fixture = Fixture::start();
    let given = fixture.wrangler(&[
        "containers",
        "registries",
        "credentials",
        fixture.server.address(),
        "--push",
        "--pull",
        "--expiration-minutes",
        "5",
    ]);
    let password = given.lines().find(|line| line.starts_with("eyJ")).expect("a password").trim();
    let source = Registry::of_base_images().url().replace("http://", "docker://");
    for tag in ["one", "two"] {
        run(Command::new("skopeo")
            .args(["copy", "--insecure-policy", "--quiet", "--src-tls-verify=false"])
            .args(["--dest-creds", &format!("v1:{password}"), "--dest-cert-dir"])
            .arg(fixture.folder.path())
            .arg(format!("{source}/library/busybox:latest"))
            .arg(format!("docker://{}/acc/app:{tag}", fixture.server.address())));
    }
    let listed = || -> Value {
        let text = fixture.wrangler(&["containers", "images", "list", "--json"]);
        let begin = text.find('[').expect("a JSON array");
        serde_json::from_str(&text[begin..]).expect("JSON")
    };
    let before = listed().to_string();
    assert!(before.contains("app") && before.contains("one") && before.contains("two"), "{before}");
    fixture.wrangler(&["containers", "images", "delete", "app:one"]);
    let after = listed().to_string();
    assert!(!after.contains("\"one\"") && after.contains("two"), "{after}");
    fixture.server.stop();
}
