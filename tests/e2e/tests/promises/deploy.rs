//! `berth deploy` deploys a project to `berth serve` with no Node in wrangler's place, and what it
//! deployed answers.

use e2e::{Berth, NEWEST, Platform, Project, Reply, instance_id, until};
use serde_json::{Value, json};

/// What the Worker of `hello` says at `/`, and what a later version says there.
const BEFORE: &str = "Available endpoints:";
const AFTER: &str = "Endpoints of the second version:";

fn hello() -> Project {
    let project = Project::example("hello");
    // A deploy on a slow machine takes longer than its containers sleep after.
    project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
    project
}

/// A Worker without containers that answers with its `env`.
fn small() -> Project {
    let project = Project::empty();
    let config = json!({"name": "small", "main": "index.js", "compatibility_date": "2026-08-01",
        "vars": {"A": "a", "B": "b"}});
    project.write("wrangler.json", &config.to_string());
    project.write("index.js", "export default { fetch: (request, env) => Response.json(env) };");
    project
}

/// Deploys, and what it said on stdout and stderr.
#[track_caller]
fn deploy(platform: &Platform, project: &Project, args: &[&str]) -> (String, String) {
    let outcome = platform.client(project, &[&["deploy"], args].concat());
    outcome.assert_succeeds();
    (outcome.stdout, outcome.stderr)
}

#[test]
fn h2_k4_a_project_with_a_container_is_deployed_changed_and_rolled_out() {
    let platform = Platform::start();
    let project = hello();
    let (printed, said) = deploy(&platform, &project, &["--message", "the first", "--tag", "v1"]);
    let url = printed.lines().next().expect("it prints where the Worker is").trim().to_owned();
    assert!(url.starts_with("http://hello-containers.localhost:"), "{printed}");
    assert!(printed.contains("Current Version ID: "), "{printed}");
    assert!(printed.contains("Worker Startup Time: "), "{printed}");
    assert!(said.contains("Created the containers hello-containers"), "{said}");
    let host = platform.host(url.trim_start_matches("http://"));
    let first = instance_id(&host.get("/container/1"));
    let worker = platform.worker("hello-containers");
    assert_eq!(instance_id(&worker.get("/container/1")), first, "a name has one container");

    project.replace("src/index.ts", BEFORE, AFTER);
    let (_, said) = deploy(&platform, &project, &[]);
    assert!(said.contains("Nothing has changed for the containers"), "{said}");
    assert!(worker.get("/").text().starts_with(AFTER), "the new code answers");
    assert_eq!(instance_id(&worker.get("/container/1")), first, "its image is the same");

    project.replace("container/main.rs", "Hi, I'm a container", "Hi, I'm another one");
    let (_, said) = deploy(&platform, &project, &["--containers-rollout", "none"]);
    assert!(!said.contains("containers hello-containers"), "{said}");
    assert_eq!(instance_id(&worker.get("/container/1")), first, "containers are left alone");
    let (_, said) = deploy(&platform, &project, &["--containers-rollout", "immediate"]);
    assert!(said.contains("Began to roll out the containers"), "{said}");
    let answer = until("the new image answers", || {
        let reply = worker.get("/container/1");
        reply.text().contains("another one").then_some(reply)
    });
    assert_ne!(instance_id(&answer), first);

    let versions = platform.wrangler(NEWEST, &project, &["versions", "list"]).says();
    assert!(versions.contains("the first") && versions.contains("v1"), "{versions}");
    platform.stop();
}

#[test]
fn wrangler_and_berth_deploy_take_turns() {
    let platform = Platform::start();
    let project = NEWEST.example("hello");
    platform.wrangler(NEWEST, &project, &["deploy"]).run().assert_succeeds();
    project.replace("src/index.ts", BEFORE, AFTER);
    let (_, said) = deploy(&platform, &project, &[]);
    assert!(said.contains("Nothing has changed for the containers"), "{said}");
    assert!(platform.worker("hello-containers").get("/").text().starts_with(AFTER));
    let said = platform.wrangler(NEWEST, &project, &["deploy"]).says();
    assert!(said.contains("no changes"), "{said}");
    platform.stop();
}

#[test]
fn a_script_that_does_not_start_or_is_not_done_leaves_the_old_one() {
    let platform = Platform::start();
    let project = small();
    deploy(&platform, &project, &[]);
    let fails = |change: &dyn Fn(&Project), code: i32, texts: &[&str]| {
        let project = small();
        change(&project);
        platform.client(&project, &["deploy"]).assert_fails(code, texts);
        let reply = platform.worker("small").get("/");
        assert_eq!(reply.json(), json!({"A": "a", "B": "b"}), "{texts:?}");
    };
    fails(
        &|it| it.write("index.js", "throw new Error('no good');\nexport default {};"),
        4,
        &["deploy the Worker \"small\"", "no good", "[code: 10021]"],
    );
    fails(&|it| it.configure(|config| config["limits"] = json!({"cpu_ms": 50})), 4, &["limits"]);
    fails(
        &|it| it.configure(|config| config["secrets"] = json!({"required": ["S"]})),
        1,
        &["[code: 10057]", "hint: put the secret first"],
    );
    let without_date = |config: &mut Value| {
        config.as_object_mut().expect("an object").remove("compatibility_date");
    };
    fails(&|it| it.configure(without_date), 3, &["compatibility_date"]);
    fails(&|it| it.write("index.js", "import 'nowhere';"), 4, &["bundle the Worker", "nowhere"]);
    platform.stop();
}

#[test]
fn without_a_platform_or_a_token_it_says_how_to_come_by_one() {
    let project = small();
    let berth = |args: &[&str]| Berth::new(&project, [&["deploy"], args].concat());
    berth(&[]).run().assert_fails(3, &["CLOUDFLARE_API_BASE_URL", "hint: ", "`berth serve`"]);
    let url = ("CLOUDFLARE_API_BASE_URL", "http://127.0.0.1:1/client/v4");
    let outcome = berth(&[]).env(url.0, url.1).run();
    outcome.assert_fails(3, &["CLOUDFLARE_API_TOKEN is not set", "hint: ", "berth token create"]);
    let outcome = berth(&[]).env(url.0, url.1).env("CLOUDFLARE_API_TOKEN", "hush").run();
    outcome.assert_fails(1, &["http://127.0.0.1:1/client/v4 cannot be reached", "hint: "]);
    assert!(!outcome.stderr.contains("hush"), "{outcome}");

    let platform = Platform::start();
    let outcome = platform.berth(&["token", "create", "r", "--scope", "read"]);
    project.write(".env", &platform.dot_env());
    let reader = outcome.stdout.trim();
    for (token, text) in [("hush", "Authentication error"), (reader, "\"r\" does not allow")] {
        let outcome = berth(&[]).env("CLOUDFLARE_API_TOKEN", token).run();
        outcome.assert_fails(1, &[text, "[code: 10000]", "berth token create"]);
        assert!(!outcome.stderr.contains(token), "{outcome}");
    }
    let root = platform.dot_env().replace("/client/v4", "");
    project.write(".env", &root);
    berth(&[]).run().assert_fails(1, &["[code: 7003]", "/client/v4 at its end"]);
    platform.stop();
}

#[test]
fn variables_come_from_the_command_line_and_stay_if_they_are_to() {
    let platform = Platform::start();
    let project = small();
    let answer = || platform.worker("small").get("/").json();
    deploy(&platform, &project, &["--var", "A:x:y"]);
    assert_eq!(answer(), json!({"A": "x:y", "B": "b"}));
    project.configure(|config| config["vars"] = json!({"C": "c"}));
    deploy(&platform, &project, &["--keep-vars"]);
    assert_eq!(answer(), json!({"A": "x:y", "B": "b", "C": "c"}));
    deploy(&platform, &project, &["--minify"]);
    assert_eq!(answer(), json!({"C": "c"}));

    project.configure(|config| {
        config["env"] = json!({"staging": {"vars": {"C": "staging"}}});
        config["triggers"] = json!({"crons": ["*/5 * * * *"]});
        config["routes"] = json!(["routed.localhost/*"]);
    });
    let (printed, _) = deploy(&platform, &project, &["--env", "staging"]);
    assert!(printed.contains("routed.localhost/*"), "{printed}");
    assert!(printed.contains("schedule: */5 * * * *"), "{printed}");
    assert_eq!(platform.host("routed.localhost").get("/").json(), json!({"C": "staging"}));
    assert_eq!(platform.worker("small-staging").get("/").status, 404, "it has a route");
    assert_eq!(answer(), json!({"C": "c"}), "the other one stays");
    platform.stop();
}

#[test]
fn r7_only_static_assets_that_are_new_are_sent() {
    let platform = Platform::start();
    let project = Project::empty();
    let config = json!({"name": "site", "compatibility_date": "2026-08-01",
        "assets": {"directory": "public", "not_found_handling": "404-page"}});
    project.write("wrangler.json", &config.to_string());
    for (path, text) in [
        ("index.html", "the page"),
        ("404.html", "not here"),
        ("a b.txt", "with a space"),
        ("_headers", "/*\n  x-own: yes\n"),
        (".assetsignore", "*.key\n"),
        ("deep/secret.key", "hush"),
    ] {
        project.write(&format!("public/{path}"), text);
    }
    let (_, said) = deploy(&platform, &project, &[]);
    assert!(said.contains("Uploading 3 new or changed static assets"), "{said}");
    let site = platform.worker("site");
    let page = site.get("/");
    assert_eq!((page.text().as_str(), page.headers["x-own"].as_str()), ("the page", "yes"));
    assert_eq!(site.get("/a%20b.txt").text(), "with a space");
    let missing = |reply: &Reply| (reply.status, reply.text());
    assert_eq!(missing(&site.get("/deep/secret.key")), (404, "not here".to_owned()));

    project.write("public/index.html", "the second page");
    let (_, said) = deploy(&platform, &project, &[]);
    assert!(said.contains("Uploading 1 new or changed static asset"), "{said}");
    assert_eq!(site.get("/").text(), "the second page");
    let (_, said) = deploy(&platform, &project, &[]);
    assert!(said.contains("No static asset is new"), "{said}");
    platform.stop();
}

#[test]
fn a_dry_run_asks_no_platform_and_says_what_would_be_deployed() {
    let project = small();
    let outcome = Berth::new(&project, ["deploy", "--dry-run"]).run();
    outcome.assert_succeeds();
    for text in ["Total upload: ", "env.A", "nothing is deployed"] {
        assert!(outcome.stderr.contains(text), "{outcome}");
    }
    project.configure(|config| {
        config["containers"] = json!([{"class_name": "C", "scheduling_policy": "durable_object",
            "images": {"a": {"image": "docker.io/library/alpine:3"}}}]);
        config["migrations"] = json!([{"tag": "v1", "new_sqlite_classes": ["C"]}]);
        config["durable_objects"] = json!({"bindings": [{"name": "O", "class_name": "C"}]});
    });
    project.configure(|config| config["berth"] = json!({"atomic": true}));
    let outcome = Berth::new(&project, ["deploy", "--dry-run"]).run();
    outcome.assert_fails(3, &["`berth.atomic`", "\"small-c\"", "durable_object"]);
}
