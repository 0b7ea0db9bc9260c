//! Instances outlive workerd processes and agents; what nobody wants is gone.

use std::time::Duration;

use crate::support::{Node, Setup, event, needs_root, soon};
use agent::AgentEvent;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_process_detaches_and_the_next_one_adopts() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    let before = client.get("/").await;
    node.socket.drain();
    assert_eq!(client.on("DELETE", "", "?force=true").await.status, 204);
    assert_eq!(client.on("POST", "", "/wait?condition=removed").await.status, 404);
    assert_eq!(client.on("DELETE", "-proxy", "?force=true").await.status, 204);
    assert_eq!(node.agent.instances()[0].state.to_string(), "detached");

    let next = node.agent.engine_socket("next").unwrap();
    let client = crate::support::Client::new(next.path().to_owned(), 1);
    assert_eq!(client.on("GET", "", "/json").await.json()["State"]["Status"], "running");
    assert_eq!(node.agent.instances()[0].state.to_string(), "running");
    assert_eq!(client.get("/").await, before);
    drop(next);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_finds_the_same_program_running() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    let (before, pid) = (client.get("/").await, node.agent.instances()[0].pid);

    let node = node.restart(|_| {}).await;
    let client = node.client(1);
    assert_eq!(client.on("GET", "", "/json").await.json()["State"]["Status"], "running");
    assert_eq!(node.agent.instances()[0].pid, pid);
    assert_eq!(client.get("/").await, before);
    let (frames, code) = client.exec(&["/app", "both"], b"").await;
    assert_eq!((frames.stdout.as_str(), code), ("out", 3));
    assert_eq!(client.on("POST", "", "/kill?signal=SIGTERM").await.status, 204);
    assert_eq!(client.exit_code().await, 143);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_deadline_survives_a_restart_of_the_agent() {
    needs_root!();
    let node = Node::start(Setup {
        command: vec!["/app", "stubborn"],
        stop_grace: Duration::from_secs(2),
        ..Setup::default()
    })
    .await;
    let client = node.client(1);
    client.start().await;
    client.get("/").await;
    assert_eq!(client.on("POST", "", "/kill?signal=SIGTERM").await.status, 204);
    let node = node.restart(|setup| setup.stop_grace = Duration::from_secs(900)).await;
    assert_eq!(node.client(1).exit_code().await, 137);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_that_no_agent_saw_is_told_by_the_next_one() {
    needs_root!();
    let node = Node::running(&["/app", "serve", "8080", "0"]).await;
    let client = node.client(1);
    client.start().await;
    client.get("/").await;
    let pid = node.agent.instances()[0].pid.unwrap();
    let node = node
        .restart(|_| {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            // Its process is gone when its directory is.
            let gone = format!("/proc/{}", pid.as_raw_nonzero());
            let started = std::time::Instant::now();
            while std::path::Path::new(&gone).exists() {
                assert!(started.elapsed() < crate::support::PATIENCE);
                std::thread::yield_now();
            }
        })
        .await;
    let mut events = node.agent.events();
    let wanted = |event| match event {
        AgentEvent::Exited { status, .. } => Some(status.code),
        _ => None,
    };
    assert_eq!(event(&mut events, "exit", wanted).await, 137);
    drop(events);
    // Its object was away too: for it the program is still to end, also after another restart.
    let node = node.restart(|_| {}).await;
    let client = node.client(1);
    assert_eq!(client.on("GET", "", "/json").await.json()["State"]["Status"], "running");
    assert_eq!(client.exit_code().await, 137);
    assert_eq!(client.on("GET", "", "/json").await.json()["State"]["Status"], "exited");
    let node = node.restart(|_| {}).await;
    assert_eq!(node.client(1).on("GET", "", "/json").await.status, 404, "it was told once");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_another_image_is_not_adopted_but_removed() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    node.client(1).start().await;
    let node = node.restart(|setup| setup.command = vec!["/app", "sleep"]).await;
    assert!(node.agent.instances().is_empty());
    assert_eq!(node.client(1).on("GET", "", "/json").await.status, 404);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_instance_counts_against_max_instances() {
    needs_root!();
    let node = Node::start(Setup { max_instances: 1, ..Setup::default() }).await;
    node.client(1).start().await;
    let node = node.restart(|_| {}).await;
    let second = node.client(2);
    second.start().await;
    assert_eq!(second.wait().await.status, 503);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_the_name_makes_no_second_instance() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    let mut other = client.clone();
    other.name = client.name.replace("workerd-", "workerd-sess1-");
    assert_eq!(other.on("GET", "", "/json").await.json()["State"]["Status"], "running");
    assert_eq!(other.create("", json!({"Image": "test"})).await.status, 409);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_files_hold_the_environment_and_are_for_their_owner_alone() {
    needs_root!();
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::running(&["/app", "sleep"]).await;
    let client = node.client(1);
    client.start_with(false, json!({"Image": "test", "Env": ["SECRET=x"]})).await;
    for file in crate::support::files_below(&node.path("agent")) {
        let mode = fs_err::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", file.display());
    }
    let port = client.port().await;
    soon("other user", another_user_is_refused(port)).await;
    node.end().await;
}

/// A process of another user that connects to an instance's port reads the end at once.
async fn another_user_is_refused(port: u16) {
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; \
         printf 'GET /ca HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; cat <&3"
    );
    let mut command = tokio::process::Command::new("/bin/bash");
    command.args(["-c", &script]).uid(65_534).gid(65_534);
    let output = command.output().await.unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}
