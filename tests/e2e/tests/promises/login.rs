//! `berth login`, `whoami`, `env` and `delete`: who asks which platform, without lines in each project.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::{Berth, Outcome, Platform, Project, Tool};
use serde_json::json;

/// A Worker that greets.
fn small() -> Project {
    let project = Project::empty();
    let config = json!({"name": "small", "main": "index.js", "compatibility_date": "2026-08-01"});
    project.write("wrangler.json", &config.to_string());
    project.write("index.js", "export default { fetch: () => new Response('hello') };");
    project
}

/// `berth <args>` of somebody whose configuration is in the project.
fn berth(project: &Project, args: &[&str], input: &str) -> Outcome {
    let folder = project.path().join(".config");
    Berth::new(project, args).env("XDG_CONFIG_HOME", folder).input(input).run()
}

/// The platform's address as its lines for `.env` say it.
fn address(platform: &Platform) -> String {
    let lines = platform.dot_env();
    let url = lines.lines().find_map(|line| line.strip_prefix("CLOUDFLARE_API_BASE_URL="));
    url.expect("the lines have it").trim_end_matches("/client/v4").to_owned()
}

#[test]
fn where_there_is_no_docker_the_lines_give_wrangler_a_docker_command() {
    let platform = Platform::start();
    let project = small();
    let url = address(&platform);
    berth(&project, &["login", &url], platform.token()).assert_succeeds();
    let lines = |path: &Path| {
        let folder = project.path().join(".config");
        let asked = Berth::new(&project, ["env"]).env("XDG_CONFIG_HOME", folder).env("PATH", path);
        let outcome = asked.run();
        outcome.assert_succeeds();
        outcome.stdout
    };
    let command = lines(Path::new("/nonexistent"));
    let command = command.lines().find_map(|line| line.strip_prefix("WRANGLER_DOCKER_BIN="));
    let command = Path::new(command.expect("there is no docker"));
    let version = Tool::program(command, &project, ["buildx", "version"]).run();
    version.assert_succeeds();
    assert!(version.stdout.starts_with("berth-docker buildx"), "{version}");

    project.write("bin/docker", "");
    assert!(!lines(&project.path().join("bin")).contains("DOCKER"), "there is one");
    platform.stop();
}

#[test]
fn after_a_login_no_project_needs_lines_of_its_own() {
    let platform = Platform::start();
    let project = small();
    let url = address(&platform);
    berth(&project, &["whoami"], "").assert_fails(3, &["CLOUDFLARE_API_BASE_URL", "berth login"]);
    berth(&project, &["env"], "").assert_fails(2, &["nobody has logged in", "berth env --token"]);
    berth(&project, &["login", &url], "").assert_fails(2, &["there is no token"]);
    berth(&project, &["login", &url], "hush").assert_fails(1, &["Authentication error"]);
    berth(&project, &["whoami"], "").assert_fails(3, &["CLOUDFLARE_API_BASE_URL"]);

    let outcome = berth(&project, &["login", &url], &format!("{}\n", platform.token()));
    outcome.assert_succeeds();
    assert!(outcome.stderr.contains("with the token \"admin\""), "{outcome}");
    assert!(!outcome.to_string().contains(platform.token()), "{outcome}");
    let file = project.path().join(".config/berth/login.json");
    let mode = fs_err::metadata(file).expect("the login is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let said = berth(&project, &["whoami"], "").stdout;
    assert!(said.contains(&url) && said.contains("admin (") && said.contains("local"), "{said}");
    let whoami = berth(&project, &["whoami", "--json"], "").stdout;
    let whoami: serde_json::Value = serde_json::from_str(&whoami).expect("it is JSON");
    assert_eq!(whoami["token"]["scopes"], json!(["admin"]));
    assert!(berth(&project, &["env"], "").stdout.contains(platform.token()));
    berth(&project, &["deploy"], "").assert_succeeds();
    assert_eq!(platform.worker("small").get("/").text(), "hello");

    // A token for elsewhere is not sent here, nor this one elsewhere.
    project.write(".env", "CLOUDFLARE_API_BASE_URL=http://127.0.0.1:1/client/v4");
    berth(&project, &["deploy"], "").assert_fails(3, &["there is no token for http://127.0.0.1:1"]);
    platform.stop();
}

#[test]
fn env_prints_the_lines_of_this_machines_platform_with_a_new_token() {
    let platform = Platform::start();
    let outcome = platform.berth(&["env", "--token", "ci"]);
    outcome.assert_succeeds();
    let without_token = |lines: &str| -> Vec<String> {
        let lines = lines.lines().filter(|line| !line.starts_with("CLOUDFLARE_API_TOKEN="));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(without_token(&outcome.stdout), without_token(&platform.dot_env()));
    assert!(!outcome.stdout.contains(platform.token()), "{outcome}");
    let project = small();
    project.write(".env", &outcome.stdout);
    berth(&project, &["deploy"], "").assert_succeeds();
    let tokens = platform.berth(&["token", "list"]).stdout;
    assert!(tokens.contains("ci") && tokens.contains("workers:write,containers:write"), "{tokens}");
    platform.stop();

    let empty = Project::empty().with_bare_home();
    let outcome = Berth::new(&empty, ["env", "--token", "ci"]).run();
    outcome.assert_fails(2, &["no `berth serve` has served from", "hint: "]);
}

#[test]
fn h11_delete_takes_the_worker_and_its_containers_away_once_it_is_sure() {
    let platform = Platform::start();
    let project = Project::example("hello");
    platform.client(&project, &["deploy"]).assert_succeeds();
    let worker = platform.worker("hello-containers");
    assert_eq!(worker.get("/container/1").status, 200);
    platform.client(&project, &["delete"]).assert_fails(2, &["wants to be confirmed", "--force"]);
    assert_eq!(worker.get("/").status, 200);

    platform.client(&project, &["delete", "--force"]).assert_succeeds();
    assert_eq!(worker.get("/").status, 404);
    let path = "/accounts/local/containers/applications";
    let applications = platform.ask(platform.token(), "GET", path, "").json();
    assert_eq!(applications["result"], json!([]));
    let outcome = platform.client(&project, &["delete", "--force"]);
    outcome.assert_fails(1, &["there is no Worker \"hello-containers\""]);
    let outcome = platform.client(&project, &["delete", "--name", "other", "--force"]);
    outcome.assert_fails(1, &["there is no Worker \"other\""]);
    let footprint = platform.footprint();
    platform.stop();
    footprint.assert_gone();
}
