//! When the `Container` class lets a container sleep: `sleepAfter`, `renewActivityTimeout`,
//! `onActivityExpired` (features B4, D3).

use e2e::{Dev, Project};
use serde_json::json;

const TELLS: &str = "idleIn() { return this.sleepAfterMs - Date.now(); }";

#[test]
fn b4_the_time_is_a_number_of_seconds_or_a_text_with_its_unit() {
    for (text, ms) in
        [("90", 90_000), ("\"90s\"", 90_000), ("\"5m\"", 300_000), ("\"2h\"", 7_200_000)]
    {
        let dev = Dev::start(&Project::probe(&format!("sleepAfter = {text}; {TELLS}")));
        let idle = dev.post("/one/_call/idleIn", "[]").json().as_i64().expect("a number");
        assert!((ms - 60_000..=ms).contains(&idle), "{text}: {idle}");
        dev.stop();
    }
}

#[test]
fn b4_a_time_that_is_none_is_named() {
    let dev = Dev::start(&Project::probe("sleepAfter = \"10 minutes\";"));
    assert_eq!(dev.get("/one/who").status, 500);
    dev.wait_for_line("invalid time expression 10 minutes");
    dev.stop();
}

#[test]
fn b4_activity_can_be_renewed_by_hand() {
    let body = "sleepAfter = 100; \
        renewed() { this.sleepAfterMs = 0; this.renewActivityTimeout(); return this.sleepAfterMs; }";
    let dev = Dev::start(&Project::probe(body));
    let renewed = dev.post("/one/_call/renewed", "[]").json();
    assert!(renewed.as_i64().is_some_and(|at| at > 0), "{renewed}");
    dev.stop();
}

#[test]
fn d3_without_activity_the_class_says_so_and_stops_the_container() {
    let dev = Dev::start(&Project::probe("sleepAfter = \"5s\";"));
    assert_eq!(dev.get("/one/who").status, 200);
    dev.wait_for_line("Activity expired, signalling container to stop");
    dev.wait_for_line("onStop one 0 exit");
    dev.stop();
}

#[test]
fn d3_a_class_may_decide_itself_what_follows() {
    let body = "sleepAfter = \"5s\"; \
        async onActivityExpired() { console.log(\"expired\"); await this.stop(\"SIGKILL\"); }";
    let dev = Dev::start(&Project::probe(body));
    assert_eq!(dev.get("/one/who").status, 200);
    dev.wait_for_line("expired");
    dev.wait_for_line("onStop one 137 exit");
    assert_eq!(dev.get("/one/_state").json()["status"], json!("stopped"));
    dev.stop();
}
