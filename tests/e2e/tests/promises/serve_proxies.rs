//! Behind a proxy a Worker is told of the client and its scheme, if the proxy is one that is trusted.

use e2e::{Platform, Project};
use serde_json::Value;

const WORKER: &str = r#"
export default {
  fetch(request) {
    const header = (name) => request.headers.get(name);
    return Response.json({
      url: request.url,
      client: header("cf-connecting-ip"),
      chain: header("x-forwarded-for"),
      scheme: header("x-forwarded-proto"),
      visitor: header("cf-visitor"),
    });
  },
};
"#;

/// What the Worker is told of a request that a proxy on this machine passes on.
fn told(platform: &Platform) -> Value {
    let headers = [("x-forwarded-for", "6.6.6.6, 198.51.100.7"), ("x-forwarded-proto", "https")];
    let reply = platform.worker("seen").send("GET", "/a", &headers, "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[test]
fn a_trusted_proxy_is_believed_and_nobody_else() {
    let platform = Platform::start();
    let project = Project::empty().with_own_home();
    project.write("index.js", WORKER);
    let config = r#"{"name": "seen", "main": "index.js", "compatibility_date": "2026-08-01"}"#;
    project.write("wrangler.json", config);
    platform.client(&project, &["deploy"]).assert_succeeds();

    let seen = told(&platform);
    assert_eq!((&seen["client"], &seen["scheme"]), (&"127.0.0.1".into(), &"http".into()));
    assert!(seen["url"].as_str().is_some_and(|url| url.starts_with("http://")), "{seen}");

    let log = project.path().join("access.log");
    let log_option = log.to_str().expect("text").to_owned();
    let options = ["--trusted-proxies", "10.0.0.0/8,127.0.0.1", "--access-log", &log_option];
    let platform = platform.stopped_and_started_again_with(&options);
    let seen = told(&platform);
    assert_eq!((&seen["client"], &seen["scheme"]), (&"198.51.100.7".into(), &"https".into()));
    assert_eq!(seen["chain"], "6.6.6.6, 198.51.100.7, 127.0.0.1");
    assert_eq!(seen["visitor"], r#"{"scheme":"https"}"#);
    assert!(seen["url"].as_str().is_some_and(|url| url.starts_with("https://")), "{seen}");

    platform.stop();
    let log = fs_err::read_to_string(log).expect("a log");
    let line = log.lines().find(|line| line.contains(r#""/a""#)).expect("its line");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["client"], &line["scheme"]), (&"198.51.100.7".into(), &"https".into()));
}
