//! `berth images`: what a person and a script see of the images on a machine.

use e2e::{Berth, Dev, Outcome, Project};
use serde_json::Value;

fn project() -> Project {
    Project::probe("").with_own_home()
}

fn images(project: &Project, args: &[&str]) -> Outcome {
    Berth::new(project, [&["images"], args].concat()).run()
}

#[test]
fn images_are_pulled_listed_inspected_tagged_and_removed() {
    let project = project();
    let pulled = images(&project, &["pull", "busybox"]);
    pulled.assert_succeeds();
    assert_eq!(pulled.stdout, "docker.io/library/busybox:latest\n");
    images(&project, &["tag", "busybox", "localhost:5000/own/box:1"]).assert_succeeds();

    let table = images(&project, &["ls"]);
    table.assert_succeeds();
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("REPOSITORY"), "{table}");
    assert_eq!(lines.len(), 3, "{table}");
    for name in ["busybox ", "localhost:5000/own/box "] {
        assert!(lines.iter().any(|line| line.starts_with(name)), "{table}");
    }
    let listed = images(&project, &["ls", "--json"]).json();
    let id = listed[0]["id"].as_str().expect("an id");
    let short = &id["sha256:".len()..][..12];
    assert_eq!(images(&project, &["ls", "-q"]).stdout, format!("{short}\n"));
    let by_filter = images(&project, &["ls", "--filter", "reference=*/own/*"]);
    assert_eq!(by_filter.stdout.lines().count(), 2, "{by_filter}");
    images(&project, &["ls", "--filter", "color=red"])
        .assert_fails(2, &["no such filter", "hint:"]);

    let inspected = images(&project, &["inspect", &short[..8]]).json();
    assert_eq!(inspected[0]["Id"], id);
    assert_eq!(inspected[0]["RepoTags"].as_array().map(Vec::len), Some(2));
    let history = images(&project, &["history", short]);
    history.assert_succeeds();
    assert!(history.stdout.starts_with("IMAGE"), "{history}");

    images(&project, &["rm", short]).assert_fails(1, &["several names", "--force"]);
    let removed = images(&project, &["rm", "busybox"]);
    assert_eq!(removed.stdout, "Untagged: busybox:latest\n", "{removed}");
    let removed = images(&project, &["rm", "localhost:5000/own/box:1"]);
    assert!(removed.stdout.contains(&format!("Deleted: {id}")), "{removed}");
    images(&project, &["rm", "busybox"]).assert_fails(1, &["no such image: busybox", "hint:"]);
    assert_eq!(images(&project, &["ls", "--json"]).json(), serde_json::json!([]));
    let usage = images(&project, &["df", "--json"]).json();
    assert_eq!((&usage[0]["total"], &usage[0]["size"]), (&0.into(), &0.into()), "{usage}");
}

#[test]
fn an_archive_goes_to_another_machine_and_comes_in_as_it_was() {
    let (from, to) = (project(), project());
    images(&from, &["pull", "busybox"]).assert_succeeds();
    let archive = from.path().join("box.tar");
    let archive = archive.to_str().expect("a text");
    images(&from, &["export", "busybox", "--output", archive]).assert_succeeds();
    let imported = images(&to, &["import", archive]);
    imported.assert_succeeds();
    assert_eq!(imported.stdout, "Loaded image: busybox:latest\n");
    let digest = |project| images(project, &["ls", "--json"]).json()[0]["digest"].clone();
    assert_eq!(digest(&from), digest(&to));
    images(&to, &["import", "/proc/self/exe"]).assert_fails(1, &["read the archive", "hint:"]);
    images(&to, &["import", "no-such-file"]).assert_fails(1, &["no-such-file"]);
    assert!(!from.path().join(format!("{archive}.part")).exists());
}

#[test]
fn a_prune_asks_first_and_spares_what_a_running_berth_needs() {
    let project = project();
    let dev = Dev::start(&project);
    images(&project, &["prune", "-a"]).assert_fails(2, &["confirmed", "--force"]);
    images(&project, &["pull", "busybox"]).assert_succeeds();
    let before = images(&project, &["ls", "--json"]).json().as_array().map(Vec::len);
    // No instance runs yet: it is the session that needs its image.
    let pruned = images(&project, &["prune", "-a", "--force"]);
    pruned.assert_succeeds();
    assert!(pruned.stdout.contains("Untagged: busybox:latest"), "{pruned}");
    assert!(pruned.stdout.contains("Total reclaimed space: "), "{pruned}");
    assert!(before > images(&project, &["ls", "--json"]).json().as_array().map(Vec::len));
    assert_eq!(dev.get("/one/who").status, 200);
    let own = images(&project, &["ls", "--json"]).json();
    let name = own.as_array().into_iter().flatten().find_map(|image| {
        let names = image["names"].as_array()?;
        names.iter().filter_map(Value::as_str).find(|name| name.contains("berth.local"))
    });
    let name = name.expect("the project's image has a name").to_owned();
    images(&project, &["rm", &name]).assert_fails(1, &["an instance runs on it"]);
    dev.stop();
    images(&project, &["rm", &name]).assert_succeeds();
    // The steps of the build are kept until somebody wants their space.
    let usage = images(&project, &["df", "--json"]).json();
    assert!(usage[3]["reclaimable"].as_u64() > Some(0), "{usage}");
    images(&project, &["prune", "-a", "--build-cache", "--force"]).assert_succeeds();
    let usage = images(&project, &["df", "--json"]).json();
    assert_eq!(usage[3]["total"], 0, "{usage}");
}
