//! What else wrangler is asked about a deployed Worker and its containers.

use e2e::{NEWEST, Platform, Project, Tool, instance_id};
use serde_json::Value;

struct Fixture {
    platform: Platform,
    project: Project,
}

impl Fixture {
    /// `hello`, deployed, which tells a secret at `/secret`.
    fn deployed() -> Self {
        let project = NEWEST.example("hello");
        let secret = "if (pathname === \"/secret\") return new Response((env as any).A);\n\
                      if (pathname === \"/lb\") {";
        project.replace("src/index.ts", "if (pathname === \"/lb\") {", secret);
        // A deploy on a slow machine takes longer than its containers sleep after.
        project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
        let fixture = Self { platform: Platform::start(), project };
        fixture.says(&["deploy"]);
        fixture
    }

    fn wrangler(&self, args: &[&str]) -> Tool {
        self.platform.wrangler(NEWEST, &self.project, args)
    }

    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        self.wrangler(args).says()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let text = self.says(args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in: {text}"))
    }
}

#[test]
fn a_version_is_uploaded_viewed_and_then_deployed() {
    let fixture = Fixture::deployed();
    let worker = fixture.platform.worker("hello-containers");
    fixture.project.write("secrets.json", r#"{"A": "one", "B": "two"}"#);
    fixture.says(&["secret", "bulk", "secrets.json"]);
    assert_eq!(worker.get("/secret").text(), "one");

    fixture.project.replace("src/index.ts", "Available endpoints:", "New endpoints:");
    fixture.says(&["versions", "upload", "--message", "to be seen", "--tag", "t1"]);
    assert!(worker.get("/").text().starts_with("Available"), "an upload alone serves nothing");
    let versions = fixture.json(&["versions", "list", "--json"]);
    let newest = versions.as_array().and_then(|all| all.last()).expect("there are versions");
    assert_eq!(newest["annotations"]["workers/message"], "to be seen", "{newest}");
    let id = newest["id"].as_str().expect("it has an id");
    let view = fixture.says(&["versions", "view", id]);
    for word in ["t1", "MyContainer", "Secret Name:  A", "Secret Name:  B"] {
        assert!(view.contains(word), "{view}");
    }
    assert!(!view.contains("one"), "a secret's text is shown to nobody: {view}");
    let refused = fixture.wrangler(&["secret", "put", "C"]).run_with("three");
    assert!(refused.code != 0, "the newest version is not deployed: {refused}");

    fixture.says(&["versions", "deploy", &format!("{id}@100"), "-y"]);
    assert!(worker.get("/").text().starts_with("New"));
    assert_eq!(worker.get("/secret").text(), "one", "it has its secrets");
    fixture.platform.stop();
}

#[test]
fn routes_custom_domains_and_crons_are_the_workers_until_it_is_deployed_without_them() {
    let fixture = Fixture::deployed();
    fixture.project.replace(
        "src/index.ts",
        "export default {",
        "export default {
  scheduled() { console.log(\"it is time\"); },",
    );
    let triggers = |routes: Value, crons: Value| {
        fixture.project.configure(|config| {
            config["workers_dev"] = true.into();
            config["routes"] = routes;
            config["triggers"] = serde_json::json!({ "crons": crons });
        });
        fixture.says(&["deploy"]);
    };
    let routes = serde_json::json!([
        {"pattern": "app.example/api/*", "zone_id": "1"},
        {"pattern": "own.example", "custom_domain": true},
    ]);
    triggers(routes, serde_json::json!(["*/5 * * * *"]));
    let status = |host: &str, path: &str| fixture.platform.host(host).get(path).status;
    assert_eq!(status("own.example", "/"), 200);
    let usage = fixture.platform.host("app.example").get("/api/x");
    assert!(usage.text().starts_with("Available endpoints"), "the Worker answers: {usage}");
    assert!(fixture.platform.host("app.example").get("/").text().contains("no Worker serves"));
    let script = "/accounts/local/workers/scripts/hello-containers";
    let token = fixture.platform.token();
    let schedules =
        || fixture.platform.ask(token, "GET", &format!("{script}/schedules"), "").json();
    assert_eq!(schedules()["result"]["schedules"][0]["cron"], "*/5 * * * *");

    let path = format!("{script}/schedules");
    let wrong = fixture.platform.ask(token, "PUT", &path, r#"[{"cron": "every day"}]"#);
    assert_eq!(wrong.status, 400, "{wrong}");
    assert!(wrong.text().contains("every day"), "{wrong}");
    let path = format!("{script}/routes");
    let wrong = fixture.platform.ask(token, "PUT", &path, r#"[{"pattern": "a.*.com/"}]"#);
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["code"]), (400, &10022.into()));

    triggers(
        serde_json::json!([{"pattern": "own.example", "custom_domain": true}]),
        Value::Array(vec![]),
    );
    assert_eq!(status("own.example", "/"), 200);
    assert_eq!(schedules()["result"]["schedules"], serde_json::json!([]));
    fixture.platform.stop();
}

#[test]
fn bi1_containers_are_listed_looked_at_and_deleted() {
    let fixture = Fixture::deployed();
    let worker = fixture.platform.worker("hello-containers");
    assert_eq!(worker.get("/container/1").status, 200);
    let instance = instance_id(&worker.get("/container/1"));
    let list = fixture.json(&["containers", "list", "--json"]);
    assert_eq!((&list[0]["name"], &list[0]["instances"]), (&"hello-containers".into(), &1.into()));
    let id = list[0]["id"].as_str().expect("an application has an id").to_owned();
    let info = fixture.json(&["containers", "info", &id]);
    assert_eq!(info["health"]["instances"]["healthy"], 1, "{info}");
    let instances = fixture.says(&["containers", "instances", &id]);
    assert!(instances.contains("running"), "{instances}");

    fixture.says(&["containers", "delete", &id]);
    assert_eq!(fixture.json(&["containers", "list", "--json"]), serde_json::json!([]));
    let processes = e2e::Process::of_instance(&instance);
    assert!(processes.is_empty(), "its instances have ended: {processes:?}");
    fixture.says(&["deploy"]);
    assert_eq!(worker.get("/container/1").status, 200, "a deploy makes it anew");
    fixture.platform.stop();
}
