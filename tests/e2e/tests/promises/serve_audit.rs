//! Every change of the platform that is asked for is in its audit log, with who asked and how it ended.

use e2e::Platform;
use serde_json::{Value, json};

const SCRIPTS: &str = "/accounts/local/workers/scripts";
const LOG: &str = "/accounts/local/logs/audit";

#[track_caller]
fn log(platform: &Platform, query: &str) -> (Vec<Value>, Value) {
    let reply = platform.ask(platform.token(), "GET", &format!("{LOG}{query}"), "");
    assert_eq!(reply.status, 200, "{reply}");
    let body = reply.json();
    let entries = body["result"].as_array().expect("a list").clone();
    (entries, body["result_info"]["cursor"].clone())
}

#[test]
fn changes_are_in_the_log_with_who_asked_and_how_they_ended() {
    let platform = Platform::start();
    let made = platform.berth(&["token", "create", "ci", "--scope", "workers:write"]);
    let ci = made.stdout.trim().to_owned();
    // Looking is no change, and who has no token makes none.
    assert_eq!(platform.ask(&ci, "GET", SCRIPTS, "").status, 200);
    assert_eq!(platform.ask("berth_0_0", "DELETE", &format!("{SCRIPTS}/w"), "").status, 403);
    assert_eq!(log(&platform, "").0, [Value::Null; 0]);

    let secret = r#"{"name": "KEY", "text": "hush hush", "type": "secret_text"}"#;
    let path = format!("{SCRIPTS}/gone/secrets");
    assert_eq!(platform.ask(&ci, "PUT", &path, secret).status, 404);
    assert_eq!(
        platform.ask(platform.token(), "DELETE", &format!("{SCRIPTS}/gone"), "").status,
        404
    );

    // A crash loses nothing of it.
    let platform = platform.killed_and_started_again();
    let (entries, cursor) = log(&platform, "?limit=1");
    assert_eq!(entries[0]["action"]["type"], "delete", "the newest is the first");
    let next = cursor.as_str().expect("there is another page");
    let (entries, cursor) = log(&platform, &format!("?limit=1&cursor={next}"));
    assert_eq!(cursor, Value::Null);
    let entry = &entries[0];
    assert_eq!(entry["actor"]["token_name"], "ci");
    assert_eq!(entry["actor"]["ip_address"], "127.0.0.1");
    let raw = json!({"method": "PUT", "uri": format!("/client/v4{path}"), "status_code": 404});
    assert_eq!(entry["raw"], raw);
    assert_eq!(
        (&entry["action"]["type"], &entry["action"]["result"]),
        (&json!("update"), &json!("failure"))
    );
    assert!(!entry.to_string().contains("hush"), "{entry}");

    for (query, complaint) in
        [("limit=0", "limit"), ("since=yesterday", "since"), ("cursor=x", "cursor")]
    {
        let reply = platform.ask(platform.token(), "GET", &format!("{LOG}?{query}"), "");
        assert_eq!(reply.status, 400, "{reply}");
        assert!(reply.text().contains(complaint), "{reply}");
    }
    let refused = platform.ask(&ci, "GET", LOG, "");
    assert!(refused.text().contains("does not allow admin"), "{refused}");
    platform.stop();
}
