//! Which ports the `Container` class waits for, and how (features B15, B18; `requiredPorts`,
//! `pingEndpoint`, `waitForPort`).

use e2e::{Dev, Project};
use serde_json::json;

const TWO_PORTS: &str = "envVars = { PORTS: \"127.0.0.1:9000,0.0.0.0:9001\" };";

fn call(dev: &Dev, method: &str, arguments: serde_json::Value) -> e2e::Reply {
    dev.post(&format!("/one/_call/{method}"), arguments.to_string())
}

#[test]
fn b18_required_ports_are_all_waited_for() {
    let body = format!("requiredPorts = [9001, 9000]; {TWO_PORTS}");
    let dev = Dev::start(&Project::probe(&body));
    assert_eq!(dev.get("/one/_startAndWaitForPorts").text(), "started");
    assert_eq!(dev.get("/one/_state").json()["status"], "healthy");
    for port in [9000, 9001] {
        assert_eq!(dev.get(&format!("/one/_port/{port}")).json()["port"], port);
    }
    dev.stop();
}

#[test]
fn b15_ports_are_named_in_every_documented_form() {
    let dev = Dev::start(&Project::probe(TWO_PORTS));
    let options = json!([{ "ports": [9000], "startOptions": { "envVars": { "PORTS": "0.0.0.0:9000" } },
        "cancellationOptions": { "instanceGetTimeoutMS": 8000, "waitInterval": 100 } }]);
    assert_eq!(call(&dev, "startAndWaitForPorts", options).status, 200);
    assert_eq!(dev.get("/one/env").json()["PORTS"], "0.0.0.0:9000");
    for form in [json!([9000]), json!([[8080, 9000]]), json!([])] {
        assert_eq!(call(&dev, "startAndWaitForPorts", form.clone()).status, 200, "{form}");
    }
    dev.stop();
}

#[test]
fn b18_a_port_that_stays_closed_is_an_error_with_its_number() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/who").status, 200);
    let options = json!([{ "ports": 7777, "cancellationOptions": { "portReadyTimeoutMS": 600 } }]);
    assert_eq!(call(&dev, "startAndWaitForPorts", options).status, 500);
    dev.wait_for_line("onError one Failed to verify port 7777 is available after");
    assert_eq!(dev.get("/one/who").status, 200, "the container goes on");
    dev.stop();
}

#[test]
fn b18_a_port_is_pinged_at_the_endpoint_of_the_class() {
    let dev = Dev::start(&Project::probe("pingEndpoint = \"probe.test/say?text=pinged\";"));
    assert_eq!(dev.get("/one/who").status, 200);
    dev.wait_for_line("pinged");
    dev.stop();
}

#[test]
fn b18_wait_for_port_answers_with_the_tries_it_had() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/who").status, 200);
    let tries = call(&dev, "waitForPort", json!([{ "portToCheck": 8080, "retries": 3 }]));
    assert_eq!(tries.json(), 3, "{tries}");
    let tries = call(&dev, "waitForPort", json!([{ "portToCheck": 8080 }]));
    assert_eq!(tries.json(), 67, "{tries}");
    dev.stop();
}
