//! Files go into and out of a container as tar archives.

use serde_json::json;

use crate::support::{Node, Setup, needs_root};

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

const CERTIFICATE: &str = "cloudflare/certs/cloudflare-containers-ca.crt";

#[tokio::test(flavor = "multi_thread")]
async fn files_put_before_the_start_are_there_once_it_runs() {
    needs_root!();
    let node = Node::start(Setup::default()).await;
    let client = node.client(1);
    let path = format!("/etc/{CERTIFICATE}");
    assert_eq!(client.prepare(false, json!({"Image": "test"})).await.status, 201);
    let put = client.put_archive("%2Fetc", &archive(&[(CERTIFICATE, "PEM")])).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(client.on("POST", "", "/start").await.status, 204);
    assert_eq!(client.run(&["/app", "read", &path]).await, "PEM");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_put_into_a_running_container_are_seen_at_once() {
    needs_root!();
    let node = Node::start(Setup::default()).await;
    let client = node.client(1);
    client.start().await;
    let put = client.put_archive("%2Fnew%2Fplace", &archive(&[("a/b", "here")])).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(client.run(&["/app", "read", "/new/place/a/b"]).await, "here");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_comes_out_with_what_is_in_it() {
    needs_root!();
    let node = Node::start(Setup::default()).await;
    let client = node.client(1);
    client.start().await;
    client.run(&["/app", "write", "/data/x/one", "first"]).await;
    client.run(&["/app", "write", "/data/two", "second"]).await;
    let reply = client.on("GET", "", "/archive?path=%2Fdata%2F.").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut archive = tar::Archive::new(reply.bytes.as_slice());
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let paths: Vec<String> =
        entries.map(|entry| entry.path().unwrap().display().to_string()).collect();
    assert_eq!(paths, ["./", "two", "x", "x/one"]);
    assert_eq!(client.on("GET", "", "/archive?path=%2Fnone%2F.").await.status, 404);
    assert_eq!(client.get("/").await.split(' ').next(), Some("pid"), "it goes on");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_shows_in_proc_is_no_part_of_a_container() {
    needs_root!();
    let node = Node::start(Setup::default()).await;
    let client = node.client(1);
    client.start().await;
    let reply = client.on("GET", "", "/archive?path=%2Fproc%2F.").await;
    assert_eq!(reply.status, 500, "{reply:?}");
    let put = client.put_archive("%2Fproc%2Fsys%2Fkernel", &archive(&[("hostname", "x")])).await;
    assert_eq!(put.status, 400, "{put:?}");
    let all = client.on("GET", "", "/archive?path=%2F.").await;
    let mut archive = tar::Archive::new(all.bytes.as_slice());
    let entries =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
    let below = entries.filter(|path| path.starts_with("proc")).count();
    assert_eq!(below, 1, "the mount point alone");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_none_is_refused_and_the_container_goes_on() {
    needs_root!();
    let node = Node::start(Setup::default()).await;
    let client = node.client(1);
    client.start().await;
    let put = client.put_archive("%2Fetc", &[b'x'; 2000]).await;
    assert_eq!(put.status, 400, "{put:?}");
    let out = client.put_archive("%2Fetc", &archive(&[("link", "x")])).await;
    assert_eq!(out.status, 200);
    assert!(client.get("/").await.starts_with("pid"));
    node.end().await;
}
