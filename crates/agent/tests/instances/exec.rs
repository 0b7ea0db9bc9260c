//! Execs as workerd runs them, in an image without a shell.

use crate::support::{Frames, Node, needs_root, soon};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A node and the client of its one running instance.
async fn running() -> (Node, crate::support::Client) {
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start_with(false, json!({"Image": "test", "Env": ["MESSAGE=inherited"]})).await;
    (node, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn output_errors_and_exit_code_arrive_apart() {
    needs_root!();
    let (node, client) = running().await;
    let (frames, code) = client.exec(&["/app", "both"], b"").await;
    assert_eq!(frames, Frames { stdout: "out".to_owned(), stderr: "err".to_owned() });
    assert_eq!(code, 3);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_callers_input_is_the_end_of_the_programs() {
    needs_root!();
    let (node, client) = running().await;
    let input = "line\n".repeat(20_000);
    let id = client.create_exec("aaaa-2", false, &["/app", "cat"]).await;
    let stream = client.start_exec(&id, false).await;
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        write.write_all(input.as_bytes()).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut bytes = Vec::new();
    let reading = async { read.read_to_end(&mut bytes).await.unwrap() };
    soon("cat", async { tokio::join!(writing, reading) }).await;
    // Frame headers are eight bytes each; the payload is all there.
    assert!(bytes.len() >= input.len());
    assert_eq!(client.exec_code(&id).await, 0);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_and_directory_are_inherited_and_overridden() {
    needs_root!();
    let (node, client) = running().await;
    let (frames, code) = client.exec(&["/app", "environment"], b"").await;
    assert_eq!(code, 0);
    for line in ["MESSAGE=inherited", "EXTRA=1", "cwd=/tmp", "CLOUDFLARE_LOCATION=test"] {
        assert!(frames.stdout.lines().any(|have| have == line), "{line} not in {}", frames.stdout);
    }
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workerds_kill_helper_ends_an_exec() {
    needs_root!();
    let (node, client) = running().await;
    let key = "31771b1a-5a89-4a89-aba7-25ef11855263";
    let helper = |signal: &str| {
        format!(
            "[ -s /tmp/.workerd-exec-{key}.pid ] || exit 3; \
             kill -{signal} \"$(cat /tmp/.workerd-exec-{key}.pid)\""
        )
    };
    let early = client.create_plain_exec(false, &["/bin/sh", "-c", &helper("9")]).await;
    let detached = Some(json!({"Detach": true, "Tty": false}));
    let path = |id: &str| format!("/exec/{id}/start");
    assert_eq!(client.call("POST", &path(&early), detached.clone()).await.status, 200);
    assert_eq!(client.exec_code(&early).await, 3, "there is no such exec yet");

    let id = client.create_exec(key, false, &["/app", "sleep"]).await;
    let mut stream = client.start_exec(&id, false).await;
    let state = client.call("GET", &format!("/exec/{id}/json"), None).await.json();
    assert_eq!(state["Running"], true);
    assert!(state["Pid"].as_i64().unwrap() > 0, "{state}");
    let kill = client.create_plain_exec(false, &["/bin/sh", "-c", &helper("9")]).await;
    assert_eq!(client.call("POST", &path(&kill), detached).await.status, 200);
    assert_eq!(client.exec_code(&kill).await, 0);
    let mut rest = Vec::new();
    soon("end of stream", stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(client.exec_code(&id).await, 137);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_raw_and_can_be_resized() {
    needs_root!();
    let (node, client) = running().await;
    let id = client.create_exec("aaaa-3", true, &["/app", "cat"]).await;
    let mut stream = client.start_exec(&id, true).await;
    let resize = format!("/exec/{id}/resize?h=24&w=80");
    assert_eq!(client.call("POST", &resize, None).await.status, 200);
    stream.write_all(b"hi\n").await.unwrap();
    let mut bytes = [0; 4];
    soon("echo", stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"hi\r\n");
    stream.write_all(b"\x04").await.unwrap();
    let mut rest = Vec::new();
    soon("end", stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(client.exec_code(&id).await, 0);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_exits_as_it_would_in_a_shell() {
    needs_root!();
    let (node, client) = running().await;
    let (frames, code) = client.exec(&["nope"], b"").await;
    assert_eq!(code, 127);
    assert!(frames.stderr.contains("nope"), "{frames:?}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_slow_slows_the_program_and_not_the_agent() {
    needs_root!();
    let (node, client) = running().await;
    let id = client.create_exec("aaaa-4", false, &["/app", "flood"]).await;
    let mut stream = client.start_exec(&id, false).await;
    let mut some = [0; 4096];
    stream.read_exact(&mut some).await.unwrap();
    // The flood stands still now; everything else goes on.
    assert_eq!(client.exec(&["/app", "both"], b"").await.1, 3);
    drop(stream);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_executed_where_nothing_runs() {
    needs_root!();
    let node = Node::running(&["/app", "exit", "0"]).await;
    let client = node.client(1);
    client.start().await;
    assert_eq!(client.exit_code().await, 0);
    let path = format!("/containers/{}/exec", client.name);
    let reply = client.call("POST", &path, Some(json!({"Cmd": ["x"]}))).await;
    assert_eq!(reply.status, 409, "{reply:?}");
    assert_eq!(client.call("GET", "/exec/none/json", None).await.status, 404);
    node.end().await;
}
