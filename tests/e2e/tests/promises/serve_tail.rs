//! `wrangler tail` shows what happens in a deployed Worker, while it happens.

use std::time::Duration;

use e2e::{Background, Deployment, NEWEST, ON_NODE_20, PATIENCE, Project, Wrangler, until};
use serde_json::{Value, json};

/// A cron trigger runs once a minute.
const MINUTE: Duration = Duration::from_secs(75);

/// Has an object with an alarm, a cron trigger, and an exception to offer.
const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";
export class Clock extends DurableObject {
  async fetch() {
    console.log("the clock is set");
    await this.ctx.storage.setAlarm(Date.now() + 100);
    return new Response("set");
  }
  alarm() { console.info("the alarm rings"); }
}
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/throw") throw new TypeError("no good");
    if (pathname === "/clock") return env.CLOCK.getByName("one").fetch(request);
    console.warn("seen", { path: pathname });
    return new Response("hello", { status: 202 });
  },
  scheduled() { console.error("a minute has passed"); },
};
"#;

/// Has no object: nothing is told of it unless somebody watches.
const PLAIN: &str = r#"
export default {
  fetch(request) {
    console.log(`VERSION saw ${new URL(request.url).pathname}`);
    return new Response("VERSION");
  },
};
"#;

fn project(code: &str, more: Value) -> Project {
    let project = Project::empty().with_own_home();
    project.write("index.js", code);
    let mut config = json!({"name": "watched", "main": "index.js", "workers_dev": true,
        "compatibility_date": "2026-05-03"});
    for (name, value) in more.as_object().expect("an object") {
        config[name] = value.clone();
    }
    project.write("wrangler.json", &config.to_string());
    project
}

fn deployed(wrangler: Wrangler, code: &str, more: Value) -> Deployment {
    let fixture = Deployment::new(wrangler, project(code, more));
    fixture.deploy();
    fixture
}

/// `wrangler tail`, once it is connected.
fn tail(fixture: &Deployment, args: &[&str]) -> Background {
    let tail = fixture.wrangler(&[&["tail", "--format", "pretty"], args].concat()).start();
    let _ = tail.wait_for_line("waiting for logs", PATIENCE);
    tail
}

fn tails(fixture: &Deployment) -> Value {
    fixture.get("/workers/scripts/watched/tails")
}

/// `newest`: it also waits for a cron trigger, and takes its tail away at the end.
fn everything_is_shown(wrangler: Wrangler, newest: bool) {
    let more = json!({"triggers": {"crons": if newest { json!(["* * * * *"]) } else { json!([]) }},
        "durable_objects": {"bindings": [{"name": "CLOCK", "class_name": "Clock"}]},
        "migrations": [{"tag": "v1", "new_sqlite_classes": ["Clock"]}]});
    let fixture = deployed(wrangler, WORKER, more);
    let worker = fixture.platform.worker("watched");
    let tail = tail(&fixture, &[]);
    let shows = |text: &str| drop(tail.wait_for_line(text, PATIENCE));
    assert_eq!(worker.get("/some/path").status, 202);
    shows("GET http://watched.localhost");
    shows("(warn) seen { path: '/some/path' }");
    assert_eq!(worker.get("/throw").status, 500);
    shows("/throw - Exception Thrown");
    shows("TypeError: no good");
    assert_eq!(worker.get("/clock").text(), "set");
    shows("(log) the clock is set");
    shows("Alarm @");
    shows("(info) the alarm rings");
    if newest {
        let _ = tail.wait_for_line("\"* * * * *\" @", MINUTE);
        shows("(error) a minute has passed");
    }
    assert_eq!(tails(&fixture).as_array().map(Vec::len), Some(1));
    let _ = tail.interrupt();
    if newest {
        until("wrangler takes the tail away", || (tails(&fixture) == json!([])).then_some(()));
    }
    fixture.platform.stop();
}

#[test]
fn the_newest_wrangler_shows_requests_objects_alarms_crons_and_exceptions() {
    everything_is_shown(NEWEST, true);
}

#[test]
fn the_last_wrangler_for_node_20_shows_requests_objects_alarms_and_exceptions() {
    everything_is_shown(ON_NODE_20, false);
}

#[test]
fn a_worker_without_objects_is_watched_through_a_deploy() {
    let fixture = deployed(NEWEST, &PLAIN.replace("VERSION", "one"), json!({}));
    let worker = fixture.platform.worker("watched");
    let tail = tail(&fixture, &[]);
    let shows = |text: &str| drop(tail.wait_for_line(text, PATIENCE));
    assert_eq!(worker.get("/a").text(), "one");
    shows("(log) one saw /a");
    fixture.project.write("index.js", &PLAIN.replace("VERSION", "two"));
    fixture.deploy();
    assert_eq!(worker.get("/b").text(), "two");
    shows("(log) two saw /b");
    fixture.platform.stop();
}

#[test]
fn filters_let_through_what_they_name_and_secrets_are_not_shown() {
    let fixture = deployed(NEWEST, &PLAIN.replace("VERSION", "one"), json!({}));
    let worker = fixture.platform.worker("watched");
    let args = ["--method", "POST", "--header", "x-tag:blue", "--ip", "self", "--search", "/c"];
    let filtered = tail(&fixture, &args);
    let json = {
        let args = ["tail", "--format", "json", "--status", "ok"];
        fixture.platform.wrangler(NEWEST, &fixture.project, &args).start()
    };
    until("both watch", || (tails(&fixture).as_array().map(Vec::len) == Some(2)).then_some(()));
    let send = |method: &str, path: &str, tag: &str| {
        let headers = [("x-tag", tag), ("authorization", "let-me-in")];
        assert_eq!(worker.send(method, path, &headers, "").status, 200);
    };
    send("GET", "/c/method", "blue");
    send("POST", "/c/header", "red");
    send("POST", "/search", "blue");
    send("POST", "/c/shown", "blue");
    let _ = filtered.wait_for_line("/c/shown", PATIENCE);
    for hidden in ["/c/method", "/c/header", "/search"] {
        assert!(!filtered.said().contains(hidden), "{}", filtered.said());
    }
    until("the other shows it, too", || {
        send("POST", "/c/again", "blue");
        json.said().contains("/c/again").then_some(())
    });
    let said = json.said();
    assert!(said.contains("\"scriptName\": \"watched\""), "{said}");
    assert!(said.contains("REDACTED") && !said.contains("let-me-in"), "{said}");

    let path = "/accounts/local/workers/scripts/watched/tails";
    let wrong = r#"{"filters": [{"colour": "red"}]}"#;
    let refused = fixture.platform.ask(fixture.platform.token(), "POST", path, wrong);
    assert_eq!(refused.status, 400, "{refused}");
    assert!(refused.text().contains("colour"), "{refused}");
    let nobody = fixture.platform.api().get("/client/v4/tails/0123456789abcdef0123456789abcdef");
    assert_eq!(nobody.status, 404, "{nobody}");
    fixture.platform.stop();
}
