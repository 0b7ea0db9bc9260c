//! Secrets of versions that are not deployed yet, and many at once, with either wrangler.

use e2e::{Deployment, NEWEST, ON_NODE_20, Project, Wrangler};
use serde_json::json;

/// Tells its secrets, and a variable and a text that come along.
const WORKER: &str = r#"
import text from "./note.txt";
export default {
  fetch: (_, env) => Response.json([env.A ?? null, env.B ?? null, env.VARIABLE, text.trim()]),
};
"#;

fn deployed(wrangler: Wrangler) -> Deployment {
    let project = Project::empty().with_own_home();
    project.write("index.js", WORKER);
    project.write("note.txt", "a note");
    let config = json!({"name": "secretive", "main": "index.js", "compatibility_date": "2026-05-03",
        "vars": {"VARIABLE": "v"}});
    project.write("wrangler.json", &config.to_string());
    let fixture = Deployment::new(wrangler, project);
    fixture.deploy();
    fixture
}

#[track_caller]
fn tells(fixture: &Deployment, a: Option<&str>, b: Option<&str>) {
    let told = fixture.platform.worker("secretive").get("/").json();
    assert_eq!(told, json!([a, b, "v", "a note"]));
}

fn deploy_newest(fixture: &Deployment) {
    let versions = fixture.get("/workers/scripts/secretive/versions");
    let newest = versions["items"][0]["id"].as_str().expect("an id").to_owned();
    let _ = fixture.says(&["versions", "deploy", &format!("{newest}@100%"), "-y"]);
}

fn versions_have_secrets(wrangler: Wrangler) {
    let fixture = deployed(wrangler);
    let put = |name: &str, text: &str| {
        fixture.wrangler(&["versions", "secret", "put", name]).run_with(text).assert_succeeds();
    };
    put("A", "one");
    tells(&fixture, None, None);
    deploy_newest(&fixture);
    tells(&fixture, Some("one"), None);

    fixture.project.write("secrets.json", r#"{"A": "two", "B": "three"}"#);
    let _ = fixture.says(&["versions", "secret", "bulk", "secrets.json"]);
    tells(&fixture, Some("one"), None);
    let refused = fixture.wrangler(&["secret", "put", "A"]).run_with("four");
    assert_ne!(refused.code, 0, "the newest version is not deployed: {refused}");
    deploy_newest(&fixture);
    tells(&fixture, Some("two"), Some("three"));

    fixture.wrangler(&["versions", "secret", "delete", "A"]).run_with("y\n").assert_succeeds();
    deploy_newest(&fixture);
    tells(&fixture, None, Some("three"));

    fixture.project.write("secrets.json", r#"{"A": "five"}"#);
    let _ = fixture.says(&["secret", "bulk", "secrets.json"]);
    tells(&fixture, Some("five"), Some("three"));
    fixture.platform.stop();
}

#[test]
fn versions_have_secrets_with_the_newest_wrangler() {
    versions_have_secrets(NEWEST);
}

#[test]
fn versions_have_secrets_with_the_last_wrangler_for_node_20() {
    versions_have_secrets(ON_NODE_20);
}
