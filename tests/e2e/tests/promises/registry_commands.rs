//! `berth containers registries`, `build`, `push` and `images`: a platform's registries and images,
//! without wrangler.

use e2e::{Berth, Outcome, Platform, Project};
use serde_json::{Value, json};

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
        self.berth(args, "").json()
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

#[test]
fn h6_h8_bi1_images_are_built_pushed_listed_and_deleted() {
    let fixture = Fixture::start();
    let images = |args: &[&str]| fixture.berth(&[&["containers", "images"][..], args].concat(), "");
    let none = images(&["list"]);
    none.assert_succeeds();
    assert!(none.stdout.is_empty() && none.stderr.contains("There are no images"), "{none}");

    fixture.project.write("image/Dockerfile", "FROM busybox\nRUN echo built > /how\n");
    let build = ["containers", "build", "image", "--push"];
    fixture.berth(&build, "").assert_fails(2, &["--tag"]);
    let theirs = [&build[..], &["-t", "ghcr.io/owner/app:1"]].concat();
    fixture.berth(&theirs, "").assert_fails(2, &["belongs to the registry ghcr.io", "hint: "]);
    let built = fixture.berth(&[&build[..], &["-t", "app:one"]].concat(), "");
    built.assert_succeeds();
    let name = built.stdout.lines().last().expect("it says what it is called");
    assert!(name.contains("/local/app:one@sha256:"), "{built}");
    let push = ["containers", "push", "other:two"];
    fixture.berth(&push, "").assert_fails(1, &["no image other:two here", "hint: "]);
    fixture.berth(&["images", "tag", "app:one", "other:two"], "").assert_succeeds();
    fixture.berth(&push, "").assert_succeeds();

    let listed = || fixture.json(&["containers", "images", "list", "--json"]);
    let [app, other] =
        [("app", "one"), ("other", "two")].map(|(name, tag)| json!({"name": name, "tags": [tag]}));
    assert_eq!(listed(), json!([app, other]));
    let list = images(&["list", "--filter", "^o.*r$"]).stdout;
    let words: Vec<&str> = list.split_whitespace().collect();
    assert_eq!(words, ["REPOSITORY", "TAG", "other", "two"], "{list}");
    images(&["list", "--filter", "("]).assert_fails(2, &["`--filter`"]);

    images(&["delete", "app", "-y"]).assert_fails(2, &["has no tag", "IMAGE:TAG"]);
    images(&["delete", "app:one"]).assert_fails(2, &["wants to be confirmed"]);
    images(&["delete", "app:one", "-y"]).assert_succeeds();
    assert_eq!(listed(), json!([other]));
    let again = images(&["delete", "app:one", "-y"]);
    again.assert_fails(1, &["404", "`berth containers images list`"]);
    fixture.platform.stop();
}
