//! `berth containers` without wrangler: a platform's container applications, and their instances.

use e2e::{Berth, Hello as Fixture, NEWEST, PATIENCE, until};
use serde_json::{Value, json};

const NAME: &str = Fixture::NAME;

/// `hello` on a platform that had nothing before, deployed; its rollouts go by hand.
fn deployed() -> Fixture {
    let fixture = Fixture::start();
    fixture.project.configure(|config| {
        config["containers"][0]["rollout_kind"] = json!("full_manual");
        config["containers"][0]["rollout_step_percentage"] = json!([50, 100]);
    });
    let list = fixture.berth(&["list"]);
    list.assert_succeeds();
    assert!(list.stdout.is_empty() && list.stderr.contains("no container applications"));
    fixture.deploy();
    fixture
}

#[test]
fn applications_and_their_instances_are_seen_and_changed_without_wrangler() {
    let fixture = deployed();
    let first = fixture.instance();
    applications_are_listed_as_by_wrangler(&fixture);
    instances_are_listed_with_their_objects(&fixture, &first);
    what_an_instance_prints_is_read_and_followed_until_it_ends(&fixture, &first);
    programs_have_their_callers_streams_and_give_back_their_exit_code(&fixture);
    stopped_instances_are_replaced_by_the_next_request(&fixture);
    events_tell_what_has_happened(&fixture, &first);
    a_token_that_may_only_look_changes_nothing(&fixture);
    rollouts_are_moved_by_hand(&fixture);
    an_application_is_deleted_with_its_instances(&fixture);
    fixture.platform.stop();
}

fn applications_are_listed_as_by_wrangler(fixture: &Fixture) {
    let list = fixture.says(&["list"]);
    let lines: Vec<&str> = list.lines().collect();
    let [header, line] = lines[..] else { panic!("{list}") };
    for column in ["ID", "NAME", "STATE", "LIVE INSTANCES", "LAST MODIFIED"] {
        assert!(header.contains(column), "{list}");
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, name, state, live, _] = words[..] else { panic!("{list}") };
    assert_eq!((name, state, live), (NAME, "active", "1"), "{list}");
    let list = ["containers", "list", "--json"];
    let wranglers = fixture.platform.wrangler(NEWEST, &fixture.project, &list).says();
    let wranglers: Value = serde_json::from_str(&wranglers).expect("it is JSON");
    assert_eq!(fixture.json(&["list", "--json"]), wranglers);

    let info = fixture.says(&["info", name]);
    assert!(info.contains(id) && info.contains("active"), "{info}");
    let all = fixture.json(&["info", id, "--json"]);
    assert_eq!((&all["id"], &all["name"]), (&id.into(), &name.into()));
    let unknown = fixture.berth(&["info", "nobody"]);
    unknown.assert_fails(1, &["there is no container application", "hint: "]);
}

fn instances_are_listed_with_their_objects(fixture: &Fixture, first: &str) {
    let list = fixture.says(&["instances", NAME]);
    let line = list.lines().find(|line| line.contains(first)).expect("it is in the list");
    assert!(line.contains("running") && list.starts_with("INSTANCE"), "{list}");
    let mut all = fixture.json(&["instances", NAME, "--json"]);
    assert_eq!(all[0]["instance"], first, "{all}");
    let object = all[0]["id"].as_str().expect("it has an object").to_owned();
    for search in [first, &object] {
        assert_eq!(fixture.json(&["instances", NAME, "--search", search, "--json"]), all);
        assert_eq!(fixture.says(&["instances", NAME, "--search", search]), list);
    }
    assert_eq!(fixture.json(&["instances", NAME, "--search", "nobody", "--json"]), json!([]));
    let part = fixture.json(&["instances", NAME, "--per-page", "1", "--json"]);
    let info = json!({"per_page": 1, "page_token": null, "next_page_token": null});
    assert_eq!(part, json!({"instances": all, "result_info": info}));
    fixture.berth(&["instances", NAME, "--page-token", "a"]).assert_fails(2, &["--json"]);

    all[0].as_object_mut().expect("it is one").remove("instance");
    let id = &fixture.json(&["list", "--json"])[0]["id"];
    let list = ["containers", "instances", id.as_str().expect("it is a text"), "--json"];
    let wranglers = fixture.platform.wrangler(NEWEST, &fixture.project, &list).says();
    let wranglers: Value = serde_json::from_str(&wranglers).expect("it is JSON");
    assert_eq!(all, wranglers);
}

fn what_an_instance_prints_is_read_and_followed_until_it_ends(fixture: &Fixture, first: &str) {
    assert_eq!(fixture.says(&["logs", first]), "Server listening on :8080\n");
    assert_eq!(fixture.says(&["logs", first, "--tail", "0"]), "");
    let timed = fixture.says(&["logs", first, "--timestamps", "--since", "10m"]);
    assert!(timed.ends_with("Z Server listening on :8080\n"), "{timed}");
    let unknown = fixture.berth(&["logs", "nobody"]);
    unknown.assert_fails(1, &["there is no instance nobody", "hint: "]);

    let follow = ["containers", "logs", "--follow", first];
    let following = fixture.platform.watch(&fixture.project, &follow);
    let _ = following.wait_for_line("Server listening", PATIENCE);
    // The instance's own program prints nothing more: another one writes to its output.
    let printed = fixture.exec(&[], "echo to its error output >/proc/2/fd/2", "");
    printed.assert_succeeds();
    let _ = following.wait_for_line("to its error output", PATIENCE);
    assert_eq!(following.interrupt(), Some(0));
}

fn programs_have_their_callers_streams_and_give_back_their_exit_code(fixture: &Fixture) {
    let script = "read line; echo \"out $line $MESSAGE\"; echo err >&2; exit 7";
    let outcome = fixture.exec(&["-i"], script, "typed\nand more");
    assert_eq!(outcome.code, 7, "{outcome}");
    let message = "I was passed in via the container class!";
    assert_eq!(outcome.stdout, format!("out typed {message}\n"), "{outcome}");
    assert_eq!(outcome.stderr, "err\n");

    // Both directions at once, more than any buffer holds.
    let much = "0123456789abcdef".repeat(64 * 1024);
    let outcome = fixture.exec(&["-i"], "cat", &much);
    outcome.assert_succeeds();
    assert!(outcome.stdout == much, "{} bytes came back", outcome.stdout.len());
    assert!(fixture.exec(&[], "cat", "not asked for").stdout.is_empty());

    let terminal = fixture.exec(&["-t"], "tty >/dev/null && echo err >&2 && stty size", "");
    terminal.assert_succeeds();
    assert_eq!(terminal.stdout, "err\r\n24 80\r\n", "one stream, as of a terminal");
    let instance = fixture.instance();
    let missing = fixture.berth(&["exec", &instance, "/no/such/program"]);
    assert_eq!(missing.code, 127, "{missing}");
}

fn stopped_instances_are_replaced_by_the_next_request(fixture: &Fixture) {
    let before = fixture.instance();
    assert_eq!(fixture.says(&["stop", "--grace", "1s", &before]), format!("{before}\n"));
    assert!(e2e::Process::of_instance(&before).is_empty(), "its program has ended");
    let printed = fixture.says(&["logs", "--follow", &before]);
    assert!(printed.starts_with("Server listening on :8080\n"), "its log is kept: {printed}");
    fixture.berth(&["stop", "nobody"]).assert_fails(1, &["there is no instance nobody"]);
    let second = fixture.instance();
    assert_ne!(second, before);
    assert_eq!(fixture.says(&["restart", NAME, "--grace", "1s"]), format!("{second}\n"));
    assert_ne!(fixture.instance(), second);
    let again = fixture.says(&["logs", &before]);
    assert_eq!(again, printed, "also when another one has taken its place");
}

fn events_tell_what_has_happened(fixture: &Fixture, first: &str) {
    let events = fixture.says(&["events", NAME, "--json"]);
    let of_first: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .filter(|event: &Value| event["instance"] == first)
        .collect();
    let kinds: Vec<_> = of_first.iter().map(|event| event["event"].clone()).collect();
    assert_eq!(kinds, ["started", "stopped"], "{events}");
    let following = fixture.platform.watch(&fixture.project, &["containers", "events", "-f"]);
    let _ = following.wait_for_line(first, PATIENCE);
    let now = fixture.instance();
    fixture.says(&["stop", "--grace", "1s", &now]);
    let _ = following.wait_for_line(&format!("{now}  stopped"), PATIENCE);
    assert_eq!(following.interrupt(), Some(0));
}

fn a_token_that_may_only_look_changes_nothing(fixture: &Fixture) {
    let created = fixture.platform.berth(&["token", "create", "looks", "--scope", "read"]);
    created.assert_succeeds();
    let token = created.stdout.trim();
    let instance = fixture.instance();
    let berth = |args: &[&str]| {
        let args = [&["containers"][..], args].concat();
        Berth::new(&fixture.project, args).env("CLOUDFLARE_API_TOKEN", token).run()
    };
    berth(&["logs", &instance]).assert_succeeds();
    for args in [&["stop", &instance][..], &["restart", NAME], &["exec", &instance, "true"]] {
        berth(args).assert_fails(1, &["does not allow containers:write"]);
    }
    assert_eq!(fixture.instance(), instance);
}

fn rollouts_are_moved_by_hand(fixture: &Fixture) {
    assert!(fixture.says(&["rollouts", "list", NAME]).is_empty());
    fixture.berth(&["rollouts", "next", NAME]).assert_fails(1, &["has no rollout"]);
    fixture.project.replace("Dockerfile", "EXPOSE 8080", "EXPOSE 8080\nLABEL next=1");
    fixture.deploy();
    let status = || fixture.json(&["rollouts", "status", NAME, "--json"]);
    let pending = status();
    assert_eq!(pending["status"], "pending", "{pending}");
    let id = pending["id"].as_str().expect("it has an id").to_owned();
    let list = fixture.says(&["rollouts", "list", NAME]);
    assert!(list.contains(&id) && list.contains("0/2"), "{list}");

    assert!(fixture.says(&["rollouts", "next", NAME]).starts_with(&id));
    until("the first step is begun", || (status()["status"] == "progressing").then_some(()));
    let shown = fixture.says(&["rollouts", "status", NAME, &id]);
    assert!(shown.contains("50%") && shown.contains("progressing"), "{shown}");
    fixture.says(&["rollouts", "revert", NAME]);
    until("it is turned back", || {
        let _ = fixture.worker().try_get("/container/1");
        (status()["status"] == "reverted").then_some(())
    });
    fixture.berth(&["rollouts", "status", NAME, "nobody"]).assert_fails(1, &["no rollout nobody"]);
}

fn an_application_is_deleted_with_its_instances(fixture: &Fixture) {
    let instance = fixture.instance();
    fixture.berth(&["delete", NAME]).assert_fails(2, &["wants to be confirmed", "--force"]);
    fixture.berth(&["delete", NAME, "--force"]).assert_succeeds();
    assert!(fixture.says(&["list"]).is_empty());
    assert!(e2e::Process::of_instance(&instance).is_empty(), "its program has ended");
    let again = fixture.berth(&["delete", NAME, "--force"]);
    again.assert_fails(1, &["there is no container application"]);
}
