//! `berth secret`, `versions`, `deployments` and `rollback`: a deployed Worker without wrangler.

use e2e::{Berth, Outcome, Platform, Project};
use serde_json::{Value, json};

/// A Worker that answers with its `env`.
fn small() -> Project {
    let project = Project::empty();
    let config = json!({"name": "small", "main": "index.js", "compatibility_date": "2026-08-01",
        "vars": {"V": "first"}});
    project.write("wrangler.json", &config.to_string());
    project.write("index.js", "export default { fetch: (request, env) => Response.json(env) };");
    project
}

#[track_caller]
fn says(outcome: Outcome) -> String {
    outcome.assert_succeeds();
    outcome.stdout
}

#[test]
fn f_secrets_are_put_listed_and_deleted_and_their_texts_are_never_shown() {
    let platform = Platform::start();
    let project = small();
    platform.client(&project, &["deploy"]).assert_succeeds();
    let answer = || platform.worker("small").get("/").json();
    let with = |args: &[&str], input: &str| Berth::new(&project, args).input(input).run();

    let outcome = with(&["secret", "put", "KEY"], "hush hush\n");
    outcome.assert_succeeds();
    assert!(!outcome.to_string().contains("hush"), "{outcome}");
    assert_eq!(answer(), json!({"V": "first", "KEY": "hush hush"}));
    let list = says(platform.client(&project, &["secret", "list"]));
    assert!(list.contains("KEY") && list.contains("secret_text"), "{list}");
    let wrong = with(&["secret", "bulk"], "{\"A\": hush}");
    wrong.assert_fails(2, &["line 1", "hint: "]);
    assert!(!wrong.stderr.contains("hush"), "{wrong}");
    with(&["secret", "bulk"], r#"{"A": "1", "B": "2", "KEY": null}"#).assert_succeeds();
    assert_eq!(answer(), json!({"V": "first", "A": "1", "B": "2"}));
    let outcome = platform.client(&project, &["secret", "delete", "A"]);
    outcome.assert_fails(2, &["wants to be confirmed"]);
    platform.client(&project, &["secret", "delete", "A", "--force"]).assert_succeeds();
    let json = says(platform.client(&project, &["secret", "list", "--json"]));
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json, json!([{"name": "B", "type": "secret_text"}]));
    let outcome = platform.client(&project, &["secret", "list", "--name", "other"]);
    outcome.assert_fails(1, &["[code: 10007]"]);
    platform.stop();
}

#[test]
fn versions_and_deployments_are_listed_and_an_earlier_version_comes_back() {
    let platform = Platform::start();
    let project = small();
    let answer = || platform.worker("small").get("/").json()["V"].clone();
    platform.client(&project, &["deploy", "--message", "it begins"]).assert_succeeds();
    platform.client(&project, &["rollback", "--force"]).assert_fails(1, &["no other version"]);
    platform.client(&project, &["deploy", "--var", "V:second", "--tag", "v2"]).assert_succeeds();
    assert_eq!(answer(), "second");
    let list = says(platform.client(&project, &["versions", "list"]));
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.contains("it begins") && list.contains("v2"), "{list}");

    platform.client(&project, &["rollback"]).assert_fails(2, &["wants to be confirmed"]);
    platform.client(&project, &["rollback", "--force", "-m", "it was better"]).assert_succeeds();
    assert_eq!(answer(), "first");
    let list = says(platform.client(&project, &["deployments", "list"]));
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.contains("it was better"), "{list}");
    let json = says(platform.client(&project, &["versions", "list", "--json"]));
    let versions: Value = serde_json::from_str(&json).expect("it is JSON");
    let newest = versions[0]["id"].as_str().expect("an id");
    platform.client(&project, &["rollback", newest, "-y"]).assert_succeeds();
    assert_eq!(answer(), "second");
    let nothing = "00000000-0000-4000-8000-000000000000";
    let outcome = platform.client(&project, &["rollback", nothing, "-y"]);
    outcome.assert_fails(1, &["[code: 100146]"]);

    let oldest = versions[1]["id"].as_str().expect("an id");
    let seen = says(platform.client(&project, &["versions", "view", newest]));
    assert!(
        seen.contains(newest) && seen.contains("v2") && seen.contains("V (plain_text)"),
        "{seen}"
    );
    let (much, little) = (format!("{newest}@90"), format!("{oldest}@10%"));
    let deploy = ["versions", "deploy", &much, oldest, "-m", "half of it"];
    platform.client(&project, &deploy).assert_fails(2, &["wants to be confirmed"]);
    platform.client(&project, &[&deploy[..], &["-y"]].concat()).assert_succeeds();
    let status = says(platform.client(&project, &["deployments", "status"]));
    assert!(
        status.contains("90%") && status.contains("10%") && status.contains("half of it"),
        "{status}"
    );
    let wrong = platform.client(&project, &["versions", "deploy", &little, "-y"]);
    wrong.assert_fails(2, &["not 100% together"]);
    platform.client(&project, &["versions", "deploy", oldest, "--yes"]).assert_succeeds();
    assert_eq!(answer(), "first");
    platform.stop();
}
