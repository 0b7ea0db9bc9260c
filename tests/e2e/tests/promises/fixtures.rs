//! The fixtures themselves: what the other tests stand on.

use std::process::Command;

use e2e::{Client, Footprint, Internet, Registry, until};

#[test]
fn the_registry_serves_base_images_to_who_asks_for_a_token() {
    let registry = Registry::of_base_images();
    let client = Client::new(registry.url().trim_start_matches("http://"));
    assert_eq!(client.get("/v2/library/busybox/manifests/latest").status, 401);
    assert!(client.get("/token?scope=repository:library/busybox:pull").text().contains("token"));
}

#[test]
fn the_stand_in_for_the_internet_answers_at_a_public_address() {
    let internet = Internet::saying("hello from outside");
    let reply = Client::new(internet.address()).get("/");
    assert_eq!(reply.text(), "hello from outside");
}

#[test]
fn a_footprint_sees_what_is_left_and_that_it_is_gone() {
    let folder = tempfile::tempdir().expect("make a folder");
    let mut child = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().expect("run");
    let own = fs_err::read_link("/proc/self/ns/net").expect("a namespace");
    let footprint = until("it has a network of its own", || {
        let network = fs_err::read_link(format!("/proc/{}/ns/net", child.id())).ok()?;
        (network != own).then(|| Footprint::of(child.id(), &[folder.path().to_owned()]))
    });
    fs_err::write(folder.path().join("socket"), "").expect("write a file");
    let left = footprint.left();
    for thing in ["process ", "net:[", "socket"] {
        assert!(left.contains(thing), "{thing:?} is not in {left}");
    }
    child.kill().and_then(|()| child.wait()).expect("end it");
    fs_err::remove_file(folder.path().join("socket")).expect("remove a file");
    footprint.assert_gone();
}
