//! The getting-started template (features R2, R3): containers by path, at random and as a singleton.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::{Dev, Process, Project, instance_id};
use tungstenite::Message;

#[test]
fn r2_the_same_path_reaches_the_same_instance_and_another_path_another() {
    let dev = Dev::start(&Project::example("hello"));
    let reply = dev.get("/container/1");
    let greeting =
        "Hi, I'm a container and this is my message: \"I was passed in via the container class!\"";
    assert!(reply.text().starts_with(greeting), "{reply}");

    let first = instance_id(&reply);
    assert_eq!(instance_id(&dev.get("/container/1")), first);
    assert_ne!(instance_id(&dev.get("/container/2")), first);
    assert_eq!(Process::of_instance(&first).len(), 1, "one real process answers");
    dev.stop();
}

#[test]
fn r2_e5_load_balancing_reaches_at_most_three_instances() {
    let dev = Dev::start(&Project::example("hello"));
    let ids: BTreeSet<_> = (0..20).map(|_| instance_id(&dev.get("/lb"))).collect();
    assert!((2..=3).contains(&ids.len()), "{ids:?}");
    dev.stop();
}

#[test]
fn a11_without_a_name_there_is_one_singleton() {
    let dev = Dev::start(&Project::example("hello"));
    let id = instance_id(&dev.get("/singleton"));
    assert_eq!(instance_id(&dev.get("/singleton")), id);
    dev.stop();
}

#[test]
fn r2_hooks_log_to_the_terminal() {
    let project = Project::example("hello");
    project.replace("src/index.ts", "\"10s\"", "\"2s\"");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/container/1").status, 200);
    dev.wait_for_line("Container successfully started");
    dev.wait_for_line("Container successfully shut down");
    dev.wait_for_line("Server listening on :8080");
    dev.stop();
}

#[test]
fn r3_the_first_request_to_a_new_path_is_slower_than_the_next_ones() {
    let dev = Dev::start(&Project::example("hello"));
    let timed = || {
        let begin = Instant::now();
        assert_eq!(dev.get("/container/1").status, 200);
        begin.elapsed()
    };
    let first = timed();
    let next = (0..5).map(|_| timed()).min().unwrap_or(Duration::MAX);
    assert!(next < first, "first {first:?}, fastest of the next {next:?}");
    dev.stop();
}

#[test]
fn r2_a_container_that_crashes_answers_500_and_a_fresh_one_follows() {
    let dev = Dev::start(&Project::example("hello"));
    let reply = dev.get("/error");
    assert_eq!(reply.status, 500, "{reply}");
    assert!(reply.text().contains("Container suddenly disconnected"), "{reply}");
    dev.wait_for_line("This is a panic");
    dev.stop();
}

#[test]
fn a17_a_websocket_reaches_the_container_and_echoes() {
    let dev = Dev::start(&Project::example("hello"));
    let mut socket = dev.websocket("/ws");
    assert_eq!(socket.ask("hello"), Message::text("hello"));
    let big = "x".repeat(100_000);
    assert_eq!(socket.ask(&big), Message::text(big.as_str()));
    let closed = socket.close(1000, "done").expect("the close has a code");
    assert_eq!(u16::from(closed.code), 1000);
    dev.stop();
}

#[test]
fn a3_every_request_passes_through_the_worker() {
    let dev = Dev::start(&Project::example("hello"));
    let usage = dev.get("/");
    assert!(usage.text().starts_with("Available endpoints:"), "{usage}");
    assert_eq!(dev.get("/elsewhere").status, 404);
    dev.wait_for_line("GET /elsewhere 404");
    dev.stop();
}
