//! Two versions of a Worker serve at once, each its part of the requests.

use e2e::{Client, Deployment, NEWEST, Project};
use serde_json::{Value, json};

const SCRIPT: &str = "/workers/scripts/divided";

fn code(version: &str) -> String {
    format!("export default {{ fetch: () => new Response(\"{version}\") }};\n")
}

fn deployed(name: &str, more: Value) -> Deployment {
    let project = Project::empty().with_own_home();
    project.write("index.js", &code("one"));
    let mut config = json!({"name": name, "main": "index.js", "compatibility_date": "2026-05-03"});
    for (name, value) in more.as_object().expect("an object") {
        config[name] = value.clone();
    }
    project.write("wrangler.json", &config.to_string());
    let fixture = Deployment::new(NEWEST, project);
    fixture.deploy();
    fixture
}

/// The ids of all versions, the newest first.
fn versions(fixture: &Deployment) -> Vec<String> {
    let all = fixture.get(&format!("{SCRIPT}/versions"))["items"].clone();
    let id = |version: &Value| version["id"].as_str().expect("an id").to_owned();
    all.as_array().expect("a list").iter().map(id).collect()
}

fn upload(fixture: &Deployment, version: &str) {
    fixture.project.write("index.js", &code(version));
    let _ = fixture.says(&["versions", "upload"]);
}

fn deploy(fixture: &Deployment, shares: &[(&str, u32)]) -> String {
    let shares: Vec<_> = shares.iter().map(|(id, share)| format!("{id}@{share}%")).collect();
    let shares = shares.iter().map(String::as_str);
    fixture
        .says(&["versions", "deploy"].into_iter().chain(shares).chain(["-y"]).collect::<Vec<_>>())
}

fn ask(worker: &Client, header: &str, value: &str) -> String {
    worker.send("GET", "/", &[(header, value)], "").text()
}

/// What a hundred requests without and with different keys are answered.
fn answers(worker: &Client) -> [Vec<String>; 2] {
    let key = |number: u32| ask(worker, "cloudflare-workers-version-key", &number.to_string());
    [(0..100).map(|_| worker.get("/").text()).collect(), (0..100).map(key).collect()]
}

fn count(answers: &[String], version: &str) -> usize {
    answers.iter().filter(|answer| *answer == version).count()
}

#[test]
fn requests_are_divided_by_percentage_key_and_override() {
    let mut fixture = deployed("divided", json!({}));
    let worker = fixture.platform.worker("divided");
    upload(&fixture, "two");
    let [two, one] = <[String; 2]>::try_from(versions(&fixture)).expect("two versions");
    assert_eq!(worker.get("/").text(), "one", "an upload alone serves nothing");
    deploy(&fixture, &[(&two, 50), (&one, 50)]);
    let status = fixture.says(&["deployments", "status"]);
    assert!(status.contains(&one) && status.contains(&two), "{status}");
    assert_eq!(status.matches("(50%)").count(), 2, "{status}");
    let [random, keyed] = answers(&worker);
    for answers in [&random, &keyed] {
        let (one, two) = (count(answers, "one"), count(answers, "two"));
        assert!(one > 20 && two > 20 && one + two == 100, "{one} and {two} of 100");
    }
    let [_, again] = answers(&worker);
    assert_eq!(again, keyed, "who has a key stays with a version");
    for (version, says) in [(&one, "one"), (&two, "two")] {
        let wanted = format!("divided=\"{version}\"");
        for _ in 0..5 {
            assert_eq!(ask(&worker, "cloudflare-workers-version-overrides", &wanted), says);
        }
    }

    fixture.platform = fixture.platform.killed_and_started_again();
    let worker = fixture.platform.worker("divided");
    let [_, after] = answers(&worker);
    assert_eq!(after, keyed, "also after a crash");
    deploy(&fixture, &[(&one, 20), (&two, 80)]);
    let [_, more] = answers(&worker);
    let back = more.iter().zip(&keyed).filter(|(more, before)| *more == "one" && *before == "two");
    assert_eq!(back.count(), 0, "nobody goes back while the new version grows");
    deploy(&fixture, &[(&two, 100)]);
    let [random, keyed] = answers(&worker);
    assert_eq!((count(&random, "two"), count(&keyed, "two")), (100, 100));
    let footprint = fixture.platform.footprint();
    fixture.platform.stop();
    footprint.assert_gone();
}

#[test]
fn a_worker_with_objects_or_with_others_that_bind_it_is_not_divided_and_says_why() {
    let refused = |fixture: &Deployment, name: &str, text: &str| {
        let path = format!("/workers/scripts/{name}/versions");
        let all = fixture.get(&path)["items"].clone();
        let share = |n: usize| json!({"version_id": all[n]["id"], "percentage": 50});
        let body = json!({"strategy": "percentage", "versions": [share(0), share(1)]});
        let path = format!("/accounts/local/workers/scripts/{name}/deployments");
        let token = fixture.platform.token();
        let reply = fixture.platform.ask(token, "POST", &path, &body.to_string());
        assert_eq!(reply.status, 400, "{reply}");
        assert!(reply.text().contains(text), "{reply}");
    };
    let fixture = deployed("divided", json!({}));
    fixture.project.write("index.js", &code("two"));
    fixture.deploy();
    let caller = Project::empty().with_own_home();
    caller.write("index.js", &code("caller"));
    let config = json!({"name": "caller", "main": "index.js", "compatibility_date": "2026-05-03",
        "services": [{"binding": "TARGET", "service": "divided"}]});
    caller.write("wrangler.json", &config.to_string());
    fixture.platform.wrangler(NEWEST, &caller, &["deploy"]).run().assert_succeeds();
    refused(&fixture, "divided", "binds it, and reaches one version");

    let object = "import { DurableObject } from \"cloudflare:workers\";\n\
                  export class Box extends DurableObject {}\n";
    fixture.project.configure(|config| {
        config["name"] = json!("objects");
        config["durable_objects"] = json!({"bindings": [{"name": "BOX", "class_name": "Box"}]});
        config["migrations"] = json!([{"tag": "v1", "new_sqlite_classes": ["Box"]}]);
    });
    for version in ["one", "two"] {
        fixture.project.write("index.js", &format!("{object}{}", code(version)));
        fixture.deploy();
    }
    refused(&fixture, "objects", "each object must run in exactly one version");
    fixture.platform.stop();
}
