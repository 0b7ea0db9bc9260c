//! Who may ask the API for what, and what it says to everybody else.

use e2e::{NEWEST, Platform, Project, Reply, readable_files_with};
use serde_json::Value;

const SCRIPTS: &str = "/accounts/local/workers/scripts";
const APPLICATIONS: &str = "/accounts/local/containers/applications";

/// Status, code and message of an error, whose envelope is Cloudflare's.
#[track_caller]
fn error(reply: &Reply) -> (u16, u64, String) {
    let body = reply.json();
    assert_eq!(body["success"], false, "{body}");
    assert_eq!((&body["result"], &body["messages"]), (&Value::Null, &serde_json::json!([])));
    let error = &body["errors"][0];
    let message = error["message"].as_str().expect("a message").to_owned();
    (reply.status, error["code"].as_u64().expect("a code"), message)
}

fn token(platform: &Platform, args: &[&str]) -> String {
    let outcome = platform.berth(&[&["token", "create"], args].concat());
    outcome.assert_succeeds();
    outcome.stdout.trim().to_owned()
}

/// The id of a token, which is part of its text.
fn id(token: &str) -> &str {
    token.split('_').nth(1).expect("a token has an id")
}

#[test]
fn who_has_no_token_or_a_wrong_one_learns_nothing() {
    let platform = Platform::start();
    let refused = (403, 10000, "Authentication error".to_owned());
    let without = platform.api().get(&format!("/client/v4{SCRIPTS}"));
    assert_eq!(error(&without), refused);
    let almost = &platform.token()[..platform.token().len() - 1];
    for wrong in ["", "x", almost, "berth_000000000000_0"] {
        assert_eq!(error(&platform.ask(wrong, "GET", SCRIPTS, "")), refused, "{wrong}");
        let body = r#"{"name": "A", "text": "x"}"#;
        let reply = platform.ask(wrong, "PUT", &format!("{SCRIPTS}/w/secrets"), body);
        assert_eq!(error(&reply), refused, "{wrong}");
    }
    assert_eq!(platform.ask(platform.token(), "GET", SCRIPTS, "").status, 200);
    platform.stop();
}

#[test]
fn a_token_allows_its_scopes_until_it_expires_or_is_revoked() {
    let platform = Platform::start();
    let reader = token(&platform, &["ci", "--scope", "read"]);
    let workers = token(&platform, &["w", "--scope", "workers:write"]);
    let containers = token(&platform, &["c", "--scope", "containers:write"]);
    let put_secret = |token: &str| {
        let body = r#"{"name": "A", "text": "x", "type": "secret_text"}"#;
        error(&platform.ask(token, "PUT", &format!("{SCRIPTS}/w/secrets"), body))
    };
    let create = |token: &str| error(&platform.ask(token, "POST", APPLICATIONS, "{}"));
    for token in [&reader, &workers, &containers] {
        assert_eq!(platform.ask(token, "GET", SCRIPTS, "").status, 200);
        assert_eq!(platform.ask(token, "GET", APPLICATIONS, "").status, 200);
    }
    let (status, code, message) = put_secret(&reader);
    assert_eq!((status, code), (403, 10000));
    assert!(message.contains("\"ci\" does not allow workers:write"), "{message}");
    assert!(create(&workers).2.contains("does not allow containers:write"));
    assert!(put_secret(&containers).2.contains("does not allow workers:write"));
    assert_eq!(put_secret(&workers).1, 10007, "it may, but there is no such Worker");
    assert_eq!(create(&containers).0, 400, "it may, but the body is empty");

    let short = token(&platform, &["short", "--scope", "admin", "--expires-in", "1h"]);
    assert_eq!(platform.ask(&short, "GET", SCRIPTS, "").status, 200);
    let over = token(&platform, &["over", "--scope", "admin", "--expires-in", "0s"]);
    assert_eq!(error(&platform.ask(&over, "GET", SCRIPTS, "")).1, 10000);
    platform.berth(&["token", "revoke", id(&reader)]).assert_succeeds();
    assert_eq!(error(&platform.ask(&reader, "GET", SCRIPTS, "")).1, 10000);
    platform
        .berth(&["token", "revoke", id(&reader)])
        .assert_fails(1, &["hint: `berth token list`"]);
    let list = platform.berth(&["token", "list"]).stdout;
    for word in ["admin", "workers:write", "expired", "never"] {
        assert!(list.contains(word), "{list}");
    }
    assert!(!list.contains(id(&reader)), "{list}");
    platform.stop();
}

#[test]
fn an_unknown_path_and_another_account_are_named() {
    let platform = Platform::start();
    for (method, path) in [
        ("GET", "/accounts/local/workers/nonsense"),
        ("POST", "/accounts/local/workers/scripts/w/logs"),
        ("GET", "/zones/1/dns_records"),
        ("DELETE", "/user"),
    ] {
        let (status, code, message) = error(&platform.ask(platform.token(), method, path, ""));
        assert_eq!((status, code), (404, 7003), "{message}");
        assert!(message.contains(&format!("{method} /client/v4{path}")), "{message}");
    }
    let other = platform.ask(platform.token(), "GET", "/accounts/other/workers/scripts", "");
    let (status, code, message) = error(&other);
    assert_eq!((status, code), (403, 9109));
    assert!(message.contains("the account here is local"), "{message}");
    let missing = platform.ask(platform.token(), "GET", &format!("{SCRIPTS}/w/settings"), "");
    assert_eq!(error(&missing).1, 10007);
    platform.stop();
}

#[test]
fn who_is_asking_and_whether_it_is_well_is_told() {
    let platform = Platform::start();
    let said = platform.wrangler(NEWEST, &Project::empty().with_own_home(), &["whoami"]).says();
    assert!(said.contains("local"), "{said}");
    assert_eq!(platform.api().get("/healthz").status, 200);
    assert_eq!(platform.api().get("/readyz").text(), "ready\n");
    let nobody = platform.host("nobody.example").get("/x");
    assert_eq!(nobody.status, 404);
    assert!(nobody.text().contains("no Worker serves nobody.example/x"), "{nobody}");
    platform.stop();
}

#[test]
fn secrets_and_tokens_lie_in_no_file_as_they_are() {
    let platform = Platform::start();
    let project = NEWEST.example("hello");
    platform.wrangler(NEWEST, &project, &["deploy"]).run().assert_succeeds();
    let put = platform.wrangler(NEWEST, &project, &["secret", "put", "KEY"]);
    put.run_with("a-secret-that-is-sought").assert_succeeds();
    let home = platform.data().home().to_owned();
    let open = readable_files_with(&home, "a-secret-that-is-sought");
    assert_eq!(open, Vec::<std::path::PathBuf>::new(), "others can read the secret");
    let database = fs_err::read(home.join("db/control.sqlite")).expect("read the records");
    let log = fs_err::read(home.join("db/control.sqlite-wal")).unwrap_or_default();
    let has = |text: &str| {
        let text = text.as_bytes();
        [&database, &log].iter().any(|file| file.windows(text.len()).any(|part| part == text))
    };
    assert!(has("hello-containers"), "the records are there");
    let (_, secret) = platform.token().rsplit_once('_').expect("a token has parts");
    assert!(!has("a-secret-that-is-sought") && !has(secret));
    assert!(platform.lines_with("a-secret-that-is-sought").is_empty());
    platform.stop();
}
