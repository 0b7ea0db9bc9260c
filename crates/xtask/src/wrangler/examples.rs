//! Our examples and the containers template, as they are, and as `berth init` writes one.

use std::process::Command;

use anyhow::{Result, ensure};
use e2e::{Berth, Project};
use serde_json::json;

use super::Scene;
use super::stage::Stage;
use crate::programs;

pub(super) const SCENE: Scene = Scene { name: "examples", commands: &["deploy"], run };

const INSTANCE: &str = "my instance ID is";

/// An example with its Worker's name, and what is asked of it.
type Example = (&'static str, &'static str, fn(&mut Stage) -> Result<()>);

const EXAMPLES: [Example; 7] = [
    ("cron", "cron-container", |stage| {
        stage.answers("cron-container", "/", "cron job")?;
        stage.then("its cron trigger is there", |stage| {
            let schedules = stage.get("/workers/scripts/cron-container/schedules")?;
            ensure!(schedules["schedules"][0]["cron"] == "*/2 * * * *", "{schedules}");
            Ok(())
        })
    }),
    ("durable-object", "durable-object", |stage| {
        stage.answers("durable-object", "/a/start?greeting=Ahoy", "started")?;
        stage.answers("durable-object", "/a/port/8080/", "It works.")
    }),
    ("sessions", "container-starter", |stage| {
        stage.then("POST container-starter/", |stage| {
            let body = json!({"session-id": "ada"}).to_string();
            let reply = stage.platform.worker("container-starter").post("/", body);
            ensure!(reply.json()["session"] == "ada", "{reply}");
            Ok(())
        })
    }),
    ("stateless", "stateless", |stage| stage.answers("stateless", "/", "served by")),
    ("static-frontend", "static-frontend", |stage| {
        stage.answers("static-frontend", "/", "<title>Widgets</title>")?;
        stage.answers("static-frontend", "/api/widgets", "Widget A")
    }),
    ("status-hooks", "status-hooks", |stage| {
        stage.answers("status-hooks", "/run/one", "running")?;
        stage.answers("status-hooks", "/stop/one", "Asked to stop")
    }),
    ("websocket", "websocket", |stage| {
        stage.then("a WebSocket of websocket/", |stage| {
            let mut socket = stage.platform.worker("websocket").websocket("/");
            let answer = socket.ask("hello").to_string();
            ensure!(answer == "hello", "{answer}");
            Ok(())
        })
    }),
];

fn run(stage: &mut Stage) -> Result<()> {
    for (example, worker, drive) in EXAMPLES {
        stage.project = stage.wrangler.example(example);
        if deployed(stage, worker).is_ok() {
            let _ = drive(stage);
        }
    }
    secrets(stage)?;
    template(stage);
    if !stage.is_newest() {
        return Ok(());
    }
    // Its Worker has the template's name.
    stage.succeeds(&["delete", "--force"], &["Successfully deleted"])?;
    from_init(stage)
}

/// Deploys the project.
fn deployed(stage: &mut Stage, worker: &str) -> Result<()> {
    let host = format!("{worker}.localhost");
    stage.succeeds(&["deploy"], &[&host]).map(drop)
}

/// The examples whose Workers bind secrets of the Secrets Store, and have some of their own.
fn secrets(stage: &mut Stage) -> Result<()> {
    let store = stage.made("/secrets_store/stores", &json!({"name": "demo"}))?["id"].clone();
    let names = ["ACCOUNT_API_KEY", "ACCOUNT_API_KEY_ONE", "ACCOUNT_API_KEY_TWO"];
    let secret =
        |name: &str| json!({"name": name, "value": format!("{name}!"), "scopes": ["workers"]});
    let path = format!("/secrets_store/stores/{}/secrets", store.as_str().unwrap_or_default());
    stage.made(&path, &json!(names.map(secret)))?;
    for (example, asked, told) in [
        ("env-and-secrets", "/", "ACCOUNT_API_KEY!"),
        ("per-instance-env", "/instances/foo", "ACCOUNT_API_KEY_ONE!"),
    ] {
        stage.project = stage.wrangler.example(example);
        stage.project.configure(|config| {
            for secret in config["secrets_store_secrets"].as_array_mut().into_iter().flatten() {
                secret["store_id"] = store.clone();
            }
        });
        let text = json!({"CONTAINER_SECRET_KEY": "k", "CONTAINER_SECRET_KEY_ONE": "k",
            "CONTAINER_SECRET_KEY_TWO": "k", "SECRET_KEY": "k"});
        stage.project.write("secrets.json", &text.to_string());
        let host = format!("{example}.localhost");
        if stage.succeeds(&["deploy", "--secrets-file", "secrets.json"], &[&host]).is_err() {
            continue;
        }
        if example == "per-instance-env" {
            let _ = stage.answers(example, "/launch-instances", "launched");
        }
        let _ = stage.answers(example, asked, told);
    }
    Ok(())
}

fn template(stage: &mut Stage) {
    stage.project = Project::containers_template().with_own_home().with_template_packages();
    if deployed(stage, "hello-containers").is_ok() {
        let _ = stage.answers("hello-containers", "/container/1", INSTANCE);
        let _ = stage.answers("hello-containers", "/lb", INSTANCE);
    }
}

/// What a person does first: a project of `berth init`, its packages, and a deploy.
fn from_init(stage: &mut Stage) -> Result<()> {
    stage.project = Project::empty().with_own_home();
    stage.then("berth init, npm ci", |stage| {
        let made = Berth::new(&stage.project, ["init", "app", "--template", "hello"]).run();
        ensure!(made.code == 0, "{made}");
        // It knows dates up to its own.
        let config = stage.project.read("app/wrangler.jsonc");
        let config = config.replace("2026-08-01", stage.date());
        stage.project.write("app/wrangler.jsonc", &config);
        stage.project.write("app/.env", &stage.platform.dot_env());
        let app = stage.project.path().join("app");
        let mut npm = Command::new("npm");
        programs::run(npm.args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(app))
    })?;
    stage.succeeds(&["deploy", "--cwd", "app"], &["hello-containers.localhost"])?;
    stage.answers("hello-containers", "/container/1", INSTANCE)
}
