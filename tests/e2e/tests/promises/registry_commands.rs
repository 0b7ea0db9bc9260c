//! `berth containers registries`: a platform's registries, without wrangler.

use e2e::{Berth, Outcome, Platform, Project};
use serde_json::Value;

struct Fixture {
    platform: Platform,
    project: Project,
}

impl Fixture {
    fn start() -> Self {
        Self { platform: Platform::start(), project: Project::empty().with_own_home() }
    }

    fn berth(&self, args: &[&str], input: &str) -> Outcome {
        self.project.write(".env", &self.platform.dot_env());
        Berth::new(&self.project, args).input(input).run()
    }

    fn registries(&self, args: &[&str], input: &str) -> Outcome {
        self.berth(&[&["containers", "registries"][..], args].concat(), input)
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let outcome = self.berth(args, "");
        outcome.assert_succeeds();
        let text = &outcome.stdout;
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in: {text}"))
    }

    fn listed(&self) -> Value {
        self.json(&["containers", "registries", "list", "--json"])
    }

    /// The names of the secrets in the first store.
    fn secrets(&self) -> Vec<String> {
        let store = "default_secret_store";
        let all = self.json(&["secrets-store", "secret", "list", store, "--json"]);
        let all = all.as_array().expect("a list").iter();
        all.map(|secret| secret["name"].as_str().expect("a name").to_owned()).collect()
    }
}

#[test]
fn bh1_registries_of_others_are_configured_listed_and_forgotten() {
    let fixture = Fixture::start();
    let none = fixture.registries(&["list"], "");
    none.assert_succeeds();
    assert!(none.stdout.is_empty() && none.stderr.contains("no registries"), "{none}");
    let configure = ["configure", "ghcr.io", "--username", "me"];
    fixture.registries(&configure, "\n").assert_fails(2, &["there is no password", "hint: "]);
    let configured = fixture.registries(&configure, "hush\n");
    configured.assert_succeeds();
    assert!(!configured.to_string().contains("hush"), "{configured}");
    assert_eq!(fixture.secrets(), ["ghcr_io"]);
    let listed = fixture.listed();
    let reference = listed[0]["secrets_store_ref"].as_str().expect("it has its password's place");
    assert!(reference.ends_with(":ghcr_io"), "{listed}");
    let list = fixture.registries(&["list"], "").stdout;
    let line = list.lines().find(|line| line.contains("ghcr.io")).expect("it is in the list");
    assert!(line.contains("me") && line.contains("ghcr_io of the store"), "{list}");

    // What the platform refuses leaves no secret behind.
    let again = [&configure[..], &["--secret-name", "OTHER"]].concat();
    let hint = "berth containers registries delete ghcr.io";
    fixture.registries(&again, "hush").assert_fails(1, &["ALREADY_EXISTS", hint]);
    assert_eq!(fixture.secrets(), ["ghcr_io"]);
    let amazon = ["configure", "1.dkr.ecr.eu-west-1.amazonaws.com", "--aws-access-key-id", "A"];
    fixture.registries(&amazon, "hush").assert_fails(2, &["twelve hours", "config.json"]);

    fixture.registries(&["delete", "ghcr.io"], "").assert_fails(2, &["wants to be confirmed"]);
    let deleted = fixture.registries(&["delete", "ghcr.io", "-y"], "");
    deleted.assert_succeeds();
    assert!(deleted.stderr.contains("--secret-id ghcr_io"), "{deleted}");
    assert_eq!(fixture.listed().as_array().map(Vec::len), Some(0));
    fixture.registries(&configure, "").assert_fails(1, &["`--secret-name ghcr_io` uses it"]);
    let known = [&configure[..], &["--secret-name", "ghcr_io"]].concat();
    fixture.registries(&known, "").assert_succeeds();
    let kept = ["configure", "quay.io", "--username", "you", "--disable-secrets-store"];
    fixture.registries(&kept, "hush").assert_succeeds();
    let listed = fixture.listed().to_string();
    assert!(listed.contains("quay.io") && !listed.contains("hush"), "{listed}");
    fixture.platform.stop();
}

#[test]
fn bh2_a_credential_of_the_platforms_own_registry_lets_its_holder_in() {
    let fixture = Fixture::start();
    let status = |password: &str| {
        let bearer = format!("Bearer {password}");
        let headers = [("authorization", bearer.as_str())];
        fixture.platform.api().send("GET", "/v2/", &headers, "").status
    };
    assert_eq!(status("hush"), 401);
    let given = fixture.registries(&["credentials", "--pull"], "");
    given.assert_succeeds();
    assert_eq!(status(given.stdout.trim()), 200);
    let args = ["containers", "registries", "credentials", "--push", "--json"];
    let given = fixture.json(&args);
    assert_eq!((&given["username"], &given["account_id"]), (&"v1".into(), &"local".into()));
    fixture.registries(&["credentials"], "").assert_fails(2, &["--pull"]);
    let unknown = fixture.registries(&["credentials", "ghcr.io", "--pull"], "");
    unknown.assert_fails(1, &["IMAGE_REGISTRY_NOT_FOUND"]);
    fixture.platform.stop();
}
