//! `berth-docker` without any daemon: what Wrangler, CI and scripts ask of a `docker` command.

use std::os::unix::fs::PermissionsExt as _;

use e2e::{Project, RegistryServer, Tool};

fn project() -> Project {
    Project::empty().with_own_home()
}

fn says(project: &Project, args: &[&str]) -> String {
    Tool::berth_docker(project, args).says()
}

#[test]
fn wranglers_calls_give_exactly_what_it_parses() {
    let project = project();
    Tool::berth_docker(&project, ["info"]).run().assert_succeeds();
    let build = [
        "build",
        "--load",
        "-t",
        "app:wrangler-1",
        "--platform",
        "linux/amd64",
        "--provenance=false",
        "--build-arg",
        "WORD=hi",
        "-f",
        "-",
        ".",
    ];
    let dockerfile = "FROM busybox\nARG WORD\nRUN echo $WORD > /word\nEXPOSE 8080\n";
    Tool::berth_docker(&project, build).run_with(dockerfile).assert_succeeds();
    let inspect =
        |name: &str, format: &str| says(&project, &["image", "inspect", name, "--format", format]);
    let digests = inspect("app:wrangler-1", "{{ json .RepoDigests }}");
    assert!(digests.starts_with("[\"app@sha256:"), "{digests}");
    let size = inspect("app:wrangler-1", "{{ .Size }} {{ len .RootFS.Layers }}");
    let (bytes, layers) = size.split_once(' ').expect("two numbers");
    assert!(bytes.parse::<u64>().is_ok_and(|bytes| bytes > 500_000) && layers == "2", "{size}");
    assert_eq!(inspect("app:wrangler-1", "{{ .Os }}/{{ .Architecture }}"), "linux/amd64");
    assert_eq!(inspect("app:wrangler-1", "{{ len .Config.ExposedPorts }}"), "1");
    assert_eq!(says(&project, &["tag", "app:wrangler-1", "localhost:5000/acc/app:v1"]), "");
    assert_eq!(
        inspect("app:wrangler-1", "{{ range .RepoTags }}{{ . }}\n{{ end }}").trim_end(),
        "app:wrangler-1\nlocalhost:5000/acc/app:v1"
    );
    assert_eq!(
        says(&project, &["info", "--format", "{{json .SecurityOptions}}"]),
        "[\"name=seccomp,profile=builtin\"]"
    );
    let removed = says(&project, &["image", "rm", "app:wrangler-1"]);
    assert_eq!(removed, "Untagged: app:wrangler-1");
    Tool::berth_docker(&project, ["image", "inspect", "app:wrangler-1"])
        .run()
        .assert_fails(1, &["No such image: app:wrangler-1"]);
}

#[test]
fn the_sidecar_image_of_wrangler_dev_needs_no_transfer() {
    let project = project();
    let name = format!("cloudflare/proxy-everything:3cb1195@sha256:{}", "0".repeat(64));
    assert!(says(&project, &["pull", &name]).contains("part of Berth"));
}

#[test]
fn images_are_pulled_listed_and_removed() {
    let project = project();
    let pulled = says(&project, &["pull", "busybox", "--platform", "linux/amd64"]);
    assert!(pulled.contains("Status: Downloaded newer image for busybox:latest"), "{pulled}");
    let again = says(&project, &["pull", "busybox"]);
    assert!(again.contains("Image is up to date for busybox:latest"), "{again}");
    let listed = says(&project, &["images"]);
    assert!(listed.starts_with("REPOSITORY   TAG      IMAGE ID"), "{listed}");
    assert_eq!(
        says(&project, &["images", "--format", "{{.Repository}}:{{.Tag}}"]),
        "busybox:latest"
    );
    let id = says(&project, &["images", "-q"]);
    assert_eq!(id.len(), 12);
    let digests = says(&project, &["inspect", &id, "--format", "{{index .RepoDigests 0}}"]);
    assert!(digests.starts_with("busybox@sha256:"), "{digests}");
    assert!(says(&project, &["history", "busybox"]).starts_with("IMAGE"));
    assert!(says(&project, &["rmi", "busybox"]).contains("Untagged: busybox:latest"));
    assert_eq!(says(&project, &["images", "-q"]), "");
    assert!(says(&project, &["image", "prune", "--force"]).contains("Total reclaimed space"));
}

#[test]
fn an_image_without_a_name_is_listed_and_goes_by_its_id() {
    let project = project();
    project.write("Dockerfile", "FROM busybox\nRUN echo 1 > /number\n");
    let id = says(&project, &["build", "-q", "."]);
    let dangling = ["images", "--no-trunc", "--filter", "dangling=true"];
    let listed = says(&project, &dangling);
    assert!(listed.lines().any(|l| l.starts_with("<none>") && l.contains(&id)), "{listed}");
    assert_eq!(says(&project, &["inspect", &id, "--format", "{{json .RepoTags}}"]), "[]");
    assert_eq!(says(&project, &["rmi", &id]), format!("Deleted: {id}"));
    assert!(!says(&project, &dangling).contains("<none>"));
    let id = says(&project, &["build", "-q", "."]);
    assert!(says(&project, &["image", "prune", "--force"]).contains(&format!("deleted: {id}")));
}

#[test]
fn a_build_that_fails_says_where_and_leaves_nothing() {
    let project = project();
    project.write("Dockerfile", "FROM busybox\nRUN exit 9\n");
    let failed = Tool::berth_docker(&project, ["build", "."]).run();
    failed.assert_fails(4, &["Dockerfile:2", "RUN exit 9"]);
    project.write("Dockerfile", "FROM busybox\n");
    let quiet = Tool::berth_docker(&project, ["build", "-q", "--iidfile", "id", "."]).says();
    assert!(quiet.starts_with("sha256:"), "{quiet}");
    assert_eq!(project.read("id"), quiet);
    Tool::berth_docker(&project, ["build", "--platform", "linux/s390x", "."])
        .run()
        .assert_fails(2, &["linux/s390x"]);
    let places = fs_err::read_dir(project.home().join("build")).expect("list the builds' places");
    let left: Vec<_> = places
        .map(|place| place.expect("a place").path())
        // Locks stay: removing one would let two builds have one place.
        .filter(|place| place.extension().is_none_or(|kind| kind != "lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn credentials_are_kept_where_only_their_owner_reads_them() {
    let project = project();
    let server = RegistryServer::start(&[]);
    let address = server.address();
    let login = |password: &str| {
        let args = ["login", "--username", "v1", "--password-stdin", address];
        Tool::berth_docker(&project, args).run_with(password)
    };
    let refused = login("hunter2\n");
    refused.assert_fails(1, &["login attempt to", "401 Unauthorized"]);
    assert!(!refused.stderr.contains("hunter2"), "{refused}");
    let password = server.credential(&["--pull"]);
    let outcome = login(&format!("{password}\n"));
    outcome.assert_succeeds();
    assert_eq!(outcome.stdout, "Login Succeeded\n");
    let path = project.path().join(".docker/config.json");
    assert_eq!(fs_err::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let text = project.read(".docker/config.json");
    assert!(text.contains(address) && !text.contains(&password), "{text}");
    says(&project, &["logout", address]);
    assert!(!project.read(".docker/config.json").contains(address));
    Tool::berth_docker(&project, ["login", address])
        .run()
        .assert_fails(2, &["user name", "--username"]);
}

#[test]
fn a_container_needs_an_engine_and_the_command_says_how_to_start_one() {
    let project = project();
    let host = format!("unix://{}/none.sock", project.path().display());
    for args in [&["--host", &host, "ps"][..], &["--host", &host, "info"]] {
        let outcome = Tool::berth_docker(&project, args).run();
        outcome.assert_fails(1, &["no engine answers at", "berth docker serve"]);
    }
    let run = Tool::berth_docker(&project, ["--host", &host, "run", "busybox"]).run();
    run.assert_fails(125, &["berth docker serve"]);
    Tool::berth_docker(&project, ["--host", "tcp://1.2.3.4:1", "ps"])
        .run()
        .assert_fails(2, &["unix://PATH"]);
    Tool::berth_docker(&project, ["image", "inspect", "x", "--format", "{{.A"])
        .run()
        .assert_fails(1, &[]);
    let context = says(&project, &["context", "ls", "--format", "json"]);
    assert!(context.contains("\"DockerEndpoint\":\"unix://"), "{context}");
}
