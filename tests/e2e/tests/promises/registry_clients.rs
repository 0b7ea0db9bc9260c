//! The clients that people have push to the registry and pull from it; what was pushed is on this
//! machine already.

use std::process::Command;

use e2e::{Berth, Certificate, Data, Dev, Project, Registry, RegistryServer};
use serde_json::json;

const IMAGE: &str = "busybox:1";

/// Runs a client to its end.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout
}

/// `skopeo copy` of a base image to the registry, as an account's `busybox:1`.
fn push_with_skopeo(server: &RegistryServer, password: &str) -> String {
    let source = Registry::of_base_images().url().replace("http://", "docker://");
    let target = format!("docker://{}/acc/{IMAGE}", server.address());
    run(Command::new("skopeo").args([
        "copy",
        "--insecure-policy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--dest-creds",
        &format!("v1:{password}"),
        &format!("{source}/library/busybox:latest"),
        &target,
    ]));
    target
}

#[test]
fn i1_bh2_skopeo_pushes_an_image_inspects_pulls_and_deletes_it() {
    let server = RegistryServer::start(&[]);
    let password = server.credential(&["--pull", "--push"]);
    let target = push_with_skopeo(&server, &password);
    let creds = format!("v1:{password}");
    let skopeo = |args: &[&str]| {
        let mut command = Command::new("skopeo");
        run(command.args(args).args(["--tls-verify=false", "--creds", &creds, &target]))
    };
    let pushed: serde_json::Value =
        serde_json::from_str(&skopeo(&["inspect"])).expect("skopeo prints JSON");
    let folder = tempfile::tempdir().expect("make a folder");
    let pulled = format!("oci:{}:busybox", folder.path().display());
    run(Command::new("skopeo").args([
        "copy",
        "--insecure-policy",
        "--quiet",
        "--src-tls-verify=false",
        "--src-creds",
        &creds,
        &target,
        &pulled,
    ]));
    let raw = run(Command::new("skopeo").args(["inspect", &pulled]));
    let copy: serde_json::Value = serde_json::from_str(&raw).expect("skopeo prints JSON");
    assert_eq!(copy["Digest"], pushed["Digest"]);
    assert_eq!(copy["Layers"], pushed["Layers"]);
    skopeo(&["delete"]);
    let bearer = format!("Bearer {password}");
    let headers = [("authorization", bearer.as_str())];
    let gone = server.client().send("GET", "/v2/acc/busybox/manifests/1", &headers, "");
    assert_eq!(gone.status, 404, "{gone}");
    server.stop();
}

#[test]
fn i3_a_client_that_trusts_the_certificate_pushes_over_tls() {
    let folder = tempfile::tempdir().expect("make a folder");
    let Certificate { certificate, key } = Certificate::in_folder(folder.path());
    let [key, certificate] = [key, certificate].map(|path| path.to_string_lossy().into_owned());
    let server = RegistryServer::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let creds = format!("v1:{}", server.credential(&["--pull", "--push"]));
    let source = Registry::of_base_images().url().replace("http://", "docker://");
    let source = format!("{source}/library/busybox:latest");
    let target = format!("docker://{}/acc/{IMAGE}", server.address());
    let copy = |trust: &[&str]| {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--insecure-policy", "--quiet", "--src-tls-verify=false"]);
        command.args(["--dest-creds", &creds]).args(trust).args([&source, &target]);
        command
    };
    assert!(!copy(&[]).output().expect("run skopeo").status.success(), "nobody vouches for it");
    run(&mut copy(&["--dest-cert-dir", &folder.path().to_string_lossy()]));
    server.stop();
}

#[test]
fn buildah_pulls_an_image_builds_on_it_and_pushes_the_result() {
    let server = RegistryServer::start(&[]);
    let password = server.credential(&["--pull", "--push"]);
    push_with_skopeo(&server, &password);
    let folder = tempfile::tempdir().expect("make a folder");
    let creds = format!("v1:{password}");
    let buildah = |args: &[&str]| {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(folder.path().join("root"));
        command.arg("--runroot").arg(folder.path().join("run"));
        command.args(["--storage-driver", "vfs"]).args(args);
        run(&mut command)
    };
    let policy = folder.path().join("policy.json");
    fs_err::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("write");
    let policy = policy.to_string_lossy();
    let base = format!("docker://{}/acc/{IMAGE}", server.address());
    let from = ["from", "--tls-verify=false", "--signature-policy", &policy, "--creds", &creds];
    let container = buildah(&[&from[..], &[&base]].concat());
    buildah(&["config", "--label", "made=by-buildah", container.trim()]);
    let target = format!("docker://{}/acc/made:2", server.address());
    buildah(&[
        "commit",
        "--tls-verify=false",
        "--signature-policy",
        &policy,
        "--creds",
        &creds,
        container.trim(),
        &target,
    ]);
    let shown = run(Command::new("skopeo").args([
        "inspect",
        "--tls-verify=false",
        "--creds",
        &creds,
        &target,
    ]));
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("skopeo prints JSON");
    assert_eq!(shown["Labels"]["made"], "by-buildah");
    buildah(&["rm", container.trim()]);
}

#[test]
fn i4_what_was_pushed_runs_here_although_the_registry_is_gone() {
    let entrypoint = "[\"sh\", \"-c\", \"mkdir /www; echo pushed > /www/index.html; exec httpd -f -p 8080 -h /www\"]";
    let project = Project::probe(&format!("entrypoint = {entrypoint};")).with_own_home();
    let server = RegistryServer::start_on(&Data::at(project.home()), "127.0.0.1:0", &[]);
    push_with_skopeo(&server, &server.credential(&["--push", "--pull"]));
    let image = format!("{}/acc/{IMAGE}", server.address());
    // Nobody can be asked for it any more: it is here.
    server.stop();
    let project = project.configured(|config| config["containers"][0]["image"] = json!(image));
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/").text(), "pushed\n");
    dev.stop();
}

#[test]
fn a_name_in_our_registry_is_what_was_built_or_pushed_last_until_it_is_removed() {
    let [here, elsewhere] = [(); 2].map(|()| Project::empty().with_own_home());
    let data = Data::at(here.home());
    let server = RegistryServer::start_on(&data, "127.0.0.1:0", &["--anonymous"]);
    let name = format!("{}/acc/app:1", server.address());
    let images =
        |project: &Project, args: &[&str]| Berth::new(project, [&["images"], args].concat()).run();
    let id = |project: &Project| images(project, &["inspect", &name]).json()[0]["Id"].clone();
    let build = |project: &Project, text: &str| {
        project.write("image/Dockerfile", &format!("FROM busybox\nLABEL made={text}\n"));
        Berth::new(project, ["build", "--tag", &name, "image"]).run().assert_succeeds();
        id(project)
    };
    let pulled = || {
        images(&elsewhere, &["pull", &name]).assert_succeeds();
        id(&elsewhere)
    };

    let first = build(&here, "first");
    images(&here, &["push", &name]).assert_succeeds();
    assert_eq!((id(&here), pulled()), (first.clone(), first.clone()));
    // What is built is not yet pushed.
    let second = build(&here, "second");
    assert_ne!(second, first);
    assert_eq!((id(&here), pulled()), (second.clone(), first));
    images(&here, &["push", &name]).assert_succeeds();
    assert_eq!((id(&here), pulled()), (second.clone(), second));
    // What another one pushes later is what is meant here too.
    let third = build(&elsewhere, "third");
    images(&elsewhere, &["push", &name]).assert_succeeds();
    assert_eq!(id(&here), third);

    images(&here, &["rm", &name]).assert_succeeds();
    images(&here, &["inspect", &name]).assert_fails(1, &["no such image"]);
    assert_eq!(server.client().get("/v2/acc/app/manifests/1").status, 404);
    server.stop();
}
