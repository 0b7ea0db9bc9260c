//! Snapshots through the calls that workerd makes for them: commit, volumes, helpers, images.

use serde_json::{Value, json};

use crate::support::{Client, Node, Setup, needs_root};

const HELPER: &str = "/containers/create";

/// `snapshotContainer()`.
async fn snapshot_container(client: &Client, id: &str) -> Value {
    let image = format!("workerd-container-snap-{id}");
    let path = format!("/commit?container={}&pause=true&repo={image}", client.name);
    let committed = client.call("POST", &path, None).await;
    assert_eq!(committed.status, 201, "{committed:?}");
    let inspected = client.call("GET", &format!("/images/{image}/json"), None).await;
    assert_eq!(inspected.status, 200, "{inspected:?}");
    inspected.json()
}

/// `start({containerSnapshot})`.
async fn start_from(client: &Client, id: &str) {
    let image = format!("workerd-container-snap-{id}");
    client.start_with(false, json!({"Image": image})).await;
}

/// `snapshotDirectory()`.
async fn snapshot_directory(client: &Client, dir: &str, id: &str) {
    let path = format!("/archive?path={}%2F.", dir.replace('/', "%2F"));
    let archive = client.on("GET", "", &path).await;
    assert_eq!(archive.status, 200, "{archive:?}");
    let volume = format!("workerd-snap-{id}");
    let labels = json!({"dev.workerd.snapshot-created-at": "1795295543"});
    let body = json!({"Name": volume, "Labels": labels});
    assert_eq!(client.call("POST", "/volumes/create", Some(body)).await.status, 201);
    let body = json!({"Image": "egress", "HostConfig": {"Binds": [format!("{volume}:/mnt")]}});
    let helper = client.call("POST", HELPER, Some(body)).await;
    let helper = helper.json()["Id"].as_str().unwrap().to_owned();
    let filled = client.put_archive_into(&helper, "/mnt", &archive.bytes).await;
    assert_eq!(filled.status, 200, "{filled:?}");
    let path = format!("/containers/{helper}?force=true");
    assert_eq!(client.call("DELETE", &path, None).await.status, 204);
}

/// The copy that `start({directorySnapshots})` makes; `None` when the snapshot cannot be had.
async fn clone(client: &Client, id: &str) -> Option<String> {
    let source = format!("workerd-snap-{id}");
    if client.call("GET", &format!("/volumes/{source}"), None).await.status != 200 {
        return None;
    }
    let copy = format!("workerd-snap-clone-{id}-{}", &client.name[client.name.len() - 2..]);
    let body = json!({"Name": copy});
    assert_eq!(client.call("POST", "/volumes/create", Some(body)).await.status, 201);
    let binds = json!([format!("{source}:/src:ro"), format!("{copy}:/dst")]);
    let body = json!({"Image": "egress", "Entrypoint": ["/bin/cp"],
        "Cmd": ["-a", "/src/.", "/dst/"], "HostConfig": {"Binds": binds}});
    let helper = client.call("POST", HELPER, Some(body)).await;
    let helper = helper.json()["Id"].as_str().unwrap().to_owned();
    let call = |method: &'static str, rest: &str| {
        let path = format!("/containers/{helper}{rest}");
        async move { client.call(method, &path, None).await }
    };
    assert_eq!(call("POST", "/start").await.status, 204);
    let ended = call("POST", "/wait?condition=not-running").await.json();
    assert_eq!(call("DELETE", "?force=true").await.status, 204);
    (ended["StatusCode"] == 0).then_some(copy)
}

async fn start_with_directory(client: &Client, id: &str, mount_point: &str) {
    let copy = clone(client, id).await.unwrap();
    let mount = json!({"Type": "volume", "Source": copy, "Target": mount_point,
        "VolumeOptions": {"NoCopy": true}});
    let body = json!({"Image": "test", "HostConfig": {"Mounts": [mount]}});
    client.start_with(false, body).await;
}

async fn write(client: &Client, path: &str, text: &str) {
    client.run(&["/app", "write", path, text]).await;
}

async fn read(client: &Client, path: &str) -> String {
    client.run(&["/app", "read", path]).await
}

/// A node whose image the store has, as every real one.
async fn node() -> Node {
    Node::start(Setup { stored: true, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_restored_in_another_object_and_both_go_their_own_ways() {
    needs_root!();
    let node = node().await;
    let (first, second) = (node.client(1), node.client(2));
    first.start().await;
    write(&first, "/work/file", "before").await;
    first.run(&["/app", "remove", "/file-of-the-image"]).await;
    let image = snapshot_container(&first, "s1").await;
    assert!(image["Size"].as_u64().unwrap() > 0 && image["Parent"] != "", "{image}");
    assert!(first.get("/").await.starts_with("pid"), "it goes on");
    write(&first, "/work/file", "after").await;

    start_from(&second, "s1").await;
    assert_eq!(read(&second, "/work/file").await, "before");
    assert_eq!(read(&second, "/file-of-the-image").await, "NotFound");
    write(&second, "/work/file", "second").await;
    assert_eq!(read(&first, "/work/file").await, "after");

    // A snapshot of what was restored holds both.
    write(&second, "/work/more", "more").await;
    snapshot_container(&second, "s2").await;
    let third = node.client(3);
    start_from(&third, "s2").await;
    assert_eq!(read(&third, "/work/file").await, "second");
    assert_eq!(read(&third, "/work/more").await, "more");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_restored_at_any_mount_point_for_each_alone() {
    needs_root!();
    let node = node().await;
    let (first, second, third) = (node.client(1), node.client(2), node.client(3));
    first.start().await;
    write(&first, "/data/deep/file", "kept").await;
    snapshot_directory(&first, "/data", "d1").await;
    write(&first, "/data/deep/file", "later").await;

    start_with_directory(&second, "d1", "/var/restored").await;
    start_with_directory(&third, "d1", "/data").await;
    assert_eq!(read(&second, "/var/restored/deep/file").await, "kept");
    assert_eq!(read(&third, "/data/deep/file").await, "kept");
    write(&second, "/var/restored/deep/file", "changed").await;
    assert_eq!(read(&third, "/data/deep/file").await, "kept");
    let fourth = node.client(4);
    start_with_directory(&fourth, "d1", "/data").await;
    assert_eq!(read(&fourth, "/data/deep/file").await, "kept", "a snapshot never changes");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mounted_directories_are_no_part_of_a_containers_snapshot() {
    needs_root!();
    let node = node().await;
    let (first, second, third) = (node.client(1), node.client(2), node.client(3));
    first.start().await;
    write(&first, "/data/file", "of the directory").await;
    snapshot_directory(&first, "/data", "d1").await;
    start_with_directory(&second, "d1", "/mounted/here").await;
    write(&second, "/mounted/here/new", "lost").await;
    write(&second, "/mounted/beside", "kept").await;
    snapshot_container(&second, "s1").await;
    start_from(&third, "s1").await;
    assert_eq!(read(&third, "/mounted/beside").await, "kept");
    assert_eq!(read(&third, "/mounted/here/new").await, "NotFound");
    assert_eq!(read(&third, "/mounted/here/file").await, "NotFound");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_snapshot_outlives_the_agent_and_can_be_snapshot_again() {
    needs_root!();
    let node = node().await;
    let first = node.client(1);
    first.start().await;
    write(&first, "/work/file", "one").await;
    snapshot_container(&first, "s1").await;
    let second = node.client(2);
    start_from(&second, "s1").await;
    write(&second, "/work/second", "two").await;

    let node = node.restart(|_| {}).await;
    let second = node.client(2);
    assert_eq!(second.on("GET", "", "/json").await.status, 200, "it is still there");
    assert_eq!(read(&second, "/work/second").await, "two");
    snapshot_container(&second, "s2").await;
    let third = node.client(3);
    start_from(&third, "s2").await;
    assert_eq!(read(&third, "/work/file").await + &read(&third, "/work/second").await, "onetwo");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_so_and_the_engine_goes_on() {
    needs_root!();
    let node = node().await;
    let client = node.client(1);
    client.start().await;
    for (method, path, status) in [
        ("GET", "/volumes/workerd-snap-none", 404),
        ("DELETE", "/volumes/workerd-snap-clone-none", 404),
        ("GET", "/images/workerd-container-snap-none/json", 404),
        ("DELETE", "/images/workerd-container-snap-none?noprune=true", 404),
        ("POST", "/commit?container=nobody&repo=x", 404),
        ("POST", "/containers/create", 501),
    ] {
        let reply = client.call(method, path, None).await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
    }
    let path = format!("/commit?container={}&repo=mine", client.name);
    assert_eq!(client.call("POST", &path, None).await.status, 400);
    let other = node.client(2);
    for body in [
        json!({"Image": "workerd-container-snap-none"}),
        json!({"Image": "test", "HostConfig": {"Mounts": [{"Source": "x", "Target": "/x"}]}}),
    ] {
        assert_eq!(other.create("", body).await.status, 404);
    }
    let bind = json!({"Image": "test", "HostConfig": {"Binds": ["/etc:/host"]}});
    assert_eq!(other.create("", bind).await.status, 501);
    assert_eq!(clone(&client, "none").await, None);
    assert!(client.get("/").await.starts_with("pid"));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_listed_and_removed_by_workerds_calls_too() {
    needs_root!();
    let node = node().await;
    let client = node.client(1);
    client.start().await;
    write(&client, "/data/file", "x").await;
    snapshot_directory(&client, "/data", "d1").await;
    let volumes = client.call("GET", "/volumes?filters=x", None).await.json();
    let names: Vec<&str> = volumes["Volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["Name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["workerd-snap-d1"]);
    assert_eq!(client.call("DELETE", "/volumes/workerd-snap-d1", None).await.status, 204);
    assert_eq!(client.call("GET", "/volumes/workerd-snap-d1", None).await.status, 404);
    snapshot_container(&client, "s1").await;
    let image = "/images/workerd-container-snap-s1";
    assert_eq!(client.call("DELETE", &format!("{image}?noprune=true"), None).await.status, 200);
    assert_eq!(client.call("GET", &format!("{image}/json"), None).await.status, 404);
    node.end().await;
}
