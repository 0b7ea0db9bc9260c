//! Scale to zero (features D3, D4, B4): an instance without requests stops, and comes back.

use e2e::{Dev, Process, Project, until};

fn instance(dev: &Dev) -> String {
    dev.get("/one/who").json()["instance"].as_str().expect("an ID").to_owned()
}

#[test]
fn d3_d4_an_idle_instance_is_gone_and_the_next_request_starts_a_fresh_one() {
    let dev = Dev::start(&Project::probe("sleepAfter = \"3s\";"));
    let first = instance(&dev);
    assert_eq!(Process::of_instance(&first).len(), 1);
    until("it sleeps", || Process::of_instance(&first).is_empty().then_some(()));
    dev.wait_for_line("onStop one 0 exit");

    let second = instance(&dev);
    assert_ne!(second, first);
    dev.wait_for_lines("onStart one", 2);
    dev.stop();
}

#[test]
fn b4_a_request_under_way_keeps_it_awake() {
    let dev = Dev::start(&Project::probe("sleepAfter = \"3s\";"));
    let first = instance(&dev);
    // Longer than `sleepAfter`.
    assert_eq!(dev.get("/one/nap?seconds=7").json()["napped"], "7");
    assert_eq!(instance(&dev), first);
    dev.stop();
}
