//! Static files that wrangler uploads to `berth serve` are served as `berth dev` serves them, and each
//! is uploaded once.

use e2e::{NEWEST, ON_NODE_20, Platform, Project, Wrangler};
use serde_json::{Value, json};

/// A project of these files with this `assets` and, if there is a Worker, its code.
fn project(code: Option<&str>, assets: Value, files: &[(&str, &str)]) -> Project {
    let project = Project::empty().with_own_home();
    let mut config = json!({"name": "site", "compatibility_date": "2026-08-01", "assets": assets});
    if let Some(code) = code {
        project.write("index.js", code);
        config["main"] = "index.js".into();
    }
    project.write("wrangler.json", &config.to_string());
    for (path, text) in files {
        project.write(&format!("public/{path}"), text);
    }
    project
}

#[track_caller]
fn deploy(platform: &Platform, wrangler: Wrangler, project: &Project) -> String {
    platform.wrangler(wrangler, project, &["deploy"]).says()
}

fn a_frontend_is_deployed_and_changed(wrangler: Wrangler) {
    let platform = Platform::start();
    let project = wrangler.example("static-frontend");
    let said = deploy(&platform, wrangler, &project);
    assert!(said.contains("Found 3 new or modified static assets"), "{said}");
    let site = platform.worker("static-frontend");
    let page = site.get("/");
    assert!(page.text().contains("<title>Widgets</title>"), "{page}");
    assert!(page.headers["content-type"].starts_with("text/html"), "{:?}", page.headers);
    assert!(site.get("/style.css").headers["content-type"].starts_with("text/css"));
    let script = site.get("/widgets.js");
    assert!(script.headers["content-type"].contains("javascript"), "{:?}", script.headers);
    let etag = script.headers["etag"].as_str();
    assert_eq!(site.send("GET", "/widgets.js", &[("if-none-match", etag)], "").status, 304);
    assert_eq!(site.get("/nothing-here").status, 404, "the Worker asks the binding for it");
    assert_eq!(site.get("/api/widgets").json()[0]["name"], "Widget A", "a container answers");

    project.write("dist/style.css", "body { color: teal }");
    let said = deploy(&platform, wrangler, &project);
    assert!(said.contains("Found 1 new or modified static asset to upload"), "{said}");
    assert_eq!(site.get("/style.css").text(), "body { color: teal }");
    assert_eq!(site.get("/widgets.js").body, script.body, "it is there though it was not sent");
    let said = deploy(&platform, wrangler, &project);
    assert!(said.contains("No updated asset files to upload"), "{said}");

    let platform = platform.killed_and_started_again();
    let site = platform.worker("static-frontend");
    assert_eq!(site.get("/style.css").text(), "body { color: teal }");
    assert_eq!(site.get("/widgets.js").body, script.body);
    platform.stop();
}

#[test]
fn r7_a15_g13_the_newest_wrangler_deploys_and_changes_a_frontend() {
    a_frontend_is_deployed_and_changed(NEWEST);
}

#[test]
fn r7_a15_g13_the_last_wrangler_for_node_20_deploys_and_changes_a_frontend() {
    a_frontend_is_deployed_and_changed(ON_NODE_20);
}

#[test]
fn files_without_a_worker_have_their_rules_and_come_back_with_their_version() {
    let platform = Platform::start();
    let assets = json!({"directory": "public", "not_found_handling": "404-page",
        "html_handling": "drop-trailing-slash"});
    let files = [
        ("index.html", "the first page"),
        ("404.html", "not here"),
        ("about us/index.html", "about"),
        ("_headers", "/*\n  x-own: yes\n"),
        ("_redirects", "/old /about%20us 301\n"),
        (".assetsignore", "secret.txt\n"),
        ("secret.txt", "not for the public"),
    ];
    let project = project(None, assets, &files);
    deploy(&platform, NEWEST, &project);
    let site = platform.worker("site");
    assert_eq!(site.get("/").text(), "the first page");
    assert_eq!(site.get("/").headers["x-own"], "yes");
    assert_eq!(site.get("/about%20us").text(), "about");
    let old = site.get("/old");
    assert_eq!((old.status, old.headers["location"].as_str()), (301, "/about%20us"));
    assert_ne!(site.get("/..%2f..%2fetc/passwd").status, 200);
    for missing in ["/nowhere", "/secret.txt", "/_headers"] {
        let reply = site.get(missing);
        assert_eq!((reply.status, reply.text().as_str()), (404, "not here"), "{missing}");
    }

    project.write("public/index.html", "the second page");
    deploy(&platform, NEWEST, &project);
    assert_eq!(site.get("/").text(), "the second page");
    let said = platform.wrangler(NEWEST, &project, &["rollback", "-y", "-m", "back"]).says();
    assert_eq!(site.get("/").text(), "the first page", "{said}");
    let said = platform.wrangler(NEWEST, &project, &["delete", "--force"]).says();
    assert_eq!(site.get("/").status, 404, "{said}");
    platform.stop();
}

#[test]
fn a_worker_comes_first_where_it_wants_to_and_an_application_of_one_page_last() {
    let platform = Platform::start();
    let assets = json!({"directory": "public", "binding": "FILES",
        "run_worker_first": ["/api/*", "!/api/docs/*"],
        "not_found_handling": "single-page-application"});
    let files =
        [("index.html", "the page"), ("api/data.json", "[]"), ("api/docs/a.txt", "the docs")];
    let code = "export default {
      async fetch(request, env) {
        const file = await env.FILES.fetch(new URL('/api/data.json', request.url));
        return new Response(`worker ${new URL(request.url).pathname} ${await file.text()}`);
      },
    };";
    let project = project(Some(code), assets, &files);
    deploy(&platform, NEWEST, &project);
    let site = platform.worker("site");
    assert_eq!(site.get("/api/data.json").text(), "worker /api/data.json []");
    assert_eq!(site.get("/api/docs/a.txt").text(), "the docs");
    assert_eq!(site.get("/").text(), "the page");
    let navigation = [("sec-fetch-mode", "navigate")];
    assert_eq!(site.send("GET", "/some/where", &navigation, "").text(), "the page");

    let put = platform.wrangler(NEWEST, &project, &["secret", "put", "KEY"]).run_with("hush");
    put.assert_succeeds();
    assert_eq!(site.get("/api/docs/a.txt").text(), "the docs", "a secret changes no file");
    platform.stop();
}

#[test]
fn an_upload_is_its_sessions_and_is_checked() {
    let platform = Platform::start();
    let scripts = "/accounts/local/workers/scripts";
    let error = |token: &str, path: &str, body: &str| {
        let reply = platform.ask(token, "POST", path, body);
        let error = reply.json()["errors"][0].clone();
        (reply.status, error["message"].as_str().unwrap_or_default().to_owned())
    };
    let start = |manifest: &Value| {
        let body = json!({ "manifest": manifest }).to_string();
        let path = format!("{scripts}/site/assets-upload-session");
        platform.ask(platform.token(), "POST", &path, &body).json()
    };
    let hash = "0123456789abcdef0123456789abcdef";
    for (path, size, text) in [
        ("/../x", 1, "names no file"),
        ("/big", 25 * 1024 * 1024 + 1, "at most 25 MiB"),
        ("/_redirects", 1, "a file of rules"),
    ] {
        let refused = start(&json!({ path: {"hash": hash, "size": size} }));
        let message = refused["errors"][0]["message"].as_str().expect("it is refused");
        assert!(message.contains(text) && message.contains(path), "{refused}");
    }
    let started = start(&json!({"/a.txt": {"hash": hash, "size": 5}}));
    assert_eq!(started["result"]["buckets"], json!([[hash]]), "{started}");
    let token = started["result"]["jwt"].as_str().expect("a session has a token").to_owned();
    let path = format!("/accounts/local/workers/assets/upload/{hash}");
    let (status, message) = error(platform.token(), &path, "hello");
    assert_eq!(status, 401, "the account's token is not the session's: {message}");
    assert_eq!(error(&token, "/accounts/local/workers/scripts", "").0, 404);
    assert_eq!(error(&token, &format!("{scripts}/site/assets-upload-session"), "{}").0, 403);
    let (status, message) = error(&token, &path, "hello, world");
    assert_eq!(status, 400);
    assert!(message.contains("was to have 5"), "{message}");
    let done = platform.ask(&token, "POST", &path, "hello");
    assert_eq!((done.status, &done.json()["result"]["jwt"]), (201, &json!(token)), "{done}");
    platform.stop();
}
