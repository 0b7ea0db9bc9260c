//! Options of `berth dev` (features J1, J5, BD3, G1).

use std::net::TcpListener;

use e2e::{Berth, Dev, Project};

#[test]
fn bd3_without_containers_the_worker_still_answers() {
    let dev = Dev::start_with(&Project::probe(""), &["--enable-containers=false"]);
    assert_eq!(dev.get("/one/_get").text(), "a stub is no container");
    assert_eq!(dev.get("/one/who").status, 500);
    dev.stop();
}

#[test]
fn log_level_error_hides_what_the_worker_logs() {
    let dev = Dev::start_with(&Project::probe(""), &["--log-level", "error"]);
    assert_eq!(dev.get("/one/who").status, 200);
    assert_eq!(dev.get("/one/say?text=marker").status, 200);
    // What the hook logs comes before.
    dev.wait_for_line("marker");
    assert_eq!(dev.lines_with("onStart"), Vec::<String>::new());
    dev.stop();
}

#[test]
fn persist_to_keeps_storage_elsewhere() {
    let project = Project::probe("");
    let dev = Dev::start_with(&project, &["--persist-to", "elsewhere"]);
    assert_eq!(dev.get("/one/_remember/this").text(), "remembered");
    dev.stop();
    assert!(project.path().join("elsewhere").is_dir() && !project.path().join(".berth").exists());
}

#[test]
fn ip_chooses_the_address() {
    let dev = Dev::start_with(&Project::probe(""), &["--ip", "127.0.0.1"]);
    assert_eq!(dev.get("/one/_get").status, 200);
    dev.stop();
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("take a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let outcome =
        Berth::new(&Project::probe(""), ["dev", "--ip", "127.0.0.1", "--port", &port]).run();
    outcome.assert_fails(6, &[&port, "hint:"]);
}

#[test]
fn g1_a_project_may_be_named_by_its_folder_or_its_configuration_file() {
    let project = Project::example("sessions");
    let path = project.path().join("wrangler.toml");
    let dev = Dev::start_with(&project, &[path.to_str().expect("a plain path")]);
    assert_eq!(dev.get("/").status, 405);
    dev.stop();
}
