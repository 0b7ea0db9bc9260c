//! `berth init` and `berth doctor`.

use e2e::{Berth, Dev, Project, instance_id};

const TEMPLATES: [&str; 10] = [
    "cron",
    "durable-object",
    "env-and-secrets",
    "hello",
    "per-instance-env",
    "sessions",
    "stateless",
    "static-frontend",
    "status-hooks",
    "websocket",
];

#[test]
fn init_lists_every_example() {
    let listed = Berth::new(&Project::empty(), ["init", "--list"]).run();
    listed.assert_succeeds();
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), TEMPLATES);
}

#[test]
fn init_writes_a_project_that_runs() {
    let project = Project::empty();
    Berth::new(&project, ["init", "app", "--template", "hello"]).run().assert_succeeds();
    let dev = Dev::start_with(&project, &["app"]);
    assert!(!instance_id(&dev.get("/container/1")).is_empty());
    dev.stop();
}

#[test]
fn init_writes_every_file_of_every_example() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    for template in TEMPLATES {
        let project = Project::empty();
        Berth::new(&project, ["init", "app", "-t", template]).run().assert_succeeds();
        let listed = std::process::Command::new("git")
            .args(["ls-files", template])
            .current_dir(examples)
            .output()
            .expect("run git");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for file in listed.lines() {
            let written = file.replacen(template, "app", 1);
            assert!(project.path().join(&written).exists(), "{written} of {template} is missing");
        }
    }
}

#[test]
fn init_overwrites_nothing() {
    let project = Project::empty();
    project.write("app/precious", "data");
    let outcome = Berth::new(&project, ["init", "app", "--template", "hello"]).run();
    outcome.assert_fails(2, &["not empty", "hint:"]);
    assert_eq!(project.read("app/precious"), "data");
}

#[test]
fn init_names_the_templates_when_there_is_no_such() {
    let outcome = Berth::new(&Project::empty(), ["init", "app", "--template", "nope"]).run();
    outcome.assert_fails(2, &["nope", "hello", "websocket"]);
}

#[test]
fn doctor_finds_this_machine_fit() {
    let outcome = Berth::new(&Project::empty(), ["doctor"]).run();
    outcome.assert_succeeds();
    let json = Berth::new(&Project::empty(), ["doctor", "--json"]).run();
    json.assert_succeeds();
    serde_json::from_str::<serde_json::Value>(&json.stdout).expect("doctor --json prints JSON");
}

#[test]
fn doctor_says_what_is_missing_and_what_to_do() {
    let outcome = Berth::new(&Project::empty(), ["doctor"]).env("PATH", "/nonexistent").run();
    assert_eq!(outcome.code, 5, "{outcome}");
    let said = outcome.stdout + &outcome.stderr;
    assert!(said.contains("npm"), "{said}");
}
