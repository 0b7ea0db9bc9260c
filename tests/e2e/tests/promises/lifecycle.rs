//! The life of an instance as `ctx.container` sees it (features §3.4, D6, D9, BA8, BA9).

use std::time::Duration;

use e2e::{Dev, Process, Project, until};
use serde_json::{Value, json};

const SLEEP: &str = "FROM busybox\nCMD [\"sleep\", \"1000000\"]\n";

fn get(dev: &Dev, path: &str) -> Value {
    let reply = dev.get(path);
    assert_eq!(reply.status, 200, "{path}: {reply}");
    reply.json()
}

fn instance(dev: &Dev, name: &str) -> String {
    get(dev, &format!("/{name}/instance"))["stdout"].as_str().expect("an ID").to_owned()
}

#[test]
fn what_is_not_running_says_so_and_destroy_does_nothing() {
    let dev = Dev::start(&Project::machine(SLEEP));
    let not_running = |call| {
        json!(format!("Error: {call}() cannot be called on a container that is not running."))
    };
    assert_eq!(get(&dev, "/one/monitorBeforeStart"), not_running("monitor"));
    assert_eq!(get(&dev, "/one/signalBeforeStart"), not_running("signal"));
    assert_eq!(get(&dev, "/one/destroyBeforeStart"), Value::Null);
    let after = get(&dev, "/one/afterTheEnd");
    assert_eq!(after["signal"], not_running("signal"));
    assert_eq!(after["exec"], not_running("exec"));
    assert_eq!(after["destroy"], Value::Null, "again, nothing");
    dev.stop();
}

#[test]
fn signals_ports_and_second_starts_that_cannot_be_are_refused() {
    let dev = Dev::start(&Project::machine(SLEEP));
    let range = "RangeError: Invalid signal number.";
    assert_eq!(get(&dev, "/one/badSignals"), json!([range, range, range]));
    assert_eq!(
        get(&dev, "/one/badPorts"),
        json!(["TypeError: Invalid port number: 0", "TypeError: Invalid port number: 65536"])
    );
    assert_eq!(
        get(&dev, "/one/startAgain"),
        json!(["Error: start() cannot be called on a container that is already running."])
    );
    dev.stop();
}

#[test]
fn monitor_rejects_with_the_exit_code_or_with_the_reason_of_a_destroy() {
    let dev = Dev::start(&Project::machine(SLEEP));
    let exited = |code| {
        let message = format!("Container exited with unexpected exit code: {code}");
        json!({ "exitCode": code, "message": message })
    };
    assert_eq!(get(&dev, "/one/term"), exited(143));
    assert_eq!(get(&dev, "/one/destroy"), json!({ "monitor": exited(137), "running": false }));
    let reason = json!({ "exitCode": null, "message": "no longer needed" });
    let answer = json!({ "monitor": reason, "running": false });
    assert_eq!(get(&dev, "/one/destroyWithReason"), answer);
    let zero = "FROM busybox\nCMD [\"sh\", \"-c\", \"trap 'exit 0' TERM; while :; do sleep 0.05; done\"]\n";
    let graceful = Dev::start(&Project::machine(zero));
    // A signal sent before the trap is set would end the shell.
    until("it ends with code 0", || (get(&graceful, "/one/term")["exitCode"] == 0).then_some(()));
    graceful.stop();
    dev.stop();
}

#[test]
fn d9_the_end_of_an_exec_that_eats_all_memory_is_told_as_such_and_a_kill_is_not() {
    let dev = Dev::start(&Project::machine(SLEEP));
    // lite has 256 MiB; what the exec takes is the instance's.
    let _ = dev.get("/one/eat");
    dev.wait_for_line("out of memory");
    until("the whole instance ended", || {
        (get(&dev, "/one/status")["running"] == false).then_some(())
    });
    assert_eq!(get(&dev, "/one/status")["monitor"]["exitCode"], 137);
    let asked = get(&dev, "/one/askPort");
    assert!(asked.as_str().is_some_and(|text| text.contains("ran out of memory")), "{asked}");

    for process in Process::of_instance(&instance(&dev, "two")) {
        process.kill();
    }
    dev.wait_for_line("ended with exit code 137");
    assert_eq!(dev.lines_with("out of memory").len(), 1, "a kill is no lack of memory");
    dev.stop();
}

#[test]
fn d6_a_stop_deadline_outlives_a_killed_berth() {
    let stubborn = "FROM busybox\nCMD [\"sh\", \"-c\", \"trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done\"]\n";
    let project = Project::machine(stubborn).with_own_home();
    let dev = Dev::start_with(&project, &["--stop-grace", "4s"]);
    let all = Process::of_instance(&instance(&dev, "one"));
    let shell = |process: &Process| process.command().first().is_some_and(|word| word == "sh");
    let process = all.into_iter().find(shell).expect("its process");
    dev.wait_for_line("ready");
    let asked = std::time::Instant::now();
    std::thread::scope(|scope| {
        // The scenario waits for the end, which does not come: berth is killed first.
        scope.spawn(|| dev.try_get("/one/term"));
        dev.wait_for_line("asked");
        dev.process().kill();
    });
    assert!(process.is_alive(), "it outlives berth");
    dev.kill();
    // The next one has another grace; the deadline that was set holds.
    let dev = Dev::start_with(&project, &["--stop-grace", "1h"]);
    until("it is killed", || (!process.is_alive()).then_some(()));
    assert!(asked.elapsed() >= Duration::from_secs(4), "after {:?}", asked.elapsed());
    dev.stop();
}

#[test]
fn the_images_stop_signal_is_what_berth_stops_it_with() {
    let polite = "FROM busybox\nSTOPSIGNAL SIGQUIT\n\
        CMD [\"sh\", \"-c\", \"trap 'echo asked by SIGQUIT; exit 0' QUIT; trap '' TERM; echo ready; \
        while :; do sleep 0.05; done\"]\n";
    let dev = Dev::start(&Project::machine(polite));
    instance(&dev, "one");
    dev.wait_for_line("ready");
    // As Docker has it: a signal that is named by number is that signal.
    assert_eq!(get(&dev, "/one/badSignals").as_array().map(Vec::len), Some(3));
    let lines = dev.stop_and_say();
    assert!(lines.iter().any(|line| line.contains("asked by SIGQUIT")), "{lines:#?}");
}

#[test]
fn ba8_a_start_beyond_max_instances_has_its_turn_when_one_ends() {
    let project = Project::machine(SLEEP)
        .configured(|config| config["containers"][0]["max_instances"] = 1.into());
    let dev = Dev::start(&project);
    instance(&dev, "one");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| instance(&dev, "two"));
        let line = dev.wait_for_line("waits until one of the 1 running instances");
        assert!(line.contains("\"e2e-machine\"") && line.contains("max_instances"), "{line}");
        get(&dev, "/one/destroy");
        assert!(!second.join().expect("it gets its turn").is_empty());
    });
    assert!(dev.lines_with("Maximum number of running").is_empty(), "nobody was refused");
    dev.stop();
}

#[test]
fn ba8_who_waits_in_vain_is_refused_with_a_reason_to_act_on() {
    let project = Project::machine(SLEEP)
        .configured(|config| config["containers"][0]["max_instances"] = 1.into());
    let dev = Dev::start(&project);
    instance(&dev, "one");
    let reply = dev.get("/two/instance");
    assert_eq!(reply.status, 500, "{reply}");
    let line = dev.wait_for_line("Maximum number of running container instances exceeded");
    for part in ["\"e2e-machine\"", "all 1", "raise `max_instances`"] {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
    until("its object hears why", || {
        let status = get(&dev, "/two/status");
        let message = status["monitor"]["message"].as_str().unwrap_or_default();
        message.contains("there is no container instance that can be provided").then_some(())
    });
    dev.stop();
}

#[test]
fn ba9_starts_faster_than_the_rate_get_429_through_the_class() {
    let project =
        Project::probe("").configured(|config| config["berth"] = json!({ "start_rate": 0.01 }));
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/who").status, 200);
    let reply = dev.get("/two/who");
    assert_eq!(reply.status, 429, "{reply}");
    let line = dev.wait_for_line("starts more containers than 0.01 in a second");
    assert!(line.contains("berth.start_rate"), "{line}");
    assert_eq!(dev.get("/one/who").status, 200, "the first is not disturbed");
    dev.stop();
}

#[test]
fn a_workerd_that_somebody_else_ends_leaves_its_instances_to_the_next() {
    let dev = Dev::start(&Project::machine(SLEEP));
    let before: Vec<String> = ["one", "two"].map(|name| instance(&dev, name)).into();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        let processes = Process::descendants_of(dev.process().pid);
        let workerd = processes.into_iter().find(|process| process.name == "workerd");
        let workerd = workerd.expect("workerd runs");
        workerd.signal(signal);
        until("it is gone", || (!workerd.is_alive()).then_some(()));
        for (name, before) in ["one", "two"].iter().zip(&before) {
            let path = format!("/{name}/instance");
            let after = until("the next one answers", || {
                dev.try_get(&path).ok().filter(|reply| reply.status == 200)
            });
            assert_eq!(after.json()["stdout"], **before, "{signal:?}: the same instance goes on");
        }
    }
    assert!(dev.lines_with("stopped with exit code").is_empty());
    dev.stop();
}
