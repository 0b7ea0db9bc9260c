//! Ctrl-C leaves nothing (invariant 3): no process, mount, namespace, cgroup, socket or file.

use e2e::{Dev, Project};
use tungstenite::Message;

#[test]
fn ctrl_c_leaves_no_process_mount_namespace_cgroup_or_socket() {
    let dev = Dev::start(&Project::example("hello").with_own_home());
    for path in ["/container/1", "/container/2", "/singleton"] {
        assert_eq!(dev.get(path).status, 200);
    }
    let mut socket = dev.websocket("/ws");
    assert_eq!(socket.ask("still open"), Message::text("still open"));

    let footprint = dev.footprint();
    let (networks, cgroups) = footprint.namespaces_and_cgroups();
    assert!(networks >= 3 && cgroups >= 3, "the test looks at {networks} and {cgroups}");
    dev.stop();
    footprint.assert_gone();
}

#[test]
fn a_stopped_instance_leaves_nothing_while_berth_goes_on() {
    let dev = Dev::start(&Project::probe("").with_own_home());
    assert_eq!(dev.get("/one/who").status, 200);
    let id = dev.get("/one/who").json()["instance"].as_str().expect("an ID").to_owned();
    let process = e2e::Process::of_instance(&id).pop().expect("its process");
    let cgroups = process.cgroups();
    let network = process.network_namespace().expect("its network");
    assert_eq!(dev.get("/one/_destroy").text(), "destroyed");
    e2e::until("its processes, namespaces and cgroups are gone", || {
        let others = e2e::processes();
        let left = others.iter().any(|other| {
            other.network_namespace().as_ref() == Some(&network) || other.cgroups() == cgroups
        });
        (!left && !process.is_alive()).then_some(())
    });
    dev.stop();
}

#[test]
fn j6_images_are_kept_for_the_next_run() {
    let project = Project::probe("").with_own_home();
    Dev::start(&project).stop();
    let images = project.home().join("images");
    assert!(images.read_dir().is_ok_and(|mut entries| entries.next().is_some()));
    let dev = Dev::start(&project);
    assert_eq!(dev.lines_with("Pulling"), Vec::<String>::new());
    dev.stop();
}

#[test]
fn durable_object_storage_is_kept_for_the_next_run() {
    let project = Project::probe("");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/_remember/this").text(), "remembered");
    dev.stop();
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/_recall").json(), "this");
    dev.stop();
}
