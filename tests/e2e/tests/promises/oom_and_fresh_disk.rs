//! Out of memory, and a fresh disk at each start (features R18, D5, D9, D10).

use e2e::{Dev, Project, user};
use serde_json::json;

fn instance(dev: &Dev) -> String {
    dev.get("/one/who").json()["instance"].as_str().expect("an ID").to_owned()
}

#[test]
fn r18_d9_d10_a_container_out_of_memory_ends_and_is_started_again() {
    // lite has 256 MiB and no swap.
    let dev = Dev::start(&Project::probe(""));
    let first = instance(&dev);
    let reply = dev.get("/one/eat?mib=400");
    assert_eq!(reply.status, 500, "{reply}");
    dev.wait_for_line("onStop one 137");
    assert!(!dev.lines_with("out of memory").is_empty(), "the terminal says why");
    assert_ne!(instance(&dev), first, "a fresh instance answers");
    dev.stop();
}

#[test]
fn l1_an_instance_may_use_what_its_type_allows() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/eat?mib=128").json()["eaten"], "128");
    dev.stop();
}

#[test]
fn ba3_a_custom_types_disk_is_all_an_instance_can_write() {
    let project = Project::probe("").configured(|config| {
        config["containers"][0]["instance_type"] =
            json!({ "vcpu": 1, "memory_mib": 3072, "disk_mb": 100 });
    });
    let dev = Dev::start(&project);
    if user::is_ordinary() {
        // Disks are limited by loop devices, which are root's: it is said, and that is all.
        dev.wait_for_line("the limit of disk is not enforced");
        return dev.stop();
    }
    let full = dev.get("/one/fill?mib=200").json();
    assert_eq!(full["error"], "ENOSPC", "{full}");
    let filled = full["filled"].as_u64().unwrap_or_default();
    assert!((80..=95).contains(&filled), "100 MB are 95 MiB: {full}");
    // It goes on, and so does its neighbour.
    assert_eq!(dev.get("/one/who").status, 200);
    assert_eq!(dev.get("/two/fill?mib=50").json()["filled"], 50);
    dev.stop();
}

#[test]
fn r18_d5_a_new_start_has_the_images_disk() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/write?path=/note&text=here").status, 200);
    assert_eq!(dev.get("/one/read?path=/note").json()["text"], "here");
    assert_eq!(dev.get("/one/_destroy").text(), "destroyed");
    let answer = dev.get("/one/read?path=/note").json();
    assert!(answer["error"].is_string(), "{answer}");
    dev.stop();
}

#[test]
fn invariant_1_instances_share_no_disk() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/write?path=/note&text=here").status, 200);
    assert!(dev.get("/two/read?path=/note").json()["error"].is_string());
    dev.stop();
}
