//! The unmodified wrangler deploys to `berth serve` with the lines it prints for `.env`, and what it
//! deployed answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use e2e::{Client, Deployment, NEWEST, ON_NODE_20, Project, Wrangler, instance_id, until};

/// What the Worker says at `/`, and what a later version says there.
const BEFORE: &str = "Available endpoints:";
const AFTER: &str = "Endpoints of the second version:";
/// A further answer of the Worker: what is in a secret.
const TELLS_SECRET: &str = "if (pathname === \"/secret\") {
      return new Response(String((env as unknown as Record<string, string>).KEY));
    }
    if (pathname === \"/lb\") {";

/// `hello`, which also tells a secret.
fn project(wrangler: Wrangler) -> Project {
    let project = wrangler.example("hello");
    project.replace("src/index.ts", "if (pathname === \"/lb\") {", TELLS_SECRET);
    // A deploy on a slow machine takes longer than its containers sleep after.
    project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
    project
}

fn fixture(wrangler: Wrangler) -> Deployment {
    Deployment::new(wrangler, project(wrangler))
}

fn worker(fixture: &Deployment) -> Client {
    fixture.platform.worker("hello-containers")
}

/// Runs `work` while requests go to `path` one after the other; how many were answered with 200, and
/// what came otherwise.
fn under_load(client: &Client, path: &str, work: impl FnOnce()) -> (usize, Vec<String>) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let (mut good, mut bad) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                match client.try_get(path) {
                    Ok(reply) if reply.status == 200 => good += 1,
                    Ok(reply) => bad.push(reply.to_string()),
                    Err(error) => bad.push(error.to_string()),
                }
            }
            (good, bad)
        });
        work();
        over.store(true, Ordering::Relaxed);
        requests.join().expect("the requests end")
    })
}

fn deploys_changes_and_deletes(wrangler: Wrangler) {
    let fixture = fixture(wrangler);
    let said = fixture.says(&["deploy"]);
    assert!(said.contains("hello-containers.localhost"), "it says where the Worker is: {said}");
    let worker = worker(&fixture);
    let one = instance_id(&worker.get("/container/1"));
    assert_eq!(instance_id(&worker.get("/container/1")), one, "a name has one container");
    assert_ne!(instance_id(&worker.get("/container/2")), one, "another has another");
    assert!(worker.get("/").text().starts_with(BEFORE));

    fixture.project.replace("src/index.ts", BEFORE, AFTER);
    let (answered, dropped) = under_load(&worker, "/", || drop(fixture.says(&["deploy"])));
    assert!(answered > 0 && dropped.is_empty(), "{answered} answered, and {dropped:?}");
    assert!(worker.get("/").text().starts_with(AFTER), "the new code answers");
    assert_eq!(worker.get("/container/1").status, 200);

    let put = ["secret", "put", "KEY"];
    let put = fixture.platform.wrangler(wrangler, &fixture.project, &put).run_with("hush hush");
    put.assert_succeeds();
    assert_eq!(worker.get("/secret").text(), "hush hush");
    assert!(fixture.says(&["secret", "list"]).contains("KEY"));
    fixture.says(&["deploy"]);
    assert_eq!(worker.get("/secret").text(), "hush hush", "secrets survive a deploy");

    let versions = fixture.says(&["versions", "list"]);
    assert_eq!(versions.matches("Version ID:").count(), 4, "{versions}");
    let deployments = fixture.says(&["deployments", "list"]);
    assert_eq!(deployments.matches("(100%)").count(), 4, "{deployments}");
    fixture.says(&["secret", "delete", "KEY"]);
    assert_eq!(worker.get("/secret").text(), "undefined");

    fixture.says(&["delete", "--force"]);
    let gone = worker.get("/");
    assert_eq!(gone.status, 404, "{gone}");
    assert!(gone.text().contains("no Worker serves hello-containers.localhost"), "{gone}");
    let footprint = fixture.platform.footprint();
    fixture.platform.stop();
    footprint.assert_gone();
}

#[test]
fn h2_h11_k1_the_newest_wrangler_deploys_changes_and_deletes() {
    deploys_changes_and_deletes(NEWEST);
}

#[test]
fn h2_h11_k1_the_last_wrangler_for_node_20_deploys_changes_and_deletes() {
    deploys_changes_and_deletes(ON_NODE_20);
}

#[test]
fn k4_bf4_containers_stay_while_code_alone_changes_and_are_replaced_with_their_image() {
    let fixture = fixture(NEWEST);
    fixture.says(&["deploy"]);
    let worker = worker(&fixture);
    let first = instance_id(&worker.get("/container/1"));
    fixture.project.replace("src/index.ts", BEFORE, AFTER);
    fixture.says(&["deploy"]);
    assert_eq!(instance_id(&worker.get("/container/1")), first, "its image is the same");

    fixture.project.replace("container/main.rs", "Hi, I'm a container", "Hi, I'm another one");
    fixture.says(&["deploy"]);
    let answer = until("the new image answers", || {
        let reply = worker.get("/container/1");
        reply.text().contains("another one").then_some(reply)
    });
    assert_ne!(instance_id(&answer), first);
    let said = fixture.says(&["containers", "list"]);
    assert!(said.contains("hello-containers"), "{said}");
    fixture.platform.stop();
}

#[test]
fn a_version_comes_back_and_a_split_is_refused() {
    let fixture = fixture(NEWEST);
    fixture.says(&["deploy"]);
    fixture.project.replace("src/index.ts", BEFORE, AFTER);
    fixture.says(&["deploy"]);
    let worker = worker(&fixture);
    assert!(worker.get("/").text().starts_with(AFTER));
    let said = fixture.says(&["rollback", "-y", "-m", "it was better"]);
    assert!(worker.get("/").text().starts_with(BEFORE), "{said}");
    assert!(fixture.says(&["deployments", "list"]).contains("it was better"));

    let script = "/accounts/local/workers/scripts/hello-containers";
    let token = fixture.platform.token();
    let versions = fixture.platform.ask(token, "GET", &format!("{script}/versions"), "").json();
    let id = |n: usize| versions["result"]["items"][n]["id"].clone();
    let split = serde_json::json!({"strategy": "percentage", "versions": [
        {"version_id": id(0), "percentage": 50}, {"version_id": id(1), "percentage": 50}]});
    let path = format!("{script}/deployments");
    let reply = fixture.platform.ask(token, "POST", &path, &split.to_string());
    assert_eq!(reply.status, 400, "{reply}");
    assert!(reply.text().contains("each object must run in exactly one version"), "{reply}");
    assert!(worker.get("/").text().starts_with(BEFORE), "nothing has changed");
    fixture.platform.stop();
}

#[test]
fn what_does_not_start_or_is_not_done_is_refused_and_the_old_code_serves_on() {
    let fixture = fixture(NEWEST);
    fixture.says(&["deploy"]);
    let worker = worker(&fixture);
    let fails = |change: &dyn Fn(&Project), text: &str| {
        let project = project(NEWEST);
        change(&project);
        let outcome = fixture.platform.wrangler(NEWEST, &project, &["deploy"]).run();
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.code != 0 && said.contains(text), "{text:?} is not in: {said}");
        assert!(worker.get("/").text().starts_with(BEFORE), "{text}");
    };
    let throws = "throw new Error(\"no good\");\n\ninterface Env {";
    fails(&|it| it.replace("src/index.ts", "interface Env {", throws), "no good");
    fails(
        &|it| it.configure(|config| config["limits"] = serde_json::json!({"cpu_ms": 50})),
        "limits",
    );
    fails(
        &|it| {
            let bucket = serde_json::json!([{"binding": "B", "bucket_name": "b"}]);
            it.configure(|config| config["r2_buckets"] = bucket);
        },
        "r2_bucket",
    );
    fixture.platform.stop();
}

#[test]
fn a_deploy_from_the_platforms_machine_may_build_in_its_own_store() {
    let fixture = fixture(NEWEST);
    let home = fixture.platform.data().home();
    for message in ["Hi, I'm a container", "Hi, I'm another one"] {
        let text = fixture.project.read("container/main.rs");
        fixture.project.write("container/main.rs", &text.replace("Hi, I'm a container", message));
        let deploy = fixture.platform.wrangler(NEWEST, &fixture.project, &["deploy"]);
        let outcome = deploy.env("BERTH_HOME", home).run();
        outcome.assert_succeeds();
        assert!(!outcome.stderr.contains("conflict"), "it cleans up what it built: {outcome}");
        let worker = worker(&fixture);
        until("the image answers", || {
            worker.get("/container/1").text().contains(message).then_some(())
        });
    }
    fixture.platform.stop();
}
