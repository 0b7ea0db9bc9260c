//! Tail consumers: a Worker's `tail()` is told of what happens in the Workers that name it,
//! whichever version of it serves.

use e2e::{NEWEST, Platform, Project, until};
use serde_json::{Value, json};

/// Keeps what it is told.
const CONSUMER: &str = r#"
const told = [];
export default {
  fetch() { return Response.json({ version: "VERSION", told }); },
  tail(events, env, ctx) { told.push(...events); },
};
"#;

/// Counts its requests for as long as its process lives.
const PRODUCER: &str = r#"
let requests = 0;
export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    console.warn("saw", { pathname });
    if (pathname === "/throw") throw new TypeError("no good");
    return new Response(`${++requests}`, { status: 202 });
  },
};
"#;

fn project(name: &str, code: &str, consumers: &[&str]) -> Project {
    let project = Project::empty().with_own_home();
    project.write("index.js", code);
    let consumers: Value = consumers.iter().map(|name| json!({"service": name})).collect();
    let config = json!({"name": name, "main": "index.js", "compatibility_date": "2026-08-01",
        "tail_consumers": consumers});
    project.write("wrangler.json", &config.to_string());
    project
}

fn consumer(version: &str) -> Project {
    project("logs", &CONSUMER.replace("VERSION", version), &[])
}

fn deploy(platform: &Platform, project: &Project) {
    platform.wrangler(NEWEST, project, &["deploy"]).run().assert_succeeds();
}

/// What the consumer was told of the request for this path.
fn told(platform: &Platform, path: &str) -> Value {
    let logs = platform.worker("logs");
    until(&format!("the consumer is told of {path}"), || {
        let told = logs.get("/").json()["told"].clone();
        let is_it = |event: &&Value| {
            let url = event["event"]["request"]["url"].as_str();
            url.is_some_and(|url| url.ends_with(path))
        };
        told.as_array().and_then(|events| events.iter().find(is_it)).cloned()
    })
}

fn producers(platform: &Platform) -> Value {
    let path = "/accounts/local/workers/tails/by-consumer/logs";
    let tails = platform.ask(platform.token(), "GET", path, "").json();
    tails["result"].as_array().into_iter().flatten().map(|tail| tail["producer"].clone()).collect()
}

#[test]
fn a_consumer_is_told_of_requests_console_lines_and_exceptions_and_of_whose_they_are() {
    let platform = Platform::start();
    deploy(&platform, &consumer("one"));
    deploy(&platform, &project("producer", PRODUCER, &[]));
    let client = platform.worker("producer");
    assert_eq!(client.get("/before").status, 202);
    // A Worker that is there gets its consumers after its version, by a setting of all versions.
    deploy(&platform, &project("producer", PRODUCER, &["logs"]));
    assert_eq!(producers(&platform), json!([{"script": "producer"}]));

    let headers = [("authorization", "let-me-in"), ("x-colour", "blue")];
    assert_eq!(client.send("GET", "/seen", &headers, "").status, 202);
    let event = told(&platform, "/seen");
    assert_eq!((&event["scriptName"], &event["outcome"]), (&json!("producer"), &json!("ok")));
    assert!(event["scriptVersion"]["id"].is_string(), "{event}");
    assert_eq!(event["event"]["request"]["headers"]["authorization"], "REDACTED");
    assert_eq!(event["event"]["request"]["headers"]["x-colour"], "blue");
    assert_eq!(event["event"]["response"]["status"], 202);
    let log = &event["logs"][0];
    assert_eq!((&log["level"], &log["message"][0]), (&json!("warn"), &json!("saw")));
    assert_eq!(log["message"][1], json!({"pathname": "/seen"}));

    assert_eq!(client.get("/throw").status, 500);
    let event = told(&platform, "/throw");
    assert_eq!(event["outcome"], "exception");
    let exception = &event["exceptions"][0];
    assert_eq!(
        (&exception["name"], &exception["message"]),
        (&json!("TypeError"), &json!("no good"))
    );
    let before = platform.worker("logs").get("/").text().contains("/before");
    assert!(!before, "nobody named the consumer then");
    platform.stop();
}

#[test]
fn a_new_version_of_a_consumer_is_told_without_a_restart_of_the_producer() {
    let platform = Platform::start();
    deploy(&platform, &consumer("one"));
    let producer = project("producer", PRODUCER, &["logs"]);
    platform.client(&producer, &["deploy"]).assert_succeeds();
    let client = platform.worker("producer");
    assert_eq!(client.get("/first").text(), "1");
    let _ = told(&platform, "/first");
    deploy(&platform, &consumer("two"));
    assert_eq!(platform.worker("logs").get("/").json()["version"], "two");
    assert_eq!(client.get("/second").text(), "2", "it is the same process");
    let _ = told(&platform, "/second");

    let platform = platform.killed_and_started_again();
    assert_eq!(platform.worker("producer").get("/third").status, 202);
    let _ = told(&platform, "/third");
    platform.stop();
}

#[test]
fn a_consumer_must_be_there_and_is_deleted_by_force_alone() {
    let platform = Platform::start();
    let producer = project("producer", PRODUCER, &["logs"]);
    let refused = platform.wrangler(NEWEST, &producer, &["deploy"]).run();
    let said = format!("{}{}", refused.stdout, refused.stderr);
    // Lines are wrapped.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = "Tail Worker does not exist on this account.";
    assert!(refused.code != 0 && said.contains(text) && said.contains("10203"), "{said}");
    assert_eq!(producers(&platform), json!([]));

    deploy(&platform, &consumer("one"));
    deploy(&platform, &producer);
    let path = "/accounts/local/workers/services/logs?force=false";
    let kept = platform.ask(platform.token(), "DELETE", path, "");
    assert_eq!(kept.status, 400, "{kept}");
    assert!(kept.text().contains("\\\"producer\\\" has this one as a tail consumer"), "{kept}");
    platform.wrangler(NEWEST, &consumer("one"), &["delete", "--force"]).run().assert_succeeds();
    let client = platform.worker("producer");
    assert_eq!(client.get("/unheard").text(), "1", "it serves all the same");
    let _ = platform.wait_for_line("The tail consumer \"logs\" fails");
    deploy(&platform, &consumer("new"));
    assert_eq!(client.get("/heard").text(), "2");
    let _ = told(&platform, "/heard");
    platform.stop();
}
