//! `berth containers list`, `info` and `delete`: a platform's container applications without wrangler.

use e2e::{NEWEST, Platform, Project};
use serde_json::Value;

#[test]
fn container_applications_are_listed_shown_and_deleted_as_by_wrangler() {
    let platform = Platform::start();
    let project = Project::example("hello");
    let berth = |args: &[&str]| platform.client(&project, &[&["containers"][..], args].concat());
    let list = berth(&["list"]);
    list.assert_succeeds();
    assert!(list.stdout.is_empty() && list.stderr.contains("no container applications"), "{list}");

    platform.client(&project, &["deploy"]).assert_succeeds();
    assert_eq!(platform.worker("hello-containers").get("/container/1").status, 200);
    let list = berth(&["list"]).stdout;
    let lines: Vec<&str> = list.lines().collect();
    let [header, line] = lines[..] else { panic!("{list}") };
    for column in ["ID", "NAME", "STATE", "LIVE INSTANCES", "LAST MODIFIED"] {
        assert!(header.contains(column), "{list}");
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, name, state, live, _] = words[..] else { panic!("{list}") };
    assert_eq!((state, live), ("active", "1"), "{list}");
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("it is JSON");
    let ours = json(&berth(&["list", "--json"]).stdout);
    let wranglers = platform.wrangler(NEWEST, &project, &["containers", "list", "--json"]).says();
    assert_eq!(ours, json(&wranglers[wranglers.find('[').expect("a list")..]));

    let info = berth(&["info", name]);
    info.assert_succeeds();
    assert!(info.stdout.contains(id) && info.stdout.contains("active"), "{info}");
    let all = json(&berth(&["info", id, "--json"]).stdout);
    assert_eq!((&all["id"], &all["name"]), (&id.into(), &name.into()));

    berth(&["delete", id]).assert_fails(2, &["wants to be confirmed", "--force"]);
    let footprint = platform.footprint();
    berth(&["delete", name, "--force"]).assert_succeeds();
    assert!(berth(&["list"]).stdout.is_empty());
    for command in [&["info", id][..], &["delete", id, "--force"]] {
        berth(command).assert_fails(1, &["there is no container application", "hint: "]);
    }
    platform.stop();
    footprint.assert_gone();
}
