//! What workerd is promised about the life of a container, against real sandboxes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::{Node, Setup, event, needs_root, soon};
use agent::{AgentEvent, StartRate};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_in_workerds_order_ends_in_an_answering_program() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let volumes = "/volumes?filters=%7B%22name%22%3A%5B%22workerd-snap-%22%5D%7D";
    let client = node.client(1);
    assert_eq!(client.call("GET", volumes, None).await.json()["Volumes"], json!([]));
    client.start_with(false, json!({"Image": "test:latest", "Env": ["MESSAGE=hi"]})).await;
    let answer = client.get("/x").await;
    assert!(answer.contains("path /x message hi object 0101"), "{answer}");
    let inspected = client.on("GET", "", "/json").await.json();
    assert_eq!(inspected["State"]["Status"], "running");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_object_has_the_same_instance_and_another_has_another() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let (one, two) = (node.client(1), node.client(2));
    one.start().await;
    two.start().await;
    assert!(one.get("/").await.contains("object 0101"));
    assert!(two.get("/").await.contains("object 0202"));
    assert_eq!(node.agent.instances().len(), 2);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_is_held_until_the_port_listens() {
    needs_root!();
    let node = Node::running(&["/app", "serve", "8080", "300"]).await;
    let client = node.client(1);
    client.start().await;
    let asked = Instant::now();
    let mut tunnel = client.connect(8080).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(200), "{:?}", asked.elapsed());
    assert!(tunnel.get("/").await.contains("path /"));
    assert!(tunnel.get("/again").await.contains("path /again"));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_never_listens_is_told_in_both_wordings_before_the_ping_times_out() {
    needs_root!();
    let node = Node::running(&["/app", "sleep"]).await;
    let mut events = node.agent.events();
    let client = node.client(1);
    client.start().await;
    let asked = Instant::now();
    let reply = client.connect(8080).await.unwrap_err();
    assert_eq!(reply.status, 502, "of a 400 the class would not see the text");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(reply.text.contains("Container is not listening to port 8080"), "{reply:?}");
    assert!(reply.text.contains("the container is not listening"), "{reply:?}");
    let wanted = |event| match event {
        AgentEvent::NotListening { port, .. } => Some(port),
        _ => None,
    };
    assert_eq!(event(&mut events, "port event", wanted).await, 8080);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_probe_of_a_portless_job_is_answered_at_once() {
    needs_root!();
    let node = Node::running(&["/app", "sleep"]).await;
    let client = node.client(1);
    client.start().await;
    let asked = Instant::now();
    assert_eq!(client.connect(33).await.unwrap_err().status, 502);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_is_told_with_its_code_and_last_lines_and_ends_the_holding() {
    needs_root!();
    let node = Node::running(&["/app", "exit", "42"]).await;
    let mut events = node.agent.events();
    let client = node.client(1);
    client.start().await;
    let asked = Instant::now();
    assert_eq!(client.exit_code().await, 42);
    assert_eq!(client.connect(8080).await.unwrap_err().status, 400);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let wanted = |event| match event {
        AgentEvent::Exited { status, expected, last_lines, .. } => {
            Some((status.code, expected, last_lines))
        }
        _ => None,
    };
    let (code, expected, lines) = event(&mut events, "exit", wanted).await;
    assert_eq!((code, expected), (42, false));
    assert!(lines.contains(&"going to exit".to_owned()), "{lines:?}");
    assert!(lines.contains(&"with 42".to_owned()), "{lines:?}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_while_serving_is_told_and_the_name_starts_again_without_a_delete() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.exit_code().await }
    });
    let mut tunnel = client.connect(8080).await.unwrap();
    use tokio::io::AsyncWriteExt as _;
    tunnel.0.write_all(b"GET /exit/9 HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(soon("wait", waiting).await.unwrap(), 9);
    assert_eq!(client.on("GET", "", "/json").await.json()["State"]["Status"], "exited");
    let again = client.create("", json!({"Image": "test"})).await;
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(client.on("POST", "", "/start").await.status, 204);
    assert!(client.get("/").await.contains("path /"));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_program_with_143() {
    needs_root!();
    let node = Node::running(&["/app", "sleep"]).await;
    let client = node.client(1);
    client.start().await;
    assert_eq!(client.on("POST", "", "/kill?signal=SIGTERM").await.status, 204);
    assert_eq!(client.exit_code().await, 143);
    assert_eq!(client.on("POST", "", "/kill?signal=SIGTERM").await.status, 409);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_sigterm_does_not_outlive_its_grace() {
    needs_root!();
    let node = Node::start(Setup {
        command: vec!["/app", "stubborn"],
        stop_grace: Duration::from_millis(600),
        ..Setup::default()
    })
    .await;
    let client = node.client(1);
    client.start().await;
    client.get("/").await;
    let asked = Instant::now();
    assert_eq!(client.on("POST", "", "/kill?signal=SIGTERM").await.status, 204);
    assert_eq!(client.exit_code().await, 137);
    assert!(asked.elapsed() >= Duration::from_millis(590), "{:?}", asked.elapsed());
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_kills_answers_the_waiters_and_leaves_nothing() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    client.get("/").await;
    // Whether the waiter comes before the delete cannot be seen from here; 404 says that it did not.
    let waited = loop {
        let waiting = tokio::spawn({
            let client = client.clone();
            async move { client.wait().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(client.on("DELETE", "", "?force=true").await.status, 204);
        let waited = soon("wait", waiting).await.unwrap();
        if waited.status != 404 {
            break waited;
        }
        assert_eq!(client.create("", json!({"Image": "test"})).await.status, 201);
        assert_eq!(client.on("POST", "", "/start").await.status, 204);
    };
    assert_eq!(waited.json()["StatusCode"], 137, "{waited:?}");
    assert_eq!(client.on("POST", "", "/wait?condition=removed").await.status, 404);
    assert_eq!(client.on("GET", "", "/json").await.status, 404);
    assert_eq!(client.on("DELETE", "-proxy", "?force=true").await.status, 204);
    assert_eq!(client.on("GET", "-proxy", "/json").await.status, 404);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_name_cannot_be_created_again() {
    needs_root!();
    let node = Node::running(&["/app", "sleep"]).await;
    let client = node.client(1);
    client.start().await;
    assert_eq!(client.create("", json!({"Image": "test"})).await.status, 409);
    assert_eq!(client.on("POST", "", "/start").await.status, 304);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_too_many_is_told_so_by_wait_and_never_looks_like_a_silent_port() {
    needs_root!();
    let setup = Setup { max_instances: 1, ..Setup::default() };
    let node = Node::start(setup).await;
    let (one, two) = (node.client(1), node.client(2));
    one.start().await;
    two.start().await;
    let connect = two.connect(8080).await.unwrap_err();
    assert_eq!(connect.status, 503, "{connect:?}");
    let wait = two.wait().await;
    assert_eq!(wait.status, 503);
    assert!(wait.text.contains(model::messages::NO_INSTANCE), "{wait:?}");
    assert!(wait.text.contains(model::messages::MAX_INSTANCES), "{wait:?}");
    assert_eq!(one.on("DELETE", "", "?force=true").await.status, 204);
    assert_eq!(two.create("", json!({"Image": "test"})).await.status, 201);
    assert_eq!(two.on("POST", "", "/start").await.status, 204);
    assert!(two.get("/").await.contains("object 0202"));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_come_too_fast_are_told_so_by_wait() {
    needs_root!();
    let start_rate = StartRate { per_second: 0.001, burst: 1 };
    let node = Node::start(Setup { start_rate, ..Setup::default() }).await;
    node.client(1).start().await;
    let late = node.client(2);
    late.start().await;
    let wait = late.wait().await;
    assert_eq!(wait.status, 503);
    assert!(wait.text.contains(model::messages::TOO_MANY_STARTS), "{wait:?}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_is_named_by_wait_and_by_an_event() {
    needs_root!();
    let node = Node::running(&["/no/such/program"]).await;
    let mut events = node.agent.events();
    let client = node.client(1);
    client.start().await;
    assert_eq!(client.connect(8080).await.unwrap_err().status, 503);
    let wait = client.wait().await;
    assert_eq!(wait.status, 500);
    assert!(wait.text.contains("/no/such/program"), "{wait:?}");
    let wanted = |event| match event {
        AgentEvent::StartFailed { reason, .. } => Some(reason),
        _ => None,
    };
    let reason = event(&mut events, "failure", wanted).await;
    assert!(reason.contains("/no/such/program"), "{reason}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_a_command_says_so() {
    needs_root!();
    let node = Node::running(&[]).await;
    let client = node.client(1);
    client.start().await;
    assert!(client.wait().await.text.contains("neither ENTRYPOINT nor CMD"));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_no_such_image() {
    needs_root!();
    let node = Node::start(Setup { has_image: false, ..Setup::default() }).await;
    let reply = node.client(1).prepare(false, json!({"Image": "test"})).await;
    assert_eq!(reply.status, 404);
    assert!(reply.text.contains("No such image"), "{reply:?}");
    let other = node.client(2).prepare(false, json!({"Image": "other"})).await;
    assert_eq!(other.status, 404);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_no_application_is_refused() {
    needs_root!();
    let node = Node::running(&["/app", "sleep"]).await;
    let mut client = node.client(1);
    client.name = client.name.replace("MyContainer", "Other");
    assert_eq!(client.on("GET", "", "/json").await.status, 404);
    assert_eq!(client.create("", json!({"Image": "test"})).await.status, 404);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_image_platform_and_caller_in_that_order() {
    needs_root!();
    let node = Node::start(Setup {
        command: vec!["environment"],
        entrypoint: vec!["/app"],
        env: vec!["FROM_IMAGE=1", "BOTH=image"],
        ..Setup::default()
    })
    .await;
    let mut events = node.agent.events();
    let client = node.client(7);
    let env = json!(["BOTH=caller", "CLOUDFLARE_LOCATION=loc01", "CLOUDFLARE_REGION=mine"]);
    client.start_with(false, json!({"Image": "test", "Env": env})).await;
    assert_eq!(client.exit_code().await, 0);
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.starts_with("cwd=")) {
        let wanted = |event| match event {
            AgentEvent::Output { line, .. } => Some(line),
            _ => None,
        };
        lines.push(event(&mut events, "output", wanted).await);
    }
    let object = format!("CLOUDFLARE_DURABLE_OBJECT_ID={}", "07".repeat(32));
    for wanted in [
        "FROM_IMAGE=1",
        "BOTH=caller",
        "CLOUDFLARE_LOCATION=test",
        "CLOUDFLARE_REGION=mine",
        "CLOUDFLARE_COUNTRY_A2=DE",
        "CLOUDFLARE_APPLICATION_ID=application-id",
        "CLOUDFLARE_NODE_ID=node-1",
        &object,
        "cwd=/",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in {lines:#?}");
    }
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_command_follows_the_images_entrypoint() {
    needs_root!();
    let setup = Setup { entrypoint: vec!["/app"], command: vec!["sleep"], ..Setup::default() };
    let node = Node::start(setup).await;
    let client = node.client(1);
    client.start_with(false, json!({"Image": "test", "Cmd": ["exit", "5"]})).await;
    assert_eq!(client.exit_code().await, 5);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_cold_starts_at_once_all_succeed() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let mut starts = tokio::task::JoinSet::new();
    for object in 0..40 {
        let client = node.client(object);
        starts.spawn(async move {
            client.start().await;
            client.get("/").await
        });
    }
    let answers = soon("forty starts", starts.join_all()).await;
    assert!(answers.iter().all(|answer| answer.contains("path /")));
    assert_eq!(node.agent.instances().len(), 40);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_and_never_created_is_given_back() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    assert_eq!(node.client(1).on("GET", "", "/json").await.status, 404);
    assert!(node.agent.instances().is_empty(), "a prepared sandbox is no instance");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_image_stops_the_instances_and_the_next_start_uses_it() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    client.get("/").await;
    let image =
        crate::support::image(&Setup { command: vec!["/app", "exit", "6"], ..Setup::default() });
    let grace = Duration::from_secs(5);
    let restart =
        node.agent.restart_application("app-MyContainer", Some(image), BTreeMap::new(), grace);
    soon("restart", restart).await.unwrap();
    assert_eq!(client.exit_code().await, 143);
    assert_eq!(client.create("", json!({"Image": "test"})).await.status, 201);
    assert_eq!(client.on("POST", "", "/start").await.status, 204);
    assert_eq!(client.exit_code().await, 6);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_kept_in_files_and_a_flood_blocks_nobody() {
    needs_root!();
    let node = Node::running(&["/app", "flood"]).await;
    let mut events = node.agent.events();
    let client = node.client(1);
    client.start().await;
    let skipped = |event| match event {
        AgentEvent::OutputSkipped { lines, .. } => Some(lines),
        _ => None,
    };
    assert!(event(&mut events, "skipped lines", skipped).await > 0);
    assert_eq!(client.on("POST", "", "/kill?signal=SIGTERM").await.status, 204);
    assert_eq!(client.exit_code().await, 143);
    let files = crate::support::files_below(&node.path("agent/instances"));
    assert!(files.iter().any(|file| file.ends_with("log")), "{files:?}");
    let most = model::limits::LOG_FILE_BYTES + 64 * 1024;
    for file in &files {
        assert!(fs_err::metadata(file).unwrap().len() <= most, "{}", file.display());
    }
    assert!(files.len() <= 3, "{files:?}");
    assert_eq!(client.on("DELETE", "", "?force=true").await.status, 204);
    assert_eq!(crate::support::files_below(&node.path("agent/instances")).len(), 0);
    node.end().await;
}
