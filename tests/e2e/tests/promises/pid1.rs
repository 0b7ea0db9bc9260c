//! Programs that insist on being PID 1 are, and others that ask for it.

use e2e::{Dev, Process, Project, until};

/// Busybox's `init` refuses to be anything but PID 1.
const INIT: &str = "FROM busybox\n\
    RUN mkdir -p /sbin /etc && ln -s /bin/busybox /sbin/init && \
    echo '::sysinit:/bin/echo booted' > /etc/inittab && \
    echo '::respawn:/bin/sleep 4242' >> /etc/inittab\n";

fn text(dev: &Dev, scenario: &str) -> String {
    let reply = dev.get(&format!("/one/{scenario}"));
    assert_eq!(reply.status, 200, "{scenario}: {reply}");
    let json = reply.json();
    json["stdout"].as_str().map_or_else(|| json.to_string(), str::to_owned)
}

#[test]
fn a_known_init_is_pid_1_and_execs_and_stops_work_all_the_same() {
    let project = Project::machine(&format!("{INIT}CMD [\"/sbin/init\"]\n")).with_own_home();
    let dev = Dev::start_with(&project, &["--stop-grace", "2s"]);
    let id = text(&dev, "instance");
    dev.wait_for_line("booted");
    assert_eq!(text(&dev, "pid1").trim(), "init", "the name it gives itself");
    let options = dev.get("/one/options").json();
    assert_eq!(options["exitCode"], 3, "{options}");
    assert!(options["pid"].as_i64().is_some_and(|pid| pid > 1), "{options}");
    assert_eq!(text(&dev, "hundred"), "100");

    // It reaps and starts anew what it looks after.
    let respawned = |old: Option<&Process>| {
        until("its child runs", || {
            let all = Process::of_instance(&id);
            let sleep = |p: &Process| p.command().iter().any(|word| word == "4242");
            all.into_iter().find(|p| sleep(p) && Some(p) != old)
        })
    };
    let first = respawned(None);
    first.kill();
    let second = respawned(Some(&first));

    let footprint = dev.footprint();
    dev.stop();
    assert!(!second.is_alive());
    footprint.assert_gone();
}

#[test]
fn any_program_is_pid_1_whose_image_asks_for_it_and_no_other() {
    let insists =
        "CMD [\"sh\", \"-c\", \"test $$ = 1 || exit 9; echo I am PID 1; exec sleep 1000000\"]\n";
    let dev =
        Dev::start(&Project::machine(&format!("FROM busybox\nLABEL berth.pid1=true\n{insists}")));
    text(&dev, "instance");
    dev.wait_for_line("I am PID 1");
    dev.stop();

    let dev = Dev::start(&Project::machine(&format!("FROM busybox\n{insists}")));
    let _ = dev.get("/one/instance");
    dev.wait_for_line("ended with exit code 9");
    dev.stop();
}
