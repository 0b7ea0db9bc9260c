//! A platform is saved in one file while it runs, becomes another one from it, and gets another key.

use e2e::{Platform, Project, until};
use serde_json::json;

/// Counts, asks a container, and tells a secret.
const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";
export class Machine extends DurableObject {
  async fetch(request) {
    if (new URL(request.url).pathname === "/count") {
      const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
      await this.ctx.storage.put("count", count);
      return new Response(String(count));
    }
    if (!this.ctx.container.running) this.ctx.container.start({ enableInternet: false });
    return this.ctx.container.getTcpPort(8080).fetch("http://container/");
  }
}
export default {
  fetch(request, env) {
    if (new URL(request.url).pathname === "/secret") return new Response(env.KEY);
    return env.MACHINE.getByName("one").fetch(request);
  },
};
"#;
const DOCKERFILE: &str = "FROM busybox\nRUN echo it is saved > /index.html\n\
                          CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/\"]\n";

fn project() -> Project {
    let project = Project::empty().with_own_home();
    project.write("index.js", WORKER);
    project.write("Dockerfile", DOCKERFILE);
    let config = json!({"name": "saved", "main": "index.js", "compatibility_date": "2026-08-01",
        "containers": [{"class_name": "Machine", "image": "./Dockerfile"}],
        "durable_objects": {"bindings": [{"name": "MACHINE", "class_name": "Machine"}]},
        "migrations": [{"tag": "v1", "new_sqlite_classes": ["Machine"]}]});
    project.write("wrangler.json", &config.to_string());
    project
}

#[track_caller]
fn answers(platform: &Platform, path: &str, text: &str) {
    let reply = platform.worker("saved").get(path);
    assert_eq!(reply.text().trim(), text, "{path}: {reply}");
}

/// The project, deployed with its secret.
fn deployed(platform: &Platform) -> Project {
    let project = project();
    platform.client(&project, &["deploy"]).assert_succeeds();
    project.write("secrets.json", r#"{"KEY": "hush hush"}"#);
    platform.client(&project, &["secret", "bulk", "secrets.json"]).assert_succeeds();
    project
}

/// Counts to one, and saves the platform in a file, whose path it gives.
fn saved_at_one(platform: &Platform, project: &Project) -> String {
    answers(platform, "/count", "1");
    let path = project.path().join("platform.tar").to_string_lossy().into_owned();
    platform.berth(&["backup", &path]).assert_succeeds();
    path
}

/// Waits until it does so again.
fn serves(platform: &Platform) {
    until("it serves again", || {
        platform.api().try_get("/readyz").ok().filter(|reply| reply.status == 200)
    });
}

#[test]
fn a_platform_is_saved_while_it_runs_and_is_another_one_elsewhere_with_another_key() {
    let platform = Platform::start();
    let project = deployed(&platform);
    answers(&platform, "/count", "1");
    answers(&platform, "/count", "2");

    let archive = project.path().join("platform.tar");
    let path = archive.to_string_lossy();
    platform.berth(&["backup", &path]).assert_succeeds();
    platform.berth(&["backup", &path]).assert_fails(2, &["is there already"]);
    answers(&platform, "/count", "3");
    let bytes = fs_err::read(&archive).expect("read the archive");
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(!holds(b"hush hush") && !holds(b"db/secrets.key"), "no secret is in it, nor the key");
    platform.berth(&["rotate-key"]).assert_fails(6, &["another `berth serve` runs"]);
    let key = fs_err::read(platform.data().home().join("db/secrets.key")).expect("read the key");

    let platform = platform.moved_to_another_home(|data| {
        let berth = |args: &[&str]| e2e::Berth::new(data, args).run();
        berth(&["restore", &path]).assert_succeeds();
        berth(&["restore", &path]).assert_fails(2, &["there is a platform", "--replace"]);
        data.write_private(".home/db/secrets.key", &key);
        berth(&["rotate-key"]).assert_succeeds();
    });
    answers(&platform, "/secret", "hush hush");
    answers(&platform, "/count", "3");
    answers(&platform, "/", "it is saved");
    let new = fs_err::read(platform.data().home().join("db/secrets.key")).expect("read the key");
    assert_ne!(new, key);
    platform.stop();
}

#[test]
fn a_platform_that_runs_is_again_what_it_was_when_it_was_saved() {
    // The first one's addresses are any: the next start has the same ones.
    let platform = Platform::start().stopped_and_started_again();
    let project = deployed(&platform);
    let path = saved_at_one(&platform, &project);

    // What comes after is undone: a count, code, a Worker, an image and what a container has written.
    answers(&platform, "/count", "2");
    answers(&platform, "/", "it is saved");
    project.write("index.js", &WORKER.replace("env.KEY", "\"new code\""));
    project.replace("Dockerfile", "it is saved", "it is new");
    platform.client(&project, &["deploy"]).assert_succeeds();
    answers(&platform, "/secret", "new code");
    project.configure(|config| config["name"] = "later".into());
    project.configure(|config| config["containers"] = json!([]));
    platform.client(&project, &["deploy"]).assert_succeeds();

    platform.berth(&["restore", &path]).assert_fails(2, &["--replace"]);
    platform.berth(&["restore", &path, "--replace"]).assert_succeeds();
    serves(&platform);
    assert!(platform.process().is_alive(), "whoever watches over it sees no end");
    let command = fs_err::read_to_string(format!("/proc/{}/comm", platform.process().pid));
    assert_eq!(command.expect("read its name").trim(), "berth");
    answers(&platform, "/secret", "hush hush");
    answers(&platform, "/count", "2");
    answers(&platform, "/", "it is saved");
    assert_eq!(platform.worker("later").get("/").status, 404);
    let replaced = platform.data().home().join("replaced");
    assert!(replaced.join("db/control.sqlite").exists(), "what was there is kept");

    // A key that does not fit is seen before anything is touched.
    let platform = platform.stopped_and_changed(|data| {
        let key = fs_err::read(data.home().join("db/secrets.key")).expect("read the key");
        data.write_private("old.key", &key);
        let berth = |args: &[&str]| e2e::Berth::new(data, args).run();
        berth(&["rotate-key"]).assert_succeeds();
        let restore = ["restore", &path, "--replace"];
        berth(&restore).assert_fails(1, &["does not fit the archive", "--key"]);
        let with_key = [&restore[..], &["--key", "old.key"]].concat();
        berth(&with_key).assert_succeeds();
    });
    answers(&platform, "/secret", "hush hush");
    platform.stop();
}

#[test]
fn instances_that_were_left_behind_end_before_what_was_saved_takes_their_place() {
    let platform = Platform::start_and_leave_instances();
    let project = deployed(&platform);
    let path = saved_at_one(&platform, &project);
    answers(&platform, "/count", "2");
    answers(&platform, "/", "it is saved");
    let platform = platform.stopped_and_changed(|data| {
        let outcome = e2e::Berth::new(data, ["restore", &path, "--replace"]).run();
        outcome.assert_succeeds();
        assert!(outcome.stderr.contains("instances are left"), "{outcome}");
    });
    let home = platform.data().home();
    until("it is taken up", || {
        let waits = ["restore.next", "restore.now"].iter().any(|name| home.join(name).exists());
        (!waits && home.join("replaced").exists()).then_some(())
    });
    serves(&platform);
    answers(&platform, "/count", "2");
    answers(&platform, "/", "it is saved");
    platform.stop();
}

#[test]
fn the_key_of_secrets_may_be_kept_elsewhere_than_on_the_platforms_disk() {
    let platform = Platform::start();
    drop(deployed(&platform));
    let file = |data: &Project| data.home().join("db/secrets.key");
    assert!(file(platform.data()).exists());

    let keys = ["01".repeat(32), "02".repeat(32)];
    let rotate = |data: &Project, variables: &[(&str, &str)]| {
        let all = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        all.fold(e2e::Berth::new(data, ["rotate-key"]), |berth, (name, value)| {
            berth.env(name, value)
        })
        .run()
    };
    let one = [("BERTH_SECRETS_KEY", keys[0].as_str())];
    let platform = platform.with_variables(&one).stopped_and_changed(|data| {
        rotate(data, &[("BERTH_SECRETS_KEY", "hush")])
            .assert_fails(1, &["64 hexadecimal digits", "openssl"]);
        rotate(data, &one).assert_succeeds();
        assert!(!file(data).exists(), "no key is on the disk");
    });
    answers(&platform, "/secret", "hush hush");

    let other =
        [("BERTH_SECRETS_KEY", keys[1].as_str()), ("BERTH_SECRETS_KEY_BEFORE", keys[0].as_str())];
    let platform = platform.with_variables(&other[..1]).stopped_and_changed(|data| {
        rotate(data, &other[..1]).assert_fails(1, &["cannot be decrypted"]);
        rotate(data, &other).assert_succeeds();
    });
    answers(&platform, "/secret", "hush hush");
    assert!(!file(platform.data()).exists());
    platform.stop();
}
