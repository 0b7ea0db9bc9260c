//! A Worker with containers: deploys and rollouts, and what is asked about them.

use anyhow::{Context, Result, ensure};
use e2e::Engine;

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

const NAME: &str = "hello-containers";
const INSTANCE: &str = "my instance ID is";

fn run(stage: &mut Stage) -> Result<()> {
    stage.project = stage.wrangler.example("hello");
    stage.project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
    stage.succeeds(&["deploy"], &["hello-containers.localhost"])?;
    stage.answers(NAME, "/container/1", INSTANCE)?;
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
    let _ = stage.succeeds(&["containers", "list", "--json", "--per-page", "5"], &[id]);
    let _ = stage.succeeds(&["containers", "info", id], &[NAME]);
    let _ = stage.succeeds(&["containers", "instances", id], &["running"]);
    let _ = stage.succeeds(&["containers", "instances", id, "--json"], &["running"]);
    if stage.is_newest() {
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
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let ecr = ["configure", ecr, "--aws-access-key-id", "AKIA", "--secret-name", "ECR", "-y"];
    let why = "Berth does not ask AWS for passwords";
    stage.refused_with(&[&registries[..], &ecr].concat(), "hush", &["ECR"], why);
}

fn rollouts(stage: &mut Stage) -> Result<()> {
    for (kind, text) in [("immediate", "Hi, I'm the second"), ("gradual", "Hi, I'm the third")] {
        let server = stage.project.read("container/main.rs");
        let old = if kind == "immediate" { "Hi, I'm a container" } else { "Hi, I'm the second" };
        stage.project.write("container/main.rs", &server.replace(old, text));
        let rollout = format!("--containers-rollout={kind}");
        stage.succeeds(&["deploy", &rollout], &[NAME])?;
        stage.answers(NAME, "/container/1", text)?;
    }
    stage.project.replace("src/index.ts", "Available endpoints:", "Endpoints now:");
    stage.succeeds(&["deploy", "--containers-rollout=none"], &[NAME])?;
    stage.answers(NAME, "/", "Endpoints now:")
}

fn dev(stage: &mut Stage) -> Result<()> {
    stage.then("wrangler dev", |stage| {
        let project = stage.wrangler.example("hello");
        let engine = Engine::start(&project);
        let dev = stage.wrangler.dev(&project, &engine);
        let reply = dev.get("/container/1");
        ensure!(reply.text().contains(INSTANCE), "{reply}: {}", dev.said());
        dev.stop();
        engine.stop();
        Ok(())
    })
}
