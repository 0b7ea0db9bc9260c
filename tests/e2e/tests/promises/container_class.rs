//! The `Container` class (features B2, B6, B13, B17, A9, A21): what it offers beside `fetch`.

use e2e::{Dev, Project};
use serde_json::json;

#[test]
fn b13_a21_one_start_may_have_its_own_command() {
    let dev = Dev::start(&Project::probe(""));
    let options = json!({
        "entrypoint": ["sh", "-c", "export MARK=of-this-start; exec python3 /server.py"],
        "envVars": { "GIVEN": "too" },
    });
    assert_eq!(dev.post("/one/_start", options.to_string()).text(), "started");
    let env = dev.get("/one/env").json();
    assert_eq!((&env["MARK"], &env["GIVEN"]), (&json!("of-this-start"), &json!("too")));
    assert_eq!(dev.get("/two/env").json()["MARK"], json!(null), "others have the image's command");
    dev.stop();
}

#[test]
fn b17_container_fetch_reaches_a_named_port() {
    let body = "envVars = { PORTS: \"0.0.0.0:9000\" }; \
                async fetch(request) { return this.containerFetch(request, 9000); }";
    let dev = Dev::start(&Project::probe(body));
    assert_eq!(dev.get("/one/who").json()["port"], 9000);
    dev.stop();
}

#[test]
fn b6_fields_of_the_class_may_read_the_workers_environment() {
    let project = Project::probe("envVars = { FROM_ENV: this.env.SETTING };")
        .configured(|config| config["vars"] = json!({ "SETTING": "of the Worker" }));
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/env").json()["FROM_ENV"], "of the Worker");
    dev.stop();
}

#[test]
fn b2_it_is_a_durable_object_with_storage_and_schedules() {
    let body = "onStart() { return this.schedule(1, \"tick\", \"a payload\"); } \
                tick(payload) { console.log(\"tick with\", payload); }";
    let project = Project::probe(body);
    // The probe's own hook would be the one that counts.
    project.replace(
        "src/index.js",
        "  onStart() {\n    console.log(\"onStart\", this.ctx.id.name);\n  }\n",
        "",
    );
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/_remember/this").text(), "remembered");
    assert_eq!(dev.get("/one/_recall").json(), "this");
    assert_eq!(dev.get("/one/who").status, 200);
    dev.wait_for_line("tick with a payload");
    dev.stop();
}

#[test]
fn a9_the_state_of_a_container_can_be_asked_for() {
    let dev = Dev::start(&Project::probe(""));
    let status = || dev.get("/one/_state").json()["status"].clone();
    assert_eq!(status(), "stopped");
    assert_eq!(dev.get("/one/who").status, 200);
    assert_eq!(status(), "healthy");
    assert_eq!(dev.get("/one/_stop").text(), "stopped");
    dev.wait_for_line("onStop one 0 exit");
    assert_eq!(status(), "stopped");
    dev.stop();
}
