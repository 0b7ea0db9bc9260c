//! Requests through the `Container` class: the forms of `containerFetch`, `switchPort`, `stop` with a
//! signal, and the package's helpers.

use std::collections::BTreeSet;

use e2e::{Dev, Project};
use serde_json::json;

const PORTS: &str = "envVars = { PORTS: \"0.0.0.0:9000\" };";

#[test]
fn b17_container_fetch_takes_a_request_or_a_url_with_and_without_a_port() {
    let body = format!(
        "{PORTS} fetch(request) {{ switch (new URL(request.url).searchParams.get(\"form\")) {{\n\
         case \"request\": return this.containerFetch(request);\n\
         case \"request, port\": return this.containerFetch(request, 9000);\n\
         case \"url\": return this.containerFetch(\"https://anywhere.test/who\");\n\
         case \"url, port\": return this.containerFetch(\"http://container/who\", 9000);\n\
         case \"url, init, port\": return this.containerFetch(new URL(\"http://container/who\"), \
             {{ method: \"GET\" }}, 9000); }} }}"
    );
    let dev = Dev::start(&Project::probe(&body));
    for (form, port) in [
        ("request", 8080),
        ("request, port", 9000),
        ("url", 8080),
        ("url, port", 9000),
        ("url, init, port", 9000),
    ] {
        let form = form.replace(", ", "%2C%20");
        assert_eq!(dev.get(&format!("/one/who?form={form}")).json()["port"], port, "{form}");
    }
    dev.stop();
}

#[test]
fn b3_without_a_port_both_ways_in_say_what_to_do() {
    let project =
        Project::probe("viaFetch() { return this.containerFetch(\"http://container/\"); }");
    project.replace("src/index.js", "  defaultPort = 8080;\n", "");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/who").status, 500);
    dev.wait_for_line("No port configured for this container. Set the `defaultPort`");
    assert_eq!(dev.post("/one/_call/viaFetch", "[]").status, 500);
    dev.wait_for_line("No port specified for container fetch.");
    dev.stop();
}

#[test]
fn b16_switch_port_wants_a_number() {
    let dev = Dev::start(&Project::probe(PORTS));
    assert_eq!(dev.get("/one/_port/9000").json()["port"], 9000);
    assert_eq!(dev.get("/one/_port/nine").status, 500);
    dev.wait_for_line("port value from switchPort is not a number");
    dev.stop();
}

#[test]
fn b11_stop_sends_the_signal_that_is_asked_for() {
    let dev = Dev::start(&Project::probe("envVars = { IGNORE_SIGTERM: \"1\" };"));
    for (signal, code) in [(json!(["SIGKILL"]), 137), (json!(["SIGINT"]), 130), (json!([9]), 137)] {
        assert_eq!(dev.get("/one/who").status, 200);
        let stops = dev.lines_with("onStop one").len();
        assert_eq!(dev.post("/one/_call/stop", signal.to_string()).status, 200);
        let line = dev.wait_for_lines("onStop one", stops + 1);
        // Python makes an exception of SIGINT and ends by the signal itself.
        assert!(line.contains(&format!("onStop one {code} exit")), "{signal}: {line}");
    }
    dev.stop();
}

#[test]
fn b11_destroy_ends_the_container_at_once() {
    let dev = Dev::start(&Project::probe("envVars = { IGNORE_SIGTERM: \"1\" };"));
    let first = dev.get("/one/who").json()["instance"].clone();
    assert_eq!(dev.get("/one/_destroy").text(), "destroyed");
    dev.wait_for_line("onStop one");
    assert_ne!(dev.get("/one/who").json()["instance"], first, "another one");
    dev.stop();
}

#[test]
fn a12_load_balance_is_the_old_name_of_get_random() {
    let project = Project::probe("");
    project.replace(
        "src/index.js",
        "getContainer, switchPort",
        "getContainer, loadBalance, switchPort",
    );
    let route = "case \"_balanced\":\n        return (await loadBalance(env.MY_CONTAINER, 2)).fetch(request);\n      case \"_get\":";
    project.replace("src/index.js", "case \"_get\":", route);
    let dev = Dev::start(&project);
    let instances: BTreeSet<String> =
        (0..12).map(|_| dev.get("/one/_balanced").json()["instance"].to_string()).collect();
    assert!((1..=2).contains(&instances.len()), "{instances:?}");
    dev.wait_for_line("loadBalance is deprecated");
    dev.stop();
}

#[test]
fn bb10_labels_of_the_class_are_those_of_each_start() {
    let body = "labels = { tenant: \"acme\" }; async told() { return (await this.ctx.container.inspect()).labels; }";
    let dev = Dev::start(&Project::probe(body));
    assert_eq!(dev.get("/one/who").status, 200);
    assert_eq!(dev.post("/one/_call/told", "[]").json(), json!({ "tenant": "acme" }));
    dev.stop();
}
