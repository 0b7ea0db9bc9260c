//! Long lists come in parts, by wrangler's `--per-page` and ours: each is in one of them once.

use std::collections::BTreeSet;

use e2e::{Client, NEWEST, Platform, Project};
use serde_json::Value;

const OBJECTS: usize = 3;
const DASHBOARD: &str = "/accounts/local/containers/dash/applications";

/// All parts, by one program.
#[track_caller]
fn walk(says: impl Fn(&[&str]) -> String, id: &str) -> Vec<Value> {
    let (mut all, mut token) = (Vec::new(), None::<String>);
    loop {
        let mut args = vec!["containers", "instances", id, "--json", "--per-page", "2"];
        if let Some(token) = &token {
            args.extend(["--page-token", token]);
        }
        let text = says(&args);
        let mut part: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        let Value::Array(rows) = part["instances"].take() else { panic!("{text}") };
        assert!((1..=2).contains(&rows.len()), "{text}");
        all.extend(rows);
        assert!(all.len() <= OBJECTS, "{all:?}");
        let Some(next) = part["result_info"]["next_page_token"].as_str() else { return all };
        token = Some(next.to_owned());
    }
}

fn ids(rows: &[Value]) -> BTreeSet<&str> {
    rows.iter().filter_map(|row| row["id"].as_str()).collect()
}

#[test]
fn instances_and_applications_come_in_parts_and_each_once() {
    let (platform, project) = (Platform::start(), Project::example("hello").with_own_home());
    project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
    let berth = |args: &[&str]| {
        let outcome = platform.client(&project, args);
        outcome.assert_succeeds();
        outcome.stdout
    };
    berth(&["deploy"]);
    let worker: Client = platform.worker("hello-containers");
    for object in 0..OBJECTS {
        assert_eq!(worker.get(&format!("/container/{object}")).status, 200);
    }
    let apps: Value =
        serde_json::from_str(&berth(&["containers", "list", "--json"])).expect("JSON");
    let id = apps[0]["id"].as_str().expect("there is one").to_owned();

    let ours = walk(berth, &id);
    assert_eq!(ids(&ours).len(), OBJECTS, "{ours:?}");
    let wranglers = walk(|args| platform.wrangler(NEWEST, &project, args).says(), &id);
    assert_eq!(ids(&wranglers), ids(&ours));
    let table = berth(&["containers", "instances", &id, "--per-page", "1"]);
    assert_eq!(table.lines().count(), 1 + OBJECTS, "one table where nobody is asked: {table}");

    let dashboard = |query: &str| {
        let path = format!("{DASHBOARD}{query}");
        platform.ask(platform.token(), "GET", &path, "")
    };
    for (query, what) in [("per_page=0", "per_page"), ("page_token=%20", "page_token")] {
        let refused = dashboard(&format!("/{id}/instances?{query}"));
        assert_eq!(refused.status, 400, "{refused}");
        assert!(refused.text().contains(what), "{refused}");
    }

    project.configure(|config| {
        config["name"] = "second".into();
        config["containers"][0]["name"] = "second".into();
    });
    berth(&["deploy"]);
    let first = dashboard("?per_page=1").json();
    let token = first["result_info"]["next_page_token"].as_str().expect("there is another part");
    let last = dashboard(&format!("?per_page=1&page_token={token}")).json();
    assert_eq!(
        (&first["result"][0]["id"], &last["result_info"]["next_page_token"]),
        (&id.into(), &Value::Null)
    );
    assert!(
        last["result"][0]["name"].as_str().is_some_and(|name| name.starts_with("second")),
        "{last}"
    );
    platform.stop();
}
