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

#[test]
fn how_a_program_ended_while_no_berth_ran_reaches_on_stop() {
    let (project, dev) = running();
    let first = instance(&dev);
    assert_eq!(dev.get("/one/end?code=7").status, 200);
    dev.kill();
    until("the program has ended", || Process::of_instance(&first).is_empty().then_some(()));

    let dev = Dev::start(&project);
    dev.wait_for_line("onStop one 7");
    assert_ne!(instance(&dev), first);
    assert_remembers(&dev);
    dev.stop();
}

#[test]
fn a_berth_of_another_version_takes_up_what_runs() {
    let (project, dev) = running();
    let first = instance(&dev);
    dev.kill();
    // What an older version does not write and a newer one writes besides.
    let states = files(&project.home().join("dev"), "json");
    assert_eq!(states.len(), 1, "{states:?}");
    let text = fs_err::read_to_string(&states[0]).expect("read a state file");
    let mut state: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let fields = state.as_object_mut().expect("it is an object");
    fields.insert("novelty".to_owned(), serde_json::json!([1, { "a": null }]));
    for field in ["image", "user", "started"] {
        assert!(fields.remove(field).is_some(), "{text}");
    }
    fs_err::write(&states[0], state.to_string()).expect("write a state file");

    let dev = Dev::start(&project);
    assert_eq!(instance(&dev), first);
    assert_remembers(&dev);
    dev.stop();
}

#[test]
fn nobody_notices_that_the_launcher_and_what_it_parked_were_killed() {
    let (_, dev) = running();
    let before = instance(&dev);
    for round in 0..3 {
        let pid = dev.process().pid;
        let launcher =
            Process::descendants_of(pid).into_iter().find(|p| p.name == "berth-launcher");
        let launcher = launcher.expect("the launcher runs");
        let parked = Process::descendants_of(pid).into_iter().filter(|process| {
            process.name == "berth-init" && Process::descendants_of(process.pid).is_empty()
        });
        parked.chain([launcher]).for_each(|process| process.kill());
        let reply = dev.get(&format!("/new-{round}/who"));
        assert_eq!(reply.status, 200, "{reply}");
    }
    assert_eq!(instance(&dev), before);
    dev.stop();
}

#[test]
fn instances_that_are_kept_go_on_under_the_next_berth() {
    let (project, dev) = running();
    let first = instance(&dev);
    dev.stop();
    assert!(Process::of_instance(&first).is_empty(), "they are stopped when nobody keeps them");

    let dev = Dev::start_with(&project, &["--keep-instances"]);
    let kept = instance(&dev);
    let footprint = dev.footprint();
    dev.stop();
    assert_eq!(Process::of_instance(&kept).len(), 1);
    let left: Vec<_> = footprint.processes().filter(|process| process.is_alive()).collect();
    assert_eq!(left.len(), 2, "a program and its init: {left:?}");

    let dev = Dev::start(&project);
    assert_eq!(instance(&dev), kept);
    assert_remembers(&dev);
    dev.stop();
    footprint.assert_gone();
}

/// Files beneath a folder with that extension.
fn files(folder: &std::path::Path, extension: &str) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path, extension),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect()
}
