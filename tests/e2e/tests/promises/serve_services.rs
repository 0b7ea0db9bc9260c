//! Workers that are deployed to `berth serve` call each other: by requests and by methods, whichever
//! version of them serves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use e2e::{NEWEST, Outcome, Platform, Project};
use serde_json::json;

/// Is called: by requests, by its methods, and at a second entry point.
const TARGET: &str = r#"
import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
  async fetch(request) {
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send(`target heard ${data}`));
      return new Response(null, { status: 101, webSocket: client });
    }
    const { pathname, host, protocol } = new URL(request.url);
    return new Response(`VERSION ${request.method} ${protocol}//${host}${pathname} ${await request.text()}`);
  }
  add(a, b) { return a + b; }
  async each(numbers, f) { return Promise.all(numbers.map((number) => f(number))); }
}
export class Admin extends WorkerEntrypoint {
  fetch(request) { return new Response(`admin ${new URL(request.url).pathname}`); }
  greet(name) { return `VERSION greets ${name}`; }
}
"#;

/// Calls it.
const CALLER: &str = r#"
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/add") return Response.json(await env.TARGET.add(1, 2));
    if (pathname === "/each") return Response.json(await env.TARGET.each([1, 2], (n) => n * 10));
    if (pathname === "/greet") return new Response(await env.ADMIN.greet("you"));
    if (pathname === "/admin") return env.ADMIN.fetch("http://any/x");
    return env.TARGET.fetch(request);
  },
};
"#;

/// A Worker with this code and these `services`.
fn project(name: &str, code: &str, services: serde_json::Value) -> Project {
    let project = Project::empty().with_own_home();
    project.write("index.js", code);
    let config = json!({"name": name, "main": "index.js", "compatibility_date": "2026-08-01",
        "services": services});
    project.write("wrangler.json", &config.to_string());
    project
}

fn target(version: &str) -> Project {
    project("target", &TARGET.replace("VERSION", version), json!([]))
}

fn caller() -> Project {
    let services = json!([{"binding": "TARGET", "service": "target"},
        {"binding": "ADMIN", "service": "target", "entrypoint": "Admin"}]);
    project("caller", CALLER, services)
}

fn deploy(platform: &Platform, project: &Project) -> Outcome {
    platform.wrangler(NEWEST, project, &["deploy"]).run()
}

#[track_caller]
fn refused(outcome: &Outcome, text: &str) {
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    // Lines are wrapped.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(outcome.code != 0 && said.contains(text), "{text:?} is not in: {said}");
}

#[test]
fn requests_websockets_and_method_calls_reach_another_worker_and_its_entry_points() {
    let platform = Platform::start();
    refused(
        &deploy(&platform, &caller()),
        "Could not resolve service binding 'TARGET'. Target script 'target' not found.",
    );
    deploy(&platform, &target("one")).assert_succeeds();
    let wrong = json!([{"binding": "X", "service": "target", "entrypoint": "Nobody"}]);
    refused(&deploy(&platform, &project("wrong", CALLER, wrong)), "entry point 'Nobody'");
    deploy(&platform, &caller()).assert_succeeds();

    let client = platform.worker("caller");
    let echo = client.post("/path", "the body");
    assert!(echo.text().starts_with("one POST http://caller.localhost"), "{echo}");
    assert!(echo.text().ends_with("/path the body"), "{echo}");
    assert_eq!(client.get("/add").text(), "3");
    assert_eq!(client.get("/each").json(), json!([10, 20]), "it calls back");
    assert_eq!(client.get("/greet").text(), "one greets you");
    assert_eq!(client.get("/admin").text(), "admin /x");
    let mut socket = client.websocket("/socket");
    assert_eq!(socket.ask("hello").into_text().expect("a text").as_str(), "target heard hello");

    let platform = platform.killed_and_started_again();
    let client = platform.worker("caller");
    assert_eq!(client.get("/greet").text(), "one greets you");
    assert_eq!(client.get("/add").text(), "3");
    platform.stop();
}

#[test]
fn a_new_version_of_the_target_drops_no_request_of_its_callers() {
    let platform = Platform::start();
    deploy(&platform, &target("one")).assert_succeeds();
    deploy(&platform, &caller()).assert_succeeds();
    let client = platform.worker("caller");
    assert_eq!(client.get("/greet").text(), "one greets you");
    let over = AtomicBool::new(false);
    let (good, bad) = thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let (mut good, mut bad) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                let reply = client.get("/x");
                if reply.status == 200 { good += 1 } else { bad.push(reply.to_string()) }
            }
            (good, bad)
        });
        deploy(&platform, &target("two")).assert_succeeds();
        over.store(true, Ordering::Relaxed);
        requests.join().expect("the requests end")
    });
    assert!(good > 0 && bad.is_empty(), "{good} were answered, and {bad:?}");
    assert!(client.get("/x").text().starts_with("two GET"));
    assert_eq!(client.get("/greet").text(), "two greets you");

    let without = TARGET.replace("export class Admin", "class Admin");
    refused(
        &deploy(&platform, &project("target", &without, json!([]))),
        "another Worker binds what this version does not export",
    );
    assert_eq!(client.get("/greet").text(), "two greets you");
    platform.stop();
}

#[test]
fn who_is_bound_by_others_is_deleted_by_force_alone_and_may_come_back() {
    let platform = Platform::start();
    deploy(&platform, &target("one")).assert_succeeds();
    deploy(&platform, &caller()).assert_succeeds();
    let path = "/accounts/local/workers/services/target";
    let kept = platform.ask(platform.token(), "DELETE", &format!("{path}?force=false"), "");
    assert_eq!(kept.status, 400, "{kept}");
    assert!(kept.text().contains("\\\"caller\\\" binds this one"), "{kept}");
    let references = "/accounts/local/workers/scripts/target/references";
    let references = platform.ask(platform.token(), "GET", references, "").json();
    let incoming = &references["result"]["services"]["incoming"];
    assert_eq!(incoming[0]["service"], "caller", "{references}");

    platform.wrangler(NEWEST, &target("one"), &["delete", "--force"]).run().assert_succeeds();
    let client = platform.worker("caller");
    assert_eq!(client.get("/x").status, 500, "nobody is there");
    deploy(&platform, &target("new")).assert_succeeds();
    assert_eq!(client.get("/greet").text(), "new greets you");
    platform.stop();
}
