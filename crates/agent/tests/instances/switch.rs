//! What is promised where a Worker's code and its containers switch together: after it no instance of
//! another version runs, and none is started.

use std::time::{Duration, Instant};

use agent::ApplicationRuntime;
use model::limits::SWITCH_GRACE;
use serde_json::json;

use crate::support::{Node, Setup, application, needs_root, soon};

/// The application of the tests' nodes, in another version of it with another command.
fn version(version: u32, command: &[&'static str]) -> ApplicationRuntime {
    let setup = Setup { command: command.to_vec(), ..Setup::default() };
    ApplicationRuntime { version, ..application(&setup) }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_switch_the_instances_of_other_versions_have_ended_and_the_next_start_is_new() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let (runs, created) = (node.client(1), node.client(2));
    let image = || json!({"Image": "test"});
    runs.start().await;
    runs.get("/").await;
    assert_eq!(created.create("", image()).await.status, 201);
    let switch = node.agent.switch_applications(vec![version(1, &["/app", "exit", "6"])]);
    soon("the switch", switch).await.unwrap();
    assert!(node.agent.instances().iter().all(|one| one.state.is_over()));
    assert_eq!(created.on("POST", "", "/start").await.status, 404, "it is gone");
    assert_eq!(runs.exit_code().await, 143, "its object is told");
    assert_eq!(runs.create("", image()).await.status, 201);
    assert_eq!(runs.on("POST", "", "/start").await.status, 204);
    assert_eq!(runs.exit_code().await, 6);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_end_by_itself_is_killed_before_its_grace_is_over() {
    needs_root!();
    let node = Node::running(&["/app", "stubborn"]).await;
    let client = node.client(1);
    client.start().await;
    client.get("/").await;
    let asked = Instant::now();
    // Its grace would be a quarter of an hour.
    let switch = node.agent.switch_applications(vec![version(1, &["/app", "serve"])]);
    soon("the switch", switch).await.unwrap();
    assert!(asked.elapsed() >= SWITCH_GRACE.saturating_sub(Duration::from_secs(1)));
    assert_eq!(client.exit_code().await, 137);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_the_same_version_goes_on() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    client.get("/").await;
    let before = node.agent.instances()[0].instance;
    let switch = node.agent.switch_applications(vec![version(0, &["/app", "exit", "6"])]);
    soon("the switch", switch).await.unwrap();
    assert!(client.get("/").await.contains("path /"));
    assert_eq!(node.agent.instances()[0].instance, before);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_of_a_version_before_a_switch_is_not_started_after_it() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    let switch = node.agent.switch_applications(vec![version(2, &["/app", "serve"])]);
    soon("the switch", switch).await.unwrap();
    // As a call finds it that was on its way while the versions changed.
    node.agent.set_application(version(1, &["/app", "serve"]));
    assert_eq!(client.create("", json!({"Image": "test"})).await.status, 201);
    assert_eq!(client.on("POST", "", "/start").await.status, 404);
    let back = node.agent.switch_applications(vec![version(1, &["/app", "serve"])]);
    soon("the way back", back).await.unwrap();
    assert_eq!(client.on("POST", "", "/start").await.status, 204, "it is what there is now");
    node.end().await;
}
