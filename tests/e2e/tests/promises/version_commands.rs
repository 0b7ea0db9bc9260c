//! `berth versions upload` and `berth versions secret`: versions that do not serve until they are deployed.

use e2e::{Berth, Outcome, Platform, Project};
use serde_json::{Value, json};

/// A Worker that answers with its text and its `env`.
fn waiting() -> Project {
    let project = Project::empty();
    let config = json!({"name": "waiting", "main": "index.js", "compatibility_date": "2026-08-01",
        "vars": {"V": "v"}});
    project.write("wrangler.json", &config.to_string());
    say(&project, "first");
    project
}

/// Lets its code have another text.
fn say(project: &Project, text: &str) {
    let code = format!(
        "import {{ DurableObject }} from \"cloudflare:workers\";\n\
         export class C extends DurableObject {{}}\n\
         export default {{ fetch: (_, env) => Response.json([\"{text}\", env]) }};"
    );
    project.write("index.js", &code);
}

fn answer(platform: &Platform) -> Value {
    platform.worker("waiting").get("/").json()
}

/// The version that a command has made.
#[track_caller]
fn made(outcome: &Outcome) -> String {
    outcome.assert_succeeds();
    let id = outcome.stdout.lines().find_map(|line| line.strip_prefix("Worker Version ID: "));
    let id = id.unwrap_or_else(|| panic!("no version: {outcome}")).to_owned();
    assert!(outcome.stderr.contains(&format!("`berth versions deploy {id}`")), "{outcome}");
    id
}

#[track_caller]
fn deploy(platform: &Platform, project: &Project, version: &str) {
    platform.client(project, &["versions", "deploy", version, "--yes"]).assert_succeeds();
}

#[test]
fn f_a_version_is_uploaded_and_serves_once_it_is_deployed() {
    let platform = Platform::start();
    let project = waiting();
    let upload =
        |args: &[&str]| platform.client(&project, &[&["versions", "upload"], args].concat());
    upload(&[]).assert_fails(1, &["there is no Worker \"waiting\"", "hint: `berth deploy`"]);
    platform.client(&project, &["deploy"]).assert_succeeds();

    say(&project, "second");
    let outcome = upload(&["--message", "it waits", "--tag", "v2", "--var", "V:w", "--minify"]);
    let second = made(&outcome);
    assert!(outcome.stdout.contains("Worker Startup Time: "), "{outcome}");
    assert_eq!(answer(&platform), json!(["first", {"V": "v"}]));
    let list = platform.client(&project, &["versions", "list"]);
    assert!(list.stdout.contains("it waits") && list.stdout.contains("v2"), "{list}");
    deploy(&platform, &project, &second);
    assert_eq!(answer(&platform), json!(["second", {"V": "w"}]));

    project.configure(|config| {
        config["vars"] = json!({"W": "w"});
        config["env"] = json!({"staging": {}});
    });
    let third = made(&upload(&["--keep-vars", "--config", "wrangler.json"]));
    deploy(&platform, &project, &third);
    assert_eq!(answer(&platform), json!(["second", {"V": "w", "W": "w"}]));
    upload(&["--env", "staging"]).assert_fails(1, &["there is no Worker \"waiting-staging\""]);
    upload(&["--name", "other"]).assert_fails(1, &["there is no Worker \"other\""]);
    upload(&[".", "--config", "wrangler.json"]).assert_fails(2, &["cannot be used with"]);
    project.write("index.js", "throw new Error('no good');\nexport default {};");
    upload(&[]).assert_fails(4, &["upload a version of the Worker", "no good", "[code: 10021]"]);
    assert_eq!(answer(&platform), json!(["second", {"V": "w", "W": "w"}]));
    platform.stop();
}

#[test]
fn a_version_that_waits_brings_no_migration_and_leaves_containers_alone() {
    let platform = Platform::start();
    let project = waiting();
    platform.client(&project, &["deploy"]).assert_succeeds();
    project.configure(|config| {
        config["durable_objects"] = json!({"bindings": [{"name": "O", "class_name": "C"}]});
        config["migrations"] = json!([{"tag": "v1", "new_sqlite_classes": ["C"]}]);
    });
    let upload = || platform.client(&project, &["versions", "upload"]);
    upload().assert_fails(1, &["the migration \"v1\"", "made none", "hint: `berth deploy`"]);
    platform.client(&project, &["deploy"]).assert_succeeds();
    made(&upload());

    project.configure(|config| {
        config["containers"] = json!([{"class_name": "C", "image": "docker.io/library/alpine:3"}]);
    });
    let outcome = Berth::new(&project, ["versions", "upload", "--dry-run"]).run();
    outcome.assert_succeeds();
    for text in ["Total upload: ", "env.O", "containers stay as they are", "nothing is uploaded"] {
        assert!(outcome.stderr.contains(text), "{outcome}");
    }
    project.configure(|config| config["berth"] = json!({"atomic": true}));
    upload().assert_fails(3, &["`berth.atomic`", "hint: `berth deploy`"]);
    platform.stop();
}

#[test]
fn secrets_of_a_file_come_with_a_version_and_their_texts_are_never_shown() {
    let platform = Platform::start();
    let project = waiting();
    platform.client(&project, &["deploy"]).assert_succeeds();
    project.configure(|config| config["secrets"] = json!({"required": ["KEY"]}));
    let missing = platform.client(&project, &["versions", "upload"]);
    missing.assert_fails(1, &["[code: 10057]", "`--secrets-file`"]);

    project.write("secrets.txt", "# of production\nKEY='hush hush' # both\n");
    let upload = ["versions", "upload", "--secrets-file", "secrets.txt"];
    let outcome = platform.client(&project, &upload);
    let version = made(&outcome);
    assert!(outcome.stderr.contains("env.KEY") && !outcome.to_string().contains("hush"));
    assert_eq!(answer(&platform), json!(["first", {"V": "v"}]));
    deploy(&platform, &project, &version);
    assert_eq!(answer(&platform), json!(["first", {"V": "v", "KEY": "hush hush"}]));
    deploy(&platform, &project, &made(&platform.client(&project, &upload[..2])));
    assert_eq!(answer(&platform), json!(["first", {"V": "v", "KEY": "hush hush"}]), "it stays");

    project.write("secrets.txt", r#"{"KEY": "loud", "V": "takes the variable's place"}"#);
    platform.client(&project, &["deploy", "--secrets-file", "secrets.txt"]).assert_succeeds();
    let expected = json!({"V": "takes the variable's place", "KEY": "loud"});
    assert_eq!(answer(&platform), json!(["first", expected]));
    project.write("secrets.txt", r#"{"KEY": null}"#);
    platform.client(&project, &upload).assert_fails(2, &["KEY has no text", "hint: "]);
    project.write("secrets.txt", "hush");
    let wrong = platform.client(&project, &upload);
    wrong.assert_fails(2, &["no secrets", "hint: "]);
    assert!(!wrong.to_string().contains("hush"), "{wrong}");
    platform.stop();
}

#[test]
fn f_secrets_of_a_version_reach_the_worker_once_it_is_deployed() {
    let platform = Platform::start();
    let project = waiting();
    platform.client(&project, &["deploy"]).assert_succeeds();
    let secret = |args: &[&str], input: &str| {
        Berth::new(&project, [&["versions", "secret"], args].concat()).input(input).run()
    };
    let outcome = secret(&["put", "KEY", "--message", "a key", "--tag", "keyed"], "hush hush\n");
    let version = made(&outcome);
    assert!(!outcome.to_string().contains("hush"), "{outcome}");
    assert_eq!(answer(&platform), json!(["first", {"V": "v"}]));
    let list = platform.client(&project, &["versions", "list"]);
    assert!(list.stdout.contains("a key") && list.stdout.contains("keyed"), "{list}");
    let outcome = Berth::new(&project, ["secret", "put", "A"]).input("1").run();
    outcome.assert_fails(1, &["isn't deployed", "hint: `berth versions secret put`"]);
    deploy(&platform, &project, &version);
    assert_eq!(answer(&platform), json!(["first", {"V": "v", "KEY": "hush hush"}]));

    made(&secret(&["bulk"], "A=1\nB=2\n"));
    project.write("secrets.json", r#"{"KEY": null, "C": "3"}"#);
    made(&secret(&["bulk", "secrets.json"], ""));
    let json = secret(&["list", "--json"], "").stdout;
    let mut listed: Vec<Value> = serde_json::from_str(&json).expect("it is JSON");
    listed.sort_by_key(|secret| secret["name"].to_string());
    let expected = ["A", "B", "C"].map(|name| json!({"name": name, "type": "secret_text"}));
    assert_eq!(listed, expected);
    secret(&["delete", "A"], "").assert_fails(2, &["wants to be confirmed"]);
    secret(&["delete", "KEY", "--force"], "").assert_fails(1, &["no secret KEY", "hint: "]);
    let version = made(&secret(&["delete", "A", "-y"], ""));
    assert_eq!(answer(&platform), json!(["first", {"V": "v", "KEY": "hush hush"}]));
    deploy(&platform, &project, &version);
    assert_eq!(answer(&platform), json!(["first", {"V": "v", "B": "2", "C": "3"}]));
    platform.stop();
}
