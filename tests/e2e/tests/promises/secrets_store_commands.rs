//! `berth secrets-store`: stores, and the secrets in them, without wrangler.

use e2e::{Berth, Outcome, Platform, Project, until};
use serde_json::{Value, json};

struct Fixture {
    platform: Platform,
    project: Project,
}

impl Fixture {
    fn start() -> Self {
        Self { platform: Platform::start(), project: Project::empty() }
    }

    fn berth(&self, args: &[&str], input: &str) -> Outcome {
        self.project.write(".env", &self.platform.dot_env());
        let args = [&["secrets-store"][..], args].concat();
        Berth::new(&self.project, args).input(input).run()
    }

    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        let outcome = self.berth(args, "");
        outcome.assert_succeeds();
        outcome.stdout.trim().to_owned()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        self.berth(args, "").json()
    }

    /// A Worker that answers with what the store has as `KEY`.
    fn deploy(&self, store: &str) {
        let secret = json!({"binding": "KEY", "store_id": store, "secret_name": "KEY"});
        let config = json!({"name": "small", "main": "index.js",
            "compatibility_date": "2026-08-01", "secrets_store_secrets": [secret]});
        self.project.write("wrangler.json", &config.to_string());
        let script = "export default {\n  \
             fetch: async (request, env) => new Response(await env.KEY.get()),\n};\n";
        self.project.write("index.js", script);
        self.platform.client(&self.project, &["deploy"]).assert_succeeds();
    }

    fn answers(&self, text: &str) {
        let worker = self.platform.worker("small");
        until("the Worker has the value", || (worker.get("/").text() == text).then_some(()));
    }
}

#[test]
fn h12_secrets_of_a_store_are_made_changed_copied_and_deleted_and_shown_to_nobody() {
    let fixture = Fixture::start();
    let none = fixture.berth(&["store", "list"], "");
    none.assert_succeeds();
    assert!(none.stdout.is_empty() && none.stderr.contains("There are no stores"), "{none}");
    let store = fixture.says(&["store", "create", "demo", "--remote"]);
    let list = fixture.says(&["store", "list"]);
    assert!(list.starts_with("NAME") && list.contains(&store), "{list}");

    let create = ["secret", "create", "demo", "--name", "KEY", "--scopes", "workers"];
    let refused = fixture.berth(&[&create[..], &["--value", "hush"]].concat(), "");
    refused.assert_fails(2, &["`--value`", "hint: "]);
    assert!(!refused.to_string().contains("hush"), "{refused}");
    let created = fixture.berth(&create, "hush hush\n");
    created.assert_succeeds();
    assert!(!created.to_string().contains("hush"), "{created}");
    fixture.deploy(&store);
    fixture.answers("hush hush");

    let which = ["demo", "--secret-id", "KEY"];
    let on_it = |verb: &'static str, more: &[&'static str]| -> Vec<&str> {
        [&["secret", verb][..], &which, more].concat()
    };
    fixture.berth(&on_it("update", &[]), "another\n").assert_succeeds();
    fixture.answers("another");
    let _ = fixture.says(&on_it("update", &["--comment", "why it is there"]));
    let secret = fixture.json(&on_it("get", &["--json"]));
    assert_eq!(secret["id"], created.stdout.trim(), "{secret}");
    assert_eq!(secret["comment"], "why it is there");
    assert!(secret.get("value").is_none(), "{secret}");

    let more = ["--name", "COPY", "--scopes", "containers,workers"];
    let copy = fixture.says(&on_it("duplicate", &more));
    let list = fixture.says(&["secret", "list", &store]);
    let line = list.lines().find(|line| line.contains(&copy)).expect("it is in the list");
    assert!(line.contains("COPY") && line.contains("containers, workers"), "{list}");

    fixture.berth(&["store", "delete", "demo"], "").assert_fails(1, &["has secrets"]);
    let unasked = fixture.berth(&on_it("delete", &[]), "");
    unasked.assert_fails(2, &["wants to be confirmed", "--force"]);
    let _ = fixture.says(&on_it("delete", &["-y"]));
    fixture.berth(&on_it("get", &[]), "").assert_fails(1, &["has no secret \"KEY\"", "hint: "]);
    let _ = fixture.says(&["secret", "delete", &store, "--secret-id", &copy, "--force"]);
    assert_eq!(fixture.json(&["secret", "list", "demo", "--json"]), json!([]));
    let _ = fixture.says(&["store", "delete", "demo"]);
    fixture.berth(&["secret", "list", "demo"], "").assert_fails(1, &["there is no store \"demo\""]);
    fixture.platform.stop();
}
