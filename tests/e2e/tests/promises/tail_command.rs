//! `berth tail`: a deployed Worker is watched without wrangler.

use e2e::{PATIENCE, Platform, Project, until};
use serde_json::{Value, json};

const WORKER: &str = r#"
export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/throw") throw new TypeError("no good");
    console.log(`saw ${pathname}`, { path: pathname });
    return new Response("hello");
  },
};
"#;

#[test]
fn what_happens_in_a_worker_is_printed_for_people_or_as_json_and_filtered() {
    let platform = Platform::start();
    let project = Project::empty();
    let config = json!({"name": "watched", "main": "index.js", "compatibility_date": "2026-08-01"});
    project.write("wrangler.json", &config.to_string());
    project.write("index.js", WORKER);
    platform.client(&project, &["tail"]).assert_fails(1, &["[code: 10007]"]);
    platform.client(&project, &["deploy"]).assert_succeeds();
    let pretty = platform.watch(&project, &["tail", "--format", "pretty"]);
    let _ = pretty.wait_for_line("Watching watched", PATIENCE);
    let json = platform.watch(&project, &["tail", "watched", "--status", "error"]);
    let _ = json.wait_for_line("Watching watched", PATIENCE);

    let worker = platform.worker("watched");
    assert_eq!(worker.get("/here").status, 200);
    let _ = pretty.wait_for_line("GET http://watched.localhost", PATIENCE);
    let _ = pretty.wait_for_line("(log) saw /here {\"path\":\"/here\"}", PATIENCE);
    assert_eq!(worker.get("/throw").status, 500);
    let _ = pretty.wait_for_line("/throw - Exception Thrown", PATIENCE);
    let _ = pretty.wait_for_line("TypeError: no good", PATIENCE);
    let line = json.wait_for_line("\"exception\"", PATIENCE);
    let event: Value = serde_json::from_str(&line).expect("each line is JSON");
    assert_eq!(event["scriptName"], "watched");
    assert!(!json.said().contains("/here"), "{}", json.said());

    // Their end leaves no tail behind.
    assert_eq!((pretty.interrupt(), json.interrupt()), (Some(0), Some(0)));
    let path = "/accounts/local/workers/scripts/watched/tails";
    until("no tail is left", || {
        let tails = platform.ask(platform.token(), "GET", path, "").json();
        (tails["result"] == json!([])).then_some(())
    });
    platform.stop();
}
