//! A new image comes by steps: by themselves or by hand, forward or back, and back by themselves when
//! its containers fail.

use std::time::{Duration, Instant};

use e2e::{Client, Deployment, NEWEST, Reply, eventually, instance_id, until};
use serde_json::{Value, json};

const CONTAINERS: [&str; 4] = ["/container/1", "/container/2", "/container/3", "/container/4"];
/// What containers say, and what those of a new image do.
const BEFORE: &str = "Hi, I'm a container";
const AFTER: &str = "Hi, I'm a new one";
/// A container that does not listen has half a minute, and a step without requests ten seconds.
const LONG: Duration = Duration::from_secs(120);

/// `hello`, deployed, with these rollouts.
fn deployed(rollouts: &Value) -> Deployment {
    let project = NEWEST.example("hello");
    // A deploy on a slow machine takes longer than its containers sleep after.
    project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
    project.replace("src/index.ts", "override onStop() {", "override onStop(how: unknown) {");
    let says = "console.log(\"onStop\", JSON.stringify(how));";
    project.replace("src/index.ts", "console.log(\"Container successfully shut down\");", says);
    project.configure(|config| {
        for (name, value) in rollouts.as_object().expect("an object") {
            config["containers"][0][name] = value.clone();
        }
    });
    let fixture = Deployment::new(NEWEST, project);
    fixture.deploy();
    fixture
}

fn by_hand() -> Value {
    json!({"rollout_kind": "full_manual", "rollout_step_percentage": [10, 100]})
}

/// Deploys an image that is another in this.
fn deploy_with(fixture: &Deployment, old: &str, new: &str) {
    fixture.project.replace("container/main.rs", old, new);
    fixture.deploy();
}

fn worker(fixture: &Deployment) -> Client {
    fixture.platform.worker("hello-containers")
}

fn rollouts(fixture: &Deployment) -> String {
    let all = fixture.get("/containers/applications");
    format!("/containers/applications/{}/rollouts", all[0]["id"].as_str().expect("an id"))
}

/// The newest rollout.
fn newest(fixture: &Deployment) -> Value {
    fixture.get(&rollouts(fixture))[0].clone()
}

fn act(fixture: &Deployment, action: &str) -> Value {
    let id = newest(fixture)["id"].as_str().expect("an id").to_owned();
    let path = format!("{}/{id}", rollouts(fixture));
    fixture.ask("POST", &path, &json!({ "action": action }))
}

/// Asks all containers again and again until their rollout is like this.
#[track_caller]
fn asked_until(fixture: &Deployment, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let worker = worker(fixture);
    let found = eventually(LONG, || {
        for container in CONTAINERS {
            let _ = worker.try_get(container);
        }
        Some(newest(fixture)).filter(|rollout| is(rollout))
    });
    found.unwrap_or_else(|| panic!("{what}: {}", newest(fixture)))
}

fn has_status(status: &'static str) -> impl Fn(&Value) -> bool {
    move |rollout| rollout["status"] == status
}

fn step_is_done(step: usize) -> impl Fn(&Value) -> bool {
    move |rollout| rollout["steps"][step]["status"] == "completed"
}

/// What every container answers.
fn answers(fixture: &Deployment) -> Vec<Reply> {
    CONTAINERS.iter().map(|container| worker(fixture).get(container)).collect()
}

fn new_ones(answers: &[Reply]) -> usize {
    answers.iter().filter(|answer| answer.text().contains(AFTER)).count()
}

#[test]
fn bf5_a_rollout_by_hand_goes_forward_and_back_a_step_at_a_time() {
    let fixture = deployed(&by_hand());
    assert_eq!(new_ones(&answers(&fixture)), 0);
    deploy_with(&fixture, BEFORE, AFTER);
    let rollout = newest(&fixture);
    assert_eq!((&rollout["status"], &rollout["kind"]), (&json!("pending"), &json!("full_manual")));
    assert_eq!(new_ones(&answers(&fixture)), 0, "nothing has begun");

    act(&fixture, "next");
    let rollout = asked_until(&fixture, "a step is done", step_is_done(0));
    assert_eq!(rollout["status"], "progressing", "{rollout}");
    assert!(rollout["reason"].as_str().is_some_and(|why| why.contains("waits")), "{rollout}");
    let new = new_ones(&answers(&fixture));
    assert!((1..4).contains(&new), "{new} of four are new");
    assert_eq!(rollout["progress"]["updated_instances"], new, "{rollout}");
    fixture.platform.wait_for_line("onStop {\"exitCode\":");

    assert_eq!(act(&fixture, "previous")["status"], "pending");
    until("all are old again", || (new_ones(&answers(&fixture)) == 0).then_some(()));
    for step in 0..2 {
        act(&fixture, "next");
        asked_until(&fixture, "a step is done", step_is_done(step));
    }
    let rollout = asked_until(&fixture, "it is done", has_status("completed"));
    assert_eq!(new_ones(&answers(&fixture)), 4);
    let path = format!("{}/{}", rollouts(&fixture), rollout["id"].as_str().expect("an id"));
    let _ = fixture.ask("DELETE", &path, &Value::Null);
    assert_eq!(fixture.get(&rollouts(&fixture)), json!([]));
    fixture.platform.stop();
}

#[test]
fn bf5_somebody_turns_a_rollout_back_and_the_next_deploy_begins_it_anew() {
    let fixture = deployed(&by_hand());
    answers(&fixture);
    let image = |fixture: &Deployment| {
        fixture.get("/containers/applications")[0]["configuration"]["image"].clone()
    };
    let before = image(&fixture);
    deploy_with(&fixture, BEFORE, AFTER);
    assert_ne!(image(&fixture), before);
    act(&fixture, "next");
    asked_until(&fixture, "a step is done", step_is_done(0));
    act(&fixture, "revert");
    let rollout = asked_until(&fixture, "it is turned back", has_status("reverted"));
    assert_eq!(rollout["steps"][0]["status"], "reverted", "{rollout}");
    assert_eq!(new_ones(&answers(&fixture)), 0);
    assert_eq!(image(&fixture), before, "what runs is what is shown");
    fixture.deploy();
    assert_eq!(newest(&fixture)["status"], "pending");
    fixture.platform.stop();
}

#[test]
fn a_rollout_whose_containers_crash_goes_back_by_itself_and_says_why() {
    let fixture = deployed(&json!({"rollout_step_percentage": [10, 100]}));
    answers(&fixture);
    deploy_with(
        &fixture,
        "let listener =",
        "process::exit(3);\n    #[allow(unreachable_code)]\n    let listener =",
    );
    let rollout = asked_until(&fixture, "it goes back", has_status("reverted"));
    let reason = rollout["reason"].as_str().expect("a reason");
    assert!(reason.contains("new instances failed") && reason.contains("exit code 3"), "{reason}");
    assert_eq!(rollout["steps"][1]["status"], "pending", "it went no further: {rollout}");
    until("the old image answers everywhere", || {
        let all = CONTAINERS.map(|container| worker(&fixture).try_get(container));
        all.iter().all(|reply| matches!(reply, Ok(reply) if reply.status == 200)).then_some(())
    });
    fixture.platform.stop();
}

#[test]
fn a_rollout_whose_containers_do_not_listen_goes_back_by_itself() {
    let fixture = deployed(&json!({"rollout_step_percentage": 100}));
    answers(&fixture);
    deploy_with(&fixture, "0.0.0.0:8080", "0.0.0.0:8081");
    let rollout = asked_until(&fixture, "it goes back", has_status("reverted"));
    let reason = rollout["reason"].as_str().expect("a reason");
    assert!(reason.contains("does not listen on port 8080"), "{reason}");
    let old = until("the old image answers", || {
        worker(&fixture).try_get(CONTAINERS[0]).ok().filter(|reply| reply.status == 200)
    });
    assert!(old.text().contains(BEFORE), "{old}");
    fixture.platform.stop();
}

#[test]
fn a_rollout_that_a_kill_cuts_off_goes_on_where_it_stood() {
    let mut fixture = deployed(&by_hand());
    answers(&fixture);
    deploy_with(&fixture, BEFORE, AFTER);
    act(&fixture, "next");
    asked_until(&fixture, "a step is done", step_is_done(0));
    let before: Vec<String> = answers(&fixture).iter().map(instance_id).collect();
    fixture.platform = fixture.platform.killed_and_started_again();
    let after = answers(&fixture);
    assert_eq!(after.iter().map(instance_id).collect::<Vec<_>>(), before, "none was replaced");
    assert_eq!(newest(&fixture)["status"], "progressing");
    act(&fixture, "next");
    asked_until(&fixture, "it is done", has_status("completed"));
    let last = answers(&fixture);
    assert_eq!(new_ones(&last), 4);
    for (last, after) in last.iter().zip(&after).filter(|(_, after)| after.text().contains(AFTER)) {
        assert_eq!(instance_id(last), instance_id(after), "what was new stays");
    }
    fixture.platform.stop();
}

#[test]
fn k4_bf2_a_container_is_replaced_after_the_active_grace_and_requests_wait_for_the_new_one() {
    const ACTIVE: Duration = Duration::from_secs(40);
    let fixture = deployed(&json!({"rollout_step_percentage": 100,
        "rollout_active_grace_period": ACTIVE.as_secs()}));
    let begun = Instant::now();
    let worker = worker(&fixture);
    let _ = worker.get(CONTAINERS[0]);
    deploy_with(&fixture, BEFORE, AFTER);
    let mut failed = Vec::new();
    let replaced = eventually(LONG, || match worker.get(CONTAINERS[0]) {
        reply if reply.status != 200 => {
            failed.push(reply.to_string());
            None
        }
        reply => reply.text().contains(AFTER).then_some(()),
    });
    assert!(replaced.is_some(), "{}", newest(&fixture));
    assert!(begun.elapsed() >= ACTIVE, "replaced after {:?}", begun.elapsed());
    // The one that was answered when its container got SIGTERM, which ends this program at once.
    assert!(failed.len() <= 1, "{failed:?}");
    asked_until(&fixture, "it is done", has_status("completed"));
    fixture.platform.stop();
}
