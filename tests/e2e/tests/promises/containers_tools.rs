//! Tools for instances of a platform: files in and out, what runs in them and what they use, and container
//! applications as the configuration wants them.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use e2e::{Berth, Hello as Fixture, PATIENCE, until};
use serde_json::{Value, json};

const NAME: &str = Fixture::NAME;

#[test]
fn files_go_into_instances_and_out_of_them_as_docker_copies_them() {
    let fixture = Fixture::deployed();
    let instance = fixture.instance();
    directories_go_in_with_links_and_permissions(&fixture, &instance);
    directories_come_out_with_links_and_permissions(&fixture, &instance);
    files_get_the_name_that_they_are_given(&fixture, &instance);
    archives_go_through_standard_input_and_output(&fixture, &instance);
    what_cannot_be_copied_is_said_and_nothing_is_made(&fixture, &instance);
    files_are_for_those_alone_who_may_change_containers(&fixture, &instance);
    fixture.platform.stop();
}

fn directories_go_in_with_links_and_permissions(fixture: &Fixture, instance: &str) {
    let project = &fixture.project;
    project.write("tree/deep/file", "from here\n");
    let file = project.path().join("tree/deep/file");
    fs_err::set_permissions(&file, Permissions::from_mode(0o640)).expect("set its mode");
    symlink("deep/file", project.path().join("tree/link")).expect("make a link");
    let copied = fixture.berth(&["cp", "tree", &format!("{instance}:/srv-new")]);
    copied.assert_succeeds();
    assert!(copied.stdout.is_empty() && copied.stderr.contains("Copied tree"), "{copied}");
    let seen = fixture.shell(instance, "cat /srv-new/link; stat -c '%a %u %g' /srv-new/deep/file");
    assert_eq!(seen, "from here\n640 0 0\n");
    // Into a directory that is there, under its own name; and what it has, beside what is there.
    fixture.says(&["cp", "tree", &format!("{instance}:/srv-new")]);
    fixture.says(&["cp", "tree/.", &format!("{instance}:/srv-new/deep")]);
    let seen = fixture.shell(instance, "cd /srv-new && cat tree/link deep/link deep/file");
    assert_eq!(seen, "from here\n".repeat(3));
}

fn directories_come_out_with_links_and_permissions(fixture: &Fixture, instance: &str) {
    let script = "mkdir -p /out/deep && cd /out && echo inside >deep/file && chmod 750 deep && \
                  chmod 600 deep/file && ln -s deep/file link && ln -s /out /to-out";
    fixture.shell(instance, script);
    fixture.says(&["cp", &format!("{instance}:/out"), "copy"]);
    fixture.says(&["cp", &format!("{instance}:/out"), "copy"]);
    fixture.says(&["cp", "-L", &format!("{instance}:/to-out"), "copy"]);
    let path = |below: &str| fixture.project.path().join("copy").join(below);
    for below in ["link", "out/link", "to-out/link"] {
        assert_eq!(fs_err::read_to_string(path(below)).expect("it is there"), "inside\n");
    }
    let mode = |below: &str| {
        let metadata = fs_err::metadata(path(below)).expect("it is there");
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!((mode("deep"), mode("deep/file")), (0o750, 0o600));
    let link = fs_err::read_link(path("link")).expect("it is a link");
    assert_eq!(link.to_str(), Some("deep/file"));
}

fn files_get_the_name_that_they_are_given(fixture: &Fixture, instance: &str) {
    fixture.project.write("one", "one\n");
    fixture.says(&["cp", "one", &format!("{instance}:/out/other")]);
    fixture.says(&["cp", "one", &format!("{instance}:/to-out/")]);
    assert_eq!(fixture.shell(instance, "cat /out/other /out/one"), "one\none\n");
    fixture.says(&["cp", &format!("{instance}:out/other"), "back"]);
    fixture.says(&["cp", &format!("{instance}:/out/deep/file"), "back"]);
    assert_eq!(fixture.project.read("back"), "inside\n", "what was there gave way");
    fixture.says(&["cp", &format!("{instance}:/out/link"), "copy/deep"]);
    let link = fs_err::read_link(fixture.project.path().join("copy/deep/link"));
    assert_eq!(link.expect("a link stays one").to_str(), Some("deep/file"));
}

fn archives_go_through_standard_input_and_output(fixture: &Fixture, instance: &str) {
    let archive = fixture.says(&["cp", &format!("{instance}:/out/deep"), "-"]);
    fixture.shell(instance, "mkdir /unpacked");
    let to = format!("{instance}:/unpacked");
    let unpacked = Berth::new(&fixture.project, ["containers", "cp", "-", &to]);
    unpacked.input(&archive).run().assert_succeeds();
    let seen = fixture.shell(instance, "cat /unpacked/deep/file; stat -c %a /unpacked/deep");
    assert_eq!(seen, "inside\n750\n");
    let no_archive = Berth::new(&fixture.project, ["containers", "cp", "-", &to]);
    let no_archive = no_archive.input("this is no archive").run();
    no_archive.assert_fails(1, &["failed to copy into the instance"]);
}

fn what_cannot_be_copied_is_said_and_nothing_is_made(fixture: &Fixture, instance: &str) {
    let inside = |path: &str| format!("{instance}:{path}");
    let fails = |from: &str, to: &str, texts: &[&str]| {
        fixture.berth(&["cp", from, to]).assert_fails(1, texts);
    };
    fails(&inside("/nothing"), "x", &["there is nothing at /nothing in the instance", "hint: "]);
    fails("nothing", &inside("/"), &["nothing", "No such file"]);
    fails("one", &inside("/no/such/file"), &["the directory is not there that it is to be in"]);
    fails("one", &inside("/new/"), &["a file is to go into a directory that is not there"]);
    fails("tree", &inside("/out/one"), &["a directory cannot take the place of a file"]);
    fails(&inside("/out"), "one", &["a directory cannot take the place of a file"]);
    fails(&inside("/out/one"), "no/such/file", &["the directory is not there"]);
    fails("one", &inside("/proc/x"), &["mounted in the container"]);
    fails("one", "nobody:/x", &["there is no instance nobody", "hint: "]);
    for (from, to) in [("one", "two"), ("-", "-"), (&*inside("/a"), &*inside("/b"))] {
        fixture.berth(&["cp", from, to]).assert_fails(2, &["hint: "]);
    }
    assert!(!fixture.project.path().join("x").exists());
    assert_eq!(fixture.shell(instance, "test -e /new || echo none"), "none\n");
}

fn files_are_for_those_alone_who_may_change_containers(fixture: &Fixture, instance: &str) {
    let created = fixture.platform.berth(&["token", "create", "looks", "--scope", "read"]);
    created.assert_succeeds();
    let from = format!("{instance}:/out/one");
    let refused = Berth::new(&fixture.project, ["containers", "cp", &from, "-"])
        .env("CLOUDFLARE_API_TOKEN", created.stdout.trim())
        .run();
    refused.assert_fails(1, &["does not allow containers:write"]);
    let log = "/accounts/local/logs/audit?limit=1000";
    let log = fixture.platform.ask(fixture.platform.token(), "GET", log, "").json();
    let of_archives =
        log["result"].as_array().expect("a list").iter().filter(|entry| {
            entry["raw"]["uri"].as_str().is_some_and(|uri| uri.ends_with("/archive"))
        });
    let methods: Vec<_> = of_archives.map(|entry| entry["raw"]["method"].clone()).collect();
    assert!(!methods.is_empty() && methods.iter().all(|method| *method == json!("PUT")), "{log}");
}

#[test]
fn applications_become_what_the_configuration_says_without_its_code() {
    let fixture = Fixture::start();
    let early = fixture.berth(&["apply", "--yes"]);
    early.assert_fails(1, &["no Durable Object class", "hint: ", "`berth deploy`"]);
    fixture.deploy();
    let versions = || {
        let list = fixture.platform.client(&fixture.project, &["versions", "list", "--json"]);
        list.assert_succeeds();
        list.stdout
    };
    let deployed = versions();
    let settled = fixture.berth(&["apply"]);
    settled.assert_succeeds();
    assert!(settled.stderr.contains("as the configuration wants them"), "{settled}");
    limits_are_shown_and_changed_after_a_yes_alone(&fixture);
    images_are_built_and_rolled_out(&fixture);
    assert_eq!(versions(), deployed, "the code is as it was");
    fixture.project.configure(|config| config["berth"] = json!({"atomic": true}));
    fixture.berth(&["apply", "--yes"]).assert_fails(3, &["berth.atomic", "`berth deploy`"]);
    fixture.platform.stop();
}

fn limits_are_shown_and_changed_after_a_yes_alone(fixture: &Fixture) {
    fixture.project.configure(|config| config["containers"][0]["max_instances"] = json!(7));
    let wanted = || fixture.json(&["info", NAME, "--json"])["max_instances"].clone();
    let before = wanted();
    let dry = fixture.json(&["apply", "--dry-run", "--json"]);
    let change = json!({"field": "max_instances", "before": before, "after": 7});
    assert_eq!(dry["applications"][0]["changes"], json!([change]), "{dry}");
    assert_eq!((&dry["applied"], &dry["builds_images"]), (&json!(false), &json!(true)));
    let shown = fixture.says(&["apply", "--dry-run"]);
    assert!(shown.contains("max_instances: ") && shown.contains(" → 7"), "{shown}");
    fixture.berth(&["apply"]).assert_fails(2, &["wants to be confirmed", "`--yes`"]);
    assert_eq!(wanted(), before);
    let applied = fixture.json(&["apply", "--yes", "--json"]);
    assert_eq!(applied["applied"], json!(true), "{applied}");
    assert_eq!(wanted(), json!(7));
    is_rolled_out(fixture);
}

fn images_are_built_and_rolled_out(fixture: &Fixture) {
    let image = || fixture.json(&["info", NAME, "--json"])["image"].clone();
    let before = image();
    fixture.project.replace("Dockerfile", "EXPOSE 8080", "EXPOSE 8080\nLABEL next=1");
    let shown = fixture.says(&["apply", "--yes"]);
    assert!(shown.contains("configuration.image: ") && shown.contains("rolled out"), "{shown}");
    is_rolled_out(fixture);
    assert_ne!(image(), before);
}

fn is_rolled_out(fixture: &Fixture) {
    until("the rollout is over", || {
        let status = fixture.json(&["rollouts", "status", NAME, "--json"]);
        (status["status"] == "completed").then_some(())
    });
}

#[test]
fn what_runs_in_instances_and_what_they_use_is_seen() {
    let fixture = Fixture::deployed();
    let none = fixture.berth(&["top"]);
    none.assert_succeeds();
    assert!(none.stdout.is_empty() && none.stderr.contains("There are no instances"), "{none}");
    assert_eq!(fixture.json(&["top", "--json"]), json!([]));
    let instance = fixture.instance();
    let script = "echo it is busy; while :; do :; done";
    let exec = ["containers", "exec", &instance, "--", "sh", "-c", script];
    let busy = fixture.platform.watch(&fixture.project, &exec);
    let _ = busy.wait_for_line("it is busy", PATIENCE);
    processes_are_shown_as_the_instance_sees_them(&fixture, &instance);
    use_is_shown_beside_the_limits(&fixture, &instance);
    fixture.berth(&["top", "nobody"]).assert_fails(1, &["there is no instance nobody", "hint: "]);
    // Its own process heeds no Ctrl-C where whoever runs the tests has it ignored.
    drop(busy);
    fixture.platform.stop();
}

fn processes_are_shown_as_the_instance_sees_them(fixture: &Fixture, instance: &str) {
    let all = fixture.json(&["top", instance, "--json"]);
    let find = |text: &str| {
        let is_it =
            |one: &&Value| one["command"].as_str().is_some_and(|command| command.contains(text));
        let found = all.as_array().expect("a list").iter().find(is_it);
        found.unwrap_or_else(|| panic!("{text} is not in {all}")).clone()
    };
    let (server, busy) = (find("/server"), find("it is busy"));
    let inside =
        fixture.shell(instance, "cd /proc; grep -l 'it is bus[y]' [0-9]*/cmdline | cut -d/ -f1");
    assert_eq!(Some(inside.trim()), busy["pid"].as_u64().map(|pid| pid.to_string()).as_deref());
    assert_eq!((&server["user"], &busy["user"]), (&json!(0), &json!(0)), "{all}");
    assert!(server["memory_bytes"].as_u64() > Some(0), "{all}");
    let shown = fixture.says(&["top", instance]);
    assert!(shown.starts_with("PID") && shown.contains("/server"), "{shown}");
    assert!(!shown.contains("berth-init"), "Berth's own is not the instance's: {shown}");
}

fn use_is_shown_beside_the_limits(fixture: &Fixture, instance: &str) {
    let all = fixture.json(&["stats", "--json"]);
    let [one] = &all.as_array().expect("a list")[..] else { panic!("{all}") };
    assert_eq!((&one["instance"], &one["application"]), (&json!(instance), &json!(NAME)));
    assert!(one["cpu_percent"].as_f64() > Some(0.0), "{one}");
    assert!(one["memory_bytes"].as_u64() > Some(0) && one["processes"].as_u64() > Some(1), "{one}");
    let limit = one["limits"]["memory_mib"].as_u64().expect("a limit");
    let shown = fixture.says(&["top"]);
    let line = shown.lines().find(|line| line.contains(instance)).expect("it is in the list");
    assert!(shown.starts_with("INSTANCE") && line.contains(&format!("/ {limit} MiB")), "{shown}");
}
