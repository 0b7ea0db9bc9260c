//! SIGTERM, then SIGKILL after the grace period (features R17, D6), with a shorter clock.

use std::time::{Duration, Instant};

use e2e::{Dev, Process, Project, until};
use serde_json::json;

const GRACE: Duration = Duration::from_secs(2);

fn with_grace(class_body: &str) -> Project {
    Project::probe(class_body).configured(|config| config["berth"] = json!({ "stop_grace": "2s" }))
}

fn instance(dev: &Dev) -> Process {
    let id = dev.get("/one/who").json()["instance"].as_str().expect("an ID").to_owned();
    Process::of_instance(&id).pop().expect("its process")
}

#[test]
fn r17_d6_a_program_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let dev = Dev::start(&with_grace("envVars = { IGNORE_SIGTERM: \"1\" };"));
    let process = instance(&dev);
    let asked = Instant::now();
    assert_eq!(dev.get("/one/_stop").text(), "stopped");
    dev.wait_for_line("asked to stop");
    assert!(process.is_alive(), "it has its grace period");
    until("it is killed", || (!process.is_alive()).then_some(()));
    assert!(asked.elapsed() >= GRACE, "killed after {:?}", asked.elapsed());
    dev.wait_for_line("onStop one 137");
    dev.stop();
}

#[test]
fn d6_a_program_that_ends_on_sigterm_is_not_killed() {
    let dev = Dev::start(&with_grace(""));
    let process = instance(&dev);
    assert_eq!(dev.get("/one/_stop").text(), "stopped");
    dev.wait_for_line("onStop one 0 exit");
    assert!(!process.is_alive());
    dev.stop();
}

#[test]
fn d6_ctrl_c_gives_no_program_more_than_its_grace_period() {
    let project = with_grace("envVars = { IGNORE_SIGTERM: \"1\" };").with_own_home();
    let dev = Dev::start(&project);
    let process = instance(&dev);
    let footprint = dev.footprint();
    dev.stop();
    assert!(!process.is_alive());
    footprint.assert_gone();
}
