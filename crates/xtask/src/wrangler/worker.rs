//! A Worker without containers: its versions, secrets, deployments and logs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Scene;
use super::stage::Stage;

pub(super) const SCENE: Scene = Scene {
    name: "worker",
    commands: &[
        "deploy",
        "deploy --dry-run",
        "deploy --keep-vars",
        "deploy --secrets-file",
        "secret put",
        "secret list",
        "secret bulk",
        "secret delete",
        "versions upload",
        "versions list",
        "versions view",
        "versions deploy",
        "versions secret put",
        "versions secret list",
        "versions secret bulk",
        "versions secret delete",
        "deployments list",
        "deployments status",
        "rollback",
        "triggers deploy",
        "delete",
    ],
    run,
};

pub(super) const TAIL: Scene = Scene { name: "tail", commands: &["tail"], run: tail };

/// Tells which it is, its secrets and its variables.
const CODE: &str = r#"
export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    console.log("asked for", pathname);
    return Response.json(["one", env.KEY ?? null, env.B ?? null, env.VARIABLE ?? null]);
  },
  scheduled() {},
};
"#;
const NAME: &str = "swept";

fn run(stage: &mut Stage) -> Result<()> {
    stage.set_worker(NAME, CODE, &json!({"vars": {"VARIABLE": "v"}}));
    let _ = stage.succeeds(&["deploy", "--dry-run"], &["--dry-run: exiting now"]);
    stage.succeeds(&["deploy"], &["swept.localhost"])?;
    stage.answers(NAME, "/", r#"["one",null,null,"v"]"#)?;
    let _ = secrets(stage);
    let _ = versions(stage);
    let _ = versions_secrets(stage);
    let _ = deploys(stage);
    let _ = stage.succeeds(&["delete", "--force"], &["Successfully deleted"]);
    stage.then("GET swept/: 404", |stage| {
        let gone = stage.platform.worker(NAME).get("/");
        ensure!(gone.status == 404, "{gone}");
        Ok(())
    })
}

fn secrets(stage: &mut Stage) -> Result<()> {
    stage.succeeds_with(&["secret", "put", "KEY"], "hush", &["Uploaded secret KEY"])?;
    stage.answers(NAME, "/", r#""hush""#)?;
    let _ = stage.succeeds(&["secret", "list"], &["KEY", "secret_text"]);
    stage.project.write("secrets.json", r#"{"KEY": "two", "B": "three"}"#);
    stage.succeeds(&["secret", "bulk", "secrets.json"], &["2 secrets successfully"])?;
    stage.answers(NAME, "/", r#""two","three""#)?;
    stage.succeeds_with(&["secret", "delete", "B"], "y\n", &["Deleted secret B"])?;
    stage.answers(NAME, "/", r#""two",null"#)
}

/// The ids of the versions, the newest first.
fn ids(stage: &Stage) -> Result<Vec<String>> {
    let versions = stage.get("/workers/scripts/swept/versions")?;
    let items = versions["items"].as_array().context("versions")?;
    Ok(items.iter().filter_map(|it| it["id"].as_str().map(str::to_owned)).collect())
}

fn versions(stage: &mut Stage) -> Result<()> {
    stage.project.replace("index.js", "[\"one\"", "[\"two\"");
    let upload = ["versions", "upload", "--message", "to be seen", "--tag", "t1"];
    stage.succeeds(&upload, &["Worker Version ID"])?;
    let _ = stage.succeeds(&["versions", "list"], &["to be seen", "t1"]);
    let all = ids(stage)?;
    let (new, old) = (all[0].as_str(), all[1].as_str());
    let _ = stage.succeeds(&["versions", "view", new], &["Secret Name:  KEY", "VARIABLE"]);
    let (half, other) = (format!("{new}@50%"), format!("{old}@50%"));
    let deploy = ["versions", "deploy", &half, &other, "-y", "--message", "half of it"];
    if stage.is_newest() {
        let _ = stage.succeeds(&["versions", "list", "--json"], &["to be seen"]);
        let _ = stage.succeeds(&[&deploy[..], &["--dry-run"]].concat(), &["--dry-run"]);
    }
    stage.succeeds(&deploy, &["SUCCESS", "50%"])?;
    let _ = stage.succeeds(&["deployments", "status"], &["(50%)", old, new]);
    stage.answers(NAME, "/", r#"["two""#)?;
    stage.answers(NAME, "/", r#"["one""#)?;
    stage.succeeds(&["rollback", old, "-y", "-m", "it was better"], &["SUCCESS"])?;
    stage.then("one version serves again", |stage| {
        let all = stage.get("/workers/scripts/swept/deployments")?;
        let serve = &all["deployments"][0]["versions"];
        let alone = serve.as_array().is_some_and(|all| all.len() == 1);
        ensure!(alone && serve[0]["version_id"] == old, "{all}");
        Ok(())
    })?;
    let listed = ["half of it", "(50%)", "it was better", "(100%)"];
    let _ = stage.succeeds(&["deployments", "list"], &listed);
    if stage.is_newest() {
        let _ = stage.succeeds(&["deployments", "status", "--json"], &[old]);
    }
    stage.answers(NAME, "/", r#"["one""#)
}

fn versions_secrets(stage: &mut Stage) -> Result<()> {
    let put = ["versions", "secret", "put", "B"];
    stage.succeeds_with(&put, "later", &["Created version"])?;
    let _ = stage.succeeds(&["versions", "secret", "list"], &["KEY"]);
    stage.project.write("more.json", r#"{"KEY": "bulk"}"#);
    let _ = stage.succeeds(&["versions", "secret", "bulk", "more.json"], &["version"]);
    stage.answers(NAME, "/", r#""two",null"#)?;
    stage.then("the newest version is deployed", deploy_newest)?;
    stage.answers(NAME, "/", r#""bulk","later""#)?;
    let delete = ["versions", "secret", "delete", "B"];
    let _ = stage.succeeds_with(&delete, "y\n", &["version"]);
    stage.then("the newest version is deployed", deploy_newest)?;
    stage.answers(NAME, "/", r#""bulk",null"#)
}

/// Deploys the newest version by the API: faster than by the command, which is tried already.
fn deploy_newest(stage: &Stage) -> Result<Value> {
    let newest = json!([{"version_id": ids(stage)?[0], "percentage": 100}]);
    let deployment = json!({"strategy": "percentage", "versions": newest});
    stage.made("/workers/scripts/swept/deployments", &deployment)
}

fn deploys(stage: &mut Stage) -> Result<()> {
    let script = "/workers/scripts/swept";
    stage.project.configure(|config| {
        config["triggers"] = json!({"crons": ["*/5 * * * *"]});
        config["workers_dev"] = json!(false);
        config["routes"] = json!([{"pattern": "swept.example", "custom_domain": true},
            "www.swept.example/*"]);
    });
    stage.succeeds(&["triggers", "deploy"], &["*/5 * * * *", "www.swept.example/*"])?;
    stage.then("the cron trigger is there", |stage| {
        let schedules = stage.get(&format!("{script}/schedules"))?;
        ensure!(schedules["schedules"][0]["cron"] == "*/5 * * * *", "{schedules}");
        for host in ["swept.example", "www.swept.example"] {
            let reply = stage.platform.host(host).get("/");
            ensure!(reply.status == 200, "{host}: {reply}");
        }
        Ok(())
    })?;
    stage.project.configure(|config| {
        config["workers_dev"] = json!(true);
        config["vars"] = json!({});
    });
    let options = ["--keep-vars", "--var", "B:w", "--minify", "--tag", "t2"];
    stage.succeeds(&[&["deploy"][..], &options].concat(), &["swept"])?;
    stage.answers(NAME, "/", r#""w","v""#)?;
    if stage.is_newest() {
        stage.project.write("secrets.env", "KEY=of a file\n");
        stage.succeeds(&["deploy", "--secrets-file", "secrets.env"], &["swept"])?;
        stage.answers(NAME, "/", r#""of a file""#)?;
    }
    Ok(())
}

fn tail(stage: &mut Stage) -> Result<()> {
    stage.set_worker(NAME, CODE, &json!({}));
    stage.succeeds(&["deploy"], &["swept"])?;
    let version = ids(stage)?[0].clone();
    let filters = [
        "--status",
        "ok",
        "--method",
        "GET",
        "--header",
        "x-a:b",
        "--sampling-rate",
        "0.999",
        "--search",
        "asked",
        "--ip",
        "self",
        "--version-id",
        &version,
    ];
    for (format, more, word) in
        [("pretty", &[][..], "asked for"), ("json", &filters[..], "\"scriptName\"")]
    {
        let args = [&["tail", "--format", format], more].concat();
        stage.then(&format!("wrangler tail --format {format} {}", more.join(" ")), |stage| {
            let tail = stage.tool(&args).start();
            let client = stage.platform.worker(NAME);
            let deadline = Duration::from_secs(60);
            // It says nothing on being connected where it prints JSON: whoever asks again is seen.
            let seen = e2e::eventually(deadline, || {
                let _ = client.send("GET", "/seen", &[("x-a", "b")], "");
                tail.said().contains(word).then_some(())
            });
            let said = tail.said();
            let _ = tail.interrupt();
            ensure!(seen.is_some(), "{word:?} is not in: {said}");
            Ok(())
        })?;
    }
    Ok(())
}
