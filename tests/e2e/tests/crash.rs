//! Crashes: whatever is killed, the next start finds no orphan, one instance for each ID, and all
//! that a Durable Object stored (invariants 1–3).

use e2e::{Dev, Process, Project, until};

fn instance(dev: &Dev) -> String {
    let reply = until("an instance answers", || {
        Some(dev.get("/one/who")).filter(|reply| reply.status == 200)
    });
    reply.json()["instance"].as_str().expect("an ID").to_owned()
}

fn assert_remembers(dev: &Dev) {
    let value = until("the object answers", || {
        Some(dev.get("/one/_recall")).filter(|reply| reply.status == 200)
    });
    assert_eq!(value.json(), "precious");
}

fn running() -> (Project, Dev) {
    let project = Project::probe("").with_own_home();
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/_remember/precious").text(), "remembered");
    (project, dev)
}

#[test]
fn a_killed_instance_is_reported_and_the_next_request_starts_a_fresh_one() {
    let (_, dev) = running();
    let first = instance(&dev);
    for process in Process::of_instance(&first) {
        process.kill();
    }
    dev.wait_for_line("onStop one 137");
    assert_ne!(instance(&dev), first);
    assert_remembers(&dev);
    dev.stop();
}

#[test]
fn a_killed_workerd_comes_back_to_the_same_instance() {
    let (_, dev) = running();
    let before = instance(&dev);
    let workerd = Process::descendants_of(dev.process().pid)
        .into_iter()
        .find(|process| process.name == "workerd")
        .expect("workerd runs");
    workerd.kill();
    until("it is gone", || (!workerd.is_alive()).then_some(()));
    assert_eq!(instance(&dev), before, "invariant 2: no instance stops");
    assert_remembers(&dev);
    dev.stop();
}

#[test]
fn after_a_killed_berth_the_next_start_leaves_no_orphan_and_no_second_instance() {
    let (project, dev) = running();
    let first = instance(&dev);
    let footprint = dev.footprint();
    dev.kill();

    let dev = Dev::start(&project);
    assert_remembers(&dev);
    let second = instance(&dev);
    if second == first {
        assert_eq!(Process::of_instance(&first).len(), 1, "adopted");
    } else {
        assert!(Process::of_instance(&first).is_empty(), "replaced, and still there");
    }
    let later = dev.footprint();
    dev.stop();
    footprint.assert_gone();
    later.assert_gone();
}

#[test]
fn a_killed_berth_lets_the_next_one_have_the_project() {
    let (project, dev) = running();
    dev.kill();
    Dev::start(&project).stop();
}

#[test]
fn killing_workerd_while_requests_come_loses_only_those_under_way() {
    let (_, dev) = running();
    let before = instance(&dev);
    for _ in 0..3 {
        let processes = Process::descendants_of(dev.process().pid);
        let Some(workerd) = processes.into_iter().find(|process| process.name == "workerd") else {
            continue;
        };
        workerd.kill();
        until("requests are answered again", || {
            dev.try_get("/one/who").ok().filter(|reply| reply.status == 200)
        });
    }
    assert_eq!(instance(&dev), before);
    dev.stop();
}
