//! `ctx.container` without the `Container` class (features R13, C1–C6, J11).

use e2e::{Dev, Project, until};
use serde_json::{Value, json};

fn status(dev: &Dev) -> Value {
    dev.get("/a/status").json()
}

fn started(greeting: &str) -> Dev {
    let dev = Dev::start(&Project::example("durable-object"));
    assert_eq!(dev.get(&format!("/a/start?greeting={greeting}")).text(), "started");
    assert_eq!(status(&dev)["running"], true, "`running` is true right after start()");
    until("the port is listened on", || Some(dev.get("/a/port/8080/")).filter(|r| r.status == 200));
    dev
}

#[test]
fn r13_c1_c4_a_start_has_its_own_command_and_environment() {
    let dev = started("Ahoy");
    let text = dev.get("/a/port/8080/cgi-bin/greeting").text();
    assert!(text.starts_with("Ahoy, I am "), "{text:?}");
    dev.wait_for_line("Ahoy from port 8080");
    dev.stop();
}

#[test]
fn c6_every_port_is_reachable_by_http_and_by_raw_tcp() {
    let dev = started("Hi");
    assert_eq!(dev.get("/a/port/8080/").text(), "It works.\n");
    let reply = dev.post("/a/talk/7000", "raw bytes");
    assert_eq!(reply.text(), "RAW BYTES", "{reply}");
    dev.stop();
}

#[test]
fn j11_a_port_nobody_listens_on_is_an_error_that_says_so() {
    let dev = started("Hi");
    let reply = dev.get("/a/port/9999/");
    assert_eq!(reply.status, 500, "{reply}");
    assert!(reply.text().to_lowercase().contains("the container is not listening"), "{reply}");
    dev.stop();
}

#[test]
fn c7_exec_runs_a_second_program_inside() {
    let dev = started("Hi");
    let run = |command: Value| dev.post("/a/exec", command.to_string()).json();
    let script = "echo out; echo err >&2; cat /app/www/index.html; exit 3";
    assert_eq!(
        run(json!(["sh", "-c", script])),
        json!({ "exitCode": 3, "stdout": "out\nIt works.\n", "stderr": "err\n" })
    );
    assert_eq!(run(json!(["sh", "-c", "echo $GREETING"]))["stdout"], "Hi\n", "BB3: it inherits");
    dev.stop();
}

#[test]
fn c7_a_signal_reaches_the_program_and_sigterm_ends_it_with_its_exit_code() {
    let dev = started("Hi");
    assert_eq!(dev.get("/a/signal/10").text(), "sent");
    dev.wait_for_line("got SIGUSR1");
    assert_eq!(dev.get("/a/signal/15").text(), "sent");
    dev.wait_for_line("Machine exited with code 0");
    until("it no longer runs", || (status(&dev)["running"] == false).then_some(()));
    assert_eq!(status(&dev)["last"], "exited with code 0");
    dev.stop();
}

#[test]
fn c7_destroy_ends_it_at_once_and_it_can_be_started_again() {
    let dev = started("Hi");
    assert_eq!(dev.get("/a/destroy").text(), "destroyed");
    assert_eq!(status(&dev)["running"], false);
    assert_eq!(dev.get("/a/start?greeting=Again").text(), "started");
    dev.wait_for_line("Again from port 8080");
    dev.stop();
}

#[test]
fn a5_each_name_has_a_machine_of_its_own() {
    let dev = started("Hi");
    assert_eq!(dev.get("/b/status").json()["running"], false);
    dev.stop();
}
