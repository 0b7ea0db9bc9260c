//! Nothing that was deployed is lost when `berth serve` dies: not the Worker, its secrets and its
//! objects' data, nor a container that runs.

use e2e::{NEWEST, Platform, Process, Project, instance_id};

/// Counts in the object's storage, and tells a secret.
const WORKER: &str = r#"
import { Container, getContainer } from "@cloudflare/containers";

export class MyContainer extends Container {
  defaultPort = 8080;
  async count() {
    const next = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", next);
    return next;
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/secret") return new Response(env.KEY);
    if (pathname === "/count") return new Response(await getContainer(env.MY_CONTAINER).count());
    return getContainer(env.MY_CONTAINER).fetch(request);
  },
};
"#;

fn project() -> Project {
    let project = NEWEST.example("hello");
    project.write("src/index.ts", WORKER);
    project
}

fn deployed(platform: &Platform) -> Project {
    let project = project();
    platform.wrangler(NEWEST, &project, &["deploy"]).run().assert_succeeds();
    let put = platform.wrangler(NEWEST, &project, &["secret", "put", "KEY"]);
    put.run_with("hush hush").assert_succeeds();
    project
}

fn survives(platform: Platform, again: impl FnOnce(Platform) -> Platform) {
    let project = deployed(&platform);
    let worker = platform.worker("hello-containers");
    let instance = instance_id(&worker.get("/"));
    let processes = Process::of_instance(&instance);
    assert!(!processes.is_empty(), "the container runs");
    assert_eq!(worker.get("/count").text(), "1");

    let platform = again(platform);
    assert!(processes.iter().all(Process::is_alive), "the container runs on");
    let worker = platform.worker("hello-containers");
    assert_eq!(worker.get("/secret").text(), "hush hush");
    assert_eq!(worker.get("/count").text(), "2");
    assert_eq!(instance_id(&worker.get("/")), instance, "the same instance answers");
    let list = platform.wrangler(NEWEST, &project, &["versions", "list"]).says();
    assert_eq!(list.matches("Version ID:").count(), 2, "{list}");

    platform.wrangler(NEWEST, &project, &["deploy"]).run().assert_succeeds();
    assert_eq!(worker.get("/count").text(), "3", "a deploy goes on where it was");
    let footprint = platform.footprint();
    platform.stop();
    footprint.assert_gone();
    assert!(!processes.iter().any(Process::is_alive), "it was told to stop its instances");
}

#[test]
fn everything_is_there_after_a_kill() {
    survives(Platform::start(), Platform::killed_and_started_again);
}

#[test]
fn everything_is_there_after_a_stop_and_instances_run_on() {
    survives(Platform::start_and_leave_instances(), Platform::stopped_and_started_again);
}

#[test]
fn a_deploy_that_a_kill_cuts_off_is_made_again_wherever_it_stood() {
    // Before anything is written; once the Worker is; and once its image is pushed.
    for step in ["/settings\" status", "method=PUT path", "/credentials\" status"] {
        let platform = Platform::start();
        let project = project();
        let deploy = platform.wrangler(NEWEST, &project, &["deploy"]).start();
        platform.wait_for_line(step);
        platform.process().kill();
        drop(deploy);
        let platform = platform.killed_and_started_again();
        let worker = platform.worker("hello-containers");
        assert_eq!(worker.get("/").status, 404, "it had no host yet");
        platform.wrangler(NEWEST, &project, &["deploy"]).run().assert_succeeds();
        assert_eq!(worker.get("/count").text(), "1");
        assert_eq!(worker.get("/").status, 200, "cut off at {step}");
        platform.stop();
    }
}

#[test]
fn two_platforms_do_not_share_their_data() {
    let platform = Platform::start();
    let second = platform.berth(&["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    second.assert_fails(6, &["another `berth serve` runs on", "hint:"]);
    let other = ["serve", "--api", "0.0.0.0:0", "--listen", "127.0.0.1:0"];
    platform.berth(&other).assert_fails(2, &["there is no TLS", "hint:"]);
    platform.stop();
}
