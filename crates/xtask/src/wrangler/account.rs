//! Who one is, what a project's types are, and the Secrets Store.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scene;
use super::stage::Stage;

pub(super) const SCENE: Scene = Scene {
    name: "account",
    commands: &[
        "whoami",
        "login",
        "types",
        "secrets-store store create",
        "secrets-store store list",
        "secrets-store store delete",
        "secrets-store secret create",
        "secrets-store secret list",
        "secrets-store secret get",
        "secrets-store secret update",
        "secrets-store secret duplicate",
        "secrets-store secret delete",
    ],
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let bindings = json!({"vars": {"GREETING": "hello"}});
    stage.set_worker("typed", "export default { fetch: () => new Response() };", &bindings);
    let _ = stage.succeeds(&["whoami"], &["local"]);
    // The types of the runtime come from workerd, not from the platform, and take seconds.
    let _ = stage.succeeds(&["types", "--include-runtime=false"], &["GREETING"]);
    // There is no OAuth: a token stands in the project's .env.
    let _ = stage.succeeds(&["login"], &["logged in with an API Token"]);
    stage.then("GET /client/v4/openapi.json", |stage| {
        let reply = stage.platform.api().get("/client/v4/openapi.json");
        ensure!(reply.json()["paths"]["/user"]["get"].is_object(), "{reply}");
        Ok(())
    })?;
    secrets_store(stage)
}

/// Binds a secret and tells it.
const CODE: &str = "export default {
  async fetch(_, env) { return new Response(await env.KEY.get()); },
};";

fn secrets_store(stage: &mut Stage) -> Result<()> {
    let made = ["secrets-store", "store", "create", "swept", "--remote"];
    stage.succeeds(&made, &["Created store!"])?;
    let stores = stage.get("/secrets_store/stores")?;
    let store = stores[0]["id"].as_str().context("a store has an id")?.to_owned();
    let _ = stage.succeeds(&["secrets-store", "store", "list", "--remote"], &["swept"]);
    let secret = |words: &[&str]| -> Vec<String> {
        let words = [&["secrets-store", "secret"][..], words, &["--remote"]].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    let run = |stage: &mut Stage, words: &[&str], said: &str| {
        let words = secret(words);
        stage.succeeds(&words.iter().map(String::as_str).collect::<Vec<_>>(), &[said])
    };
    let create = ["--name", "KEY", "--value", "one", "--scopes", "workers", "--comment", "why"];
    run(stage, &[&["create", &store][..], &create].concat(), "Created secret!")?;
    let id = {
        let secrets = stage.get(&format!("/secrets_store/stores/{store}/secrets"))?;
        secrets[0]["id"].as_str().context("a secret has an id")?.to_owned()
    };
    let _ = run(stage, &["list", &store], "KEY");
    let _ = run(stage, &["get", &store, "--secret-id", &id], "why");
    let binding = json!({"secrets_store_secrets":
        [{"binding": "KEY", "store_id": store, "secret_name": "KEY"}]});
    stage.set_worker("keeper", CODE, &binding);
    stage.succeeds(&["deploy"], &["keeper.localhost"])?;
    stage.answers("keeper", "/", "one")?;
    let update = ["--value", "two", "--scopes", "workers"];
    run(
        stage,
        &[&["update", &store, "--secret-id", &id][..], &update].concat(),
        "Updated secret!",
    )?;
    stage.answers("keeper", "/", "two")?;
    let copy = ["--name", "COPY", "--scopes", "workers"];
    let copy = [&["duplicate", &store, "--secret-id", &id][..], &copy].concat();
    let _ = run(stage, &copy, "Duplicated secret!");
    run(stage, &["delete", &store, "--secret-id", &id], "Deleted secret!")?;
    stage.then("the copy is left alone", |stage| {
        let secrets = format!("/secrets_store/stores/{store}/secrets");
        let left = stage.get(&secrets)?;
        let all = left.as_array().context("secrets")?;
        ensure!(all.len() == 1 && all[0]["name"] == "COPY", "{left}");
        let id = all[0]["id"].as_str().context("a secret has an id")?;
        stage.deleted(&format!("{secrets}/{id}"))
    })?;
    let delete = ["secrets-store", "store", "delete", &store, "--remote"];
    stage.succeeds(&delete, &["Deleted store!"]).map(drop)
}
