//! The unmodified `wrangler dev` runs the examples, with Berth's engine and command in Docker's
//! place: the newest Wrangler on the Node it asks for, and the last one for Node 20.

use std::collections::BTreeSet;

use e2e::{Engine, NEWEST, ON_NODE_20, Wrangler, instance_id, until};
use serde_json::{Value, json};
use tungstenite::Message;

/// The getting-started template: by path, at random, a crash, a WebSocket.
fn runs_hello(wrangler: Wrangler) {
    let project = wrangler.example("hello");
    let engine = Engine::start(&project);
    let dev = wrangler.dev(&project, &engine);
    let reply = dev.get("/container/1");
    assert!(reply.text().contains("I was passed in via the container class!"), "{reply}");
    let first = instance_id(&reply);
    assert_eq!(instance_id(&dev.get("/container/1")), first);
    assert_ne!(instance_id(&dev.get("/container/2")), first);
    let spread: BTreeSet<_> = (0..12).map(|_| instance_id(&dev.get("/lb"))).collect();
    assert!((2..=3).contains(&spread.len()), "{spread:?}");
    let mut socket = dev.websocket("/ws");
    assert_eq!(socket.ask("hello"), Message::text("hello"));
    drop(socket);
    let listed = engine.docker(["ps", "--format", "{{.Image}}"]).says();
    assert!(listed.contains("cloudflare-dev/mycontainer:"), "{listed}");
    let name = engine.docker(["ps", "--quiet"]).says();
    let name = name.lines().next().expect("a container");
    let attached = engine.docker(["attach", name]).run();
    attached.assert_fails(1, &["received 501"]);
    assert!(engine.docker(["logs", name]).says().contains("Server listening"), "its log is shown");
    dev.stop();
    until("wrangler's containers are gone", || {
        engine.docker(["ps", "--all", "--quiet"]).says().is_empty().then_some(())
    });
    engine.stop();
}

#[test]
fn the_newest_wrangler_runs_the_hello_example() {
    runs_hello(NEWEST);
}

#[test]
fn the_last_wrangler_for_node_20_runs_the_hello_example() {
    runs_hello(ON_NODE_20);
}

fn runs_websocket(wrangler: Wrangler) {
    let project = wrangler.example("websocket");
    let engine = Engine::start(&project);
    let dev = wrangler.dev(&project, &engine);
    let mut socket = dev.websocket("/");
    assert_eq!(socket.ask("text"), Message::text("text"));
    let big = "x".repeat(100_000);
    assert_eq!(socket.ask(&big), Message::text(big.as_str()));
    drop(socket);
    dev.stop();
    engine.stop();
}

#[test]
fn the_newest_wrangler_runs_the_websocket_example() {
    runs_websocket(NEWEST);
}

#[test]
fn the_last_wrangler_for_node_20_runs_the_websocket_example() {
    runs_websocket(ON_NODE_20);
}

/// `ctx.container` without the class: ports, raw TCP, exec, signals.
fn runs_durable_object(wrangler: Wrangler) {
    let project = wrangler.example("durable-object");
    let engine = Engine::start(&project);
    let dev = wrangler.dev(&project, &engine);
    let status = || -> Value { dev.get("/a/status").json() };
    assert_eq!(dev.get("/a/start?greeting=Ahoy").text(), "started");
    assert_eq!(status()["running"], true);
    until("the port is listened on", || Some(dev.get("/a/port/8080/")).filter(|r| r.status == 200));
    let text = dev.get("/a/port/8080/cgi-bin/greeting").text();
    assert!(text.starts_with("Ahoy, I am "), "{text:?}");
    assert_eq!(dev.post("/a/talk/7000", "raw bytes").text(), "RAW BYTES");
    let command = json!(["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!(
        dev.post("/a/exec", command.to_string()).json(),
        json!({ "exitCode": 3, "stdout": "out\n", "stderr": "err\n" })
    );
    assert_eq!(dev.get("/a/signal/15").text(), "sent");
    until("it no longer runs", || (status()["running"] == false).then_some(()));
    assert_eq!(status()["last"], "exited with code 0");
    dev.stop();
    engine.stop();
}

#[test]
fn the_newest_wrangler_runs_the_durable_object_example() {
    runs_durable_object(NEWEST);
}

/// Variables and secrets of the Worker in a container.
fn runs_env_and_secrets(wrangler: Wrangler) {
    let project = wrangler.example("env-and-secrets");
    project.write(".dev.vars", &project.read(".dev.vars.example"));
    // Wrangler's own store of secrets, on this machine.
    let of_the_store = ["secrets-store", "secret", "create", "demo", "--name", "ACCOUNT_API_KEY"];
    let value = ["--scopes", "workers", "--value", "a secret of the store"];
    wrangler.command(&project, &[&of_the_store[..], &value].concat()).run().assert_succeeds();
    let engine = Engine::start(&project);
    let dev = wrangler.dev(&project, &engine);
    let env: Value = dev.get("/").json();
    assert_eq!(env["ACCOUNT_NAME"], "my-account");
    assert_eq!(env["CONTAINER_SECRET_KEY"], "a secret of the Worker");
    assert_eq!(env["ACCOUNT_API_KEY"], "a secret of the store");
    dev.stop();
    engine.stop();
}

#[test]
fn the_newest_wrangler_runs_the_env_and_secrets_example() {
    runs_env_and_secrets(NEWEST);
}

#[test]
fn the_last_wrangler_for_node_20_runs_the_env_and_secrets_example() {
    runs_env_and_secrets(ON_NODE_20);
}
