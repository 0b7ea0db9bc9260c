//! The unmodified wrangler works with the registry in Cloudflare's place and `berth-docker` in
//! Docker's: credentials, builds, pushes, the list of images, and deleting one.

use e2e::{
    Certificate, NEWEST, ON_NODE_20, Project, RegistryServer, Tool, Wrangler, berth_docker_binary,
};
use serde_json::Value;

/// A registry with TLS, which wrangler insists on, and its API.
struct Fixture {
    wrangler: Wrangler,
    server: RegistryServer,
    project: Project,
    certificate: Certificate,
}

impl Fixture {
    fn start(wrangler: Wrangler) -> Self {
        let project = Project::empty().with_own_home();
        let made = Certificate::in_folder(project.path());
        let [certificate, key] = [&made.certificate, &made.key].map(|path| path.to_string_lossy());
        let tls = ["--api", "--tls-cert", &certificate, "--tls-key", &key];
        let server = RegistryServer::start(&tls);
        Self { wrangler, server, project, certificate: made }
    }

    /// `wrangler <args>`: no Docker is there, and the certificate is trusted.
    #[track_caller]
    fn wrangler(&self, args: &[&str]) -> String {
        let address = self.server.address();
        let tool = self
            .wrangler
            .command(&self.project, args)
            .env("CLOUDFLARE_API_BASE_URL", format!("https://{address}/client/v4"))
            .env("CLOUDFLARE_API_TOKEN", self.server.credential(&["--api"]))
            .env("CLOUDFLARE_ACCOUNT_ID", "acc")
            .env("CLOUDFLARE_CONTAINER_REGISTRY", address)
            .env("NODE_EXTRA_CA_CERTS", self.certificate());
        self.trusting(tool).says()
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        self.trusting(Tool::berth_docker(&self.project, args)).says()
    }

    fn trusting(&self, tool: Tool) -> Tool {
        tool.env("SSL_CERT_FILE", self.certificate())
    }

    fn certificate(&self) -> &std::path::Path {
        &self.certificate.certificate
    }

    fn listed(&self) -> String {
        let text = self.wrangler(&["containers", "images", "list", "--json"]);
        let begin = text.find('[').expect("a JSON array");
        let list: Value = serde_json::from_str(&text[begin..]).expect("JSON");
        list.to_string()
    }
}

fn credentials_builds_pushes_lists_and_deletes(wrangler: Wrangler, push: &[&str]) {
    let fixture = Fixture::start(wrangler);
    let address = fixture.server.address();
    let given = fixture.wrangler(&[
        "containers",
        "registries",
        "credentials",
        address,
        "--push",
        "--pull",
        "--expiration-minutes",
        "5",
    ]);
    assert!(given.lines().any(|line| line.starts_with("eyJ")), "{given}");

    fixture.project.write("image/Dockerfile", "FROM busybox\nRUN echo built > /how\n");
    fixture.wrangler(&["containers", "build", "image", "-t", "app:one", "-p"]);
    fixture.docker(&["build", "--quiet", "--tag", "other:two", "image"]);
    fixture.wrangler(&[&["containers", "push", "other:two"], push].concat());
    let before = fixture.listed();
    for word in ["app", "one", "other", "two"] {
        assert!(before.contains(&format!("\"{word}\"")), "{before}");
    }

    let pushed = format!("{address}/acc/app:one");
    let id = |name: &str| fixture.docker(&["image", "inspect", name, "--format", "{{.Id}}"]);
    let built = id("other:two");
    fixture.docker(&["image", "prune", "--all", "--force"]);
    assert_eq!(fixture.docker(&["images", "--quiet"]), "", "nothing of it is here any more");
    fixture.docker(&["pull", &pushed]);
    assert_eq!(id(&pushed), built, "the registry has what was built");

    fixture.wrangler(&["containers", "images", "delete", "app:one"]);
    let after = fixture.listed();
    assert!(!after.contains("\"one\"") && after.contains("\"two\""), "{after}");
    fixture.server.stop();
}

#[test]
fn bi1_bh2_the_newest_wrangler_builds_pushes_lists_and_deletes_images() {
    credentials_builds_pushes_lists_and_deletes(NEWEST, &[]);
}

#[test]
fn bi1_bh2_the_last_wrangler_for_node_20_builds_pushes_lists_and_deletes_images() {
    credentials_builds_pushes_lists_and_deletes(
        ON_NODE_20,
        // Its `push` heeds no WRANGLER_DOCKER_BIN.
        &["--path-to-docker", &berth_docker_binary().to_string_lossy()],
    );
}
