//! A Worker with containers: deploys and rollouts, and what is asked about them.

use anyhow::{Context, Result, ensure};
use e2e::{Engine, Project};

use super::Scene;
use super::stage::Stage;

pub(super) const SCENE: Scene = Scene {
    name: "containers",
    commands: &[
        "deploy",
        "deploy --containers-rollout",
        "containers list",
        "containers info",
        "containers instances",
        "containers ssh",
        "containers registries configure",
        "containers registries list",
        "containers registries delete",
        "containers registries credentials",
        "containers delete",
        "delete",
    ],
    run,
};

pub(super) const DEV: Scene = Scene { name: "dev", commands: &["dev"], run: dev };

/// What [`Project::with`] calls its Worker.
const NAME: &str = "e2e";

/// One instance for everybody, which tells of its image.
const WORKER: &str = r#"
import { Container, getContainer } from "@cloudflare/containers";
export class MyContainer extends Container {
  defaultPort = 8080;
}
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/") return new Response("the Worker's first");
    return await getContainer(env.MY_CONTAINER).fetch(request);
  },
};
"#;
const IMAGE: &str = "FROM busybox
COPY index.html /www/
CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]
";

fn run(stage: &mut Stage) -> Result<()> {
    let project = Project::with(WORKER, IMAGE).with_own_home();
    stage.project = project.configured(|config| {
        config["compatibility_date"] = stage.date().into();
        config["workers_dev"] = true.into();
    });
    stage.project.write("index.html", "the first image");
    stage.succeeds(&["deploy"], &["e2e.localhost"])?;
    stage.answers(NAME, "/index.html", "the first image")?;
    let applications = stage.get("/containers/applications")?;
    let id = applications[0]["id"].as_str().context("an application has an id")?.to_owned();
    looks(stage, &id);
    registries(stage);
    let _ = rollouts(stage);
    stage.succeeds(&["containers", "delete", &id], &[])?;
    let _ = stage.succeeds(&["delete", "--force"], &["Successfully deleted"]);
    Ok(())
}

fn looks(stage: &mut Stage, id: &str) {
    let _ = stage.succeeds(&["containers", "list"], &[NAME]);
    let _ = stage.succeeds(&["containers", "info", id], &[NAME]);
    let _ = stage.succeeds(&["containers", "instances", id], &["running"]);
    if stage.is_newest() {
        let _ = stage.succeeds(&["containers", "list", "--json", "--per-page", "5"], &[id]);
        let _ = stage.succeeds(&["containers", "instances", id, "--json"], &["running"]);
        let search = ["containers", "instances", id, "--search", "nobody", "--json"];
        let _ = stage.succeeds(&search, &["[]"]);
        let why = "the id is an application's; the promise `serve_ssh` enters an instance";
        stage.refused(&["containers", "ssh", id], &["not found"], why);
    }
}

fn registries(stage: &mut Stage) {
    let registries = ["containers", "registries"];
    let host = {
        let environment = stage.platform.dot_env();
        let line = environment.lines().find(|line| line.contains("CONTAINER_REGISTRY="));
        line.and_then(|line| line.split_once('=')).map(|(_, host)| host.to_owned())
    };
    let host = host.unwrap_or_default();
    let credentials = ["credentials", &host, "--pull", "--push", "--expiration-minutes", "5"];
    let _ = stage.succeeds(&[&registries[..], &credentials].concat(), &["eyJ"]);
    let configure =
        ["configure", "docker.io", "--dockerhub-username", "me", "--secret-name", "HUB"];
    let configure = [&registries[..], &configure, &["-y"]].concat();
    let _ = stage.succeeds_with(&configure, "hush", &["configuration completed"]);
    let _ = stage.succeeds(&[&registries[..], &["list", "--json"]].concat(), &["docker.io"]);
    let delete = [&registries[..], &["delete", "docker.io", "-y"]].concat();
    let _ = stage.succeeds(&delete, &["Deleted"]);
    if !stage.is_newest() {
        return;
    }
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let ecr = ["configure", ecr, "--aws-access-key-id", "AKIA", "--secret-name", "ECR", "-y"];
    let why = "Berth does not ask AWS for passwords";
    stage.refused_with(&[&registries[..], &ecr].concat(), "hush", &["ECR"], why);
}

fn rollouts(stage: &mut Stage) -> Result<()> {
    for (kind, text) in [("immediate", "the second image"), ("gradual", "the third image")] {
        stage.project.write("index.html", text);
        let rollout = format!("--containers-rollout={kind}");
        stage.succeeds(&["deploy", &rollout], &[NAME])?;
        stage.answers(NAME, "/index.html", text)?;
    }
    // 4.86.0 knows the other two alone.
    if !stage.is_newest() {
        return Ok(());
    }
    stage.project.write("index.html", "the fourth image");
    stage.project.replace("src/index.js", "the Worker's first", "the Worker's second");
    stage.succeeds(&["deploy", "--containers-rollout=none"], &[NAME])?;
    stage.answers(NAME, "/", "the Worker's second")?;
    stage.answers(NAME, "/index.html", "the third image")
}

fn dev(stage: &mut Stage) -> Result<()> {
    stage.then("wrangler dev", |stage| {
        let project = stage.wrangler.example("hello");
        let engine = Engine::start(&project);
        let dev = stage.wrangler.dev(&project, &engine);
        let reply = dev.get("/container/1");
        ensure!(reply.text().contains("my instance ID is"), "{reply}: {}", dev.said());
        dev.stop();
        engine.stop();
        Ok(())
    })
}
