//! Snapshots of containers and directories, and what else `start()` is given (features BB5–BB7,
//! BB10), through the unmodified workerd.

use std::time::{Duration, SystemTime};

use e2e::{Berth, Dev, Process, Project, until};
use fs_err as fs;
use serde_json::{Value, json};

const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";

export class MyContainer extends DurableObject {
  async ask({ start, alone, snapshot, directory, files, inspect, images, labels, keep }) {
    const container = this.ctx.container;
    if (start) {
      container.start(start);
      // A call that waits keeps the object, and that keeps the container.
      if (!alone) container.monitor().catch(() => {});
    }
    if (keep) await container.setInactivityTimeout(keep);
    if (snapshot) return container.snapshotContainer(snapshot);
    if (directory) return container.snapshotDirectory(directory);
    if (images) return container.images;
    if (labels) await container.setLabels(labels);
    if (inspect) return container.inspect();
    if (files) {
      const process = await container.exec(["sh", "-c", files]);
      const { stdout, stderr } = await process.output();
      return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    }
    return container.running;
  }
}

export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    try {
      const answer = await env.MY_CONTAINER.getByName(name).ask(await request.json());
      return Response.json(answer ?? null);
    } catch (error) {
      return Response.json({ error: String(error) }, { status: 500 });
    }
  },
};
"#;

const DOCKERFILE: &str =
    "FROM busybox\nRUN mkdir /data && echo image > /data/file\nCMD [\"sleep\", \"100000\"]\n";

/// `snapshotDirectory()` is experimental in workerd: it wants the flag, which a Wrangler
/// configuration can carry.
fn project() -> Project {
    Project::with(WORKER, DOCKERFILE)
        .configured(|config| config["compatibility_flags"] = json!(["experimental"]))
        .with_own_home()
}

fn ask(dev: &Dev, name: &str, question: &Value) -> Value {
    let reply = dev.post(&format!("/{name}"), question.to_string());
    assert_eq!(reply.status, 200, "{question}: {reply}");
    reply.json()
}

fn start(dev: &Dev, name: &str, options: Value) {
    let mut options = options;
    options["enableInternet"] = false.into();
    assert_eq!(ask(dev, name, &json!({ "start": options })), true);
}

/// Runs a script in a container that is on its way up.
fn run(dev: &Dev, name: &str, script: &str) -> String {
    let answer = until("it runs a program", || {
        let reply = dev.post(&format!("/{name}"), json!({ "files": script }).to_string());
        Some(reply).filter(|reply| reply.status == 200)
    });
    answer.json().as_str().expect("a text").to_owned()
}

fn snapshots(project: &Project, args: &[&str]) -> e2e::Outcome {
    Berth::new(project, [&["containers", "snapshots"], args].concat()).run()
}

fn listed(project: &Project) -> Vec<Value> {
    let listed = snapshots(project, &["list", "--json"]).json();
    listed.as_array().expect("a list").clone()
}

#[test]
fn bb6_a_container_is_restored_in_another_object_after_restarts_and_a_kill() {
    let project = project();
    let dev = Dev::start(&project);
    start(&dev, "one", json!({}));
    run(&dev, "one", "echo mine > /data/file; echo new > /new; rm /bin/wget");
    let snapshot = ask(&dev, "one", &json!({ "snapshot": { "name": "first" } }));
    assert_eq!(snapshot["name"], "first");
    assert!(snapshot["size"].as_u64().is_some_and(|size| size > 0), "{snapshot}");
    run(&dev, "one", "echo later > /data/file");

    start(&dev, "two", json!({ "containerSnapshot": snapshot }));
    let script = "cat /data/file /new; ls /bin/wget 2>/dev/null; echo two > /data/file";
    assert_eq!(run(&dev, "two", script), "mine\nnew\n");
    assert_eq!(run(&dev, "one", "cat /data/file"), "later\n");
    dev.stop();

    let dev = Dev::start(&project);
    start(&dev, "three", json!({ "containerSnapshot": snapshot }));
    assert_eq!(run(&dev, "three", "cat /data/file"), "mine\n", "it survives a restart");
    dev.kill();
    let dev = Dev::start(&project);
    start(&dev, "four", json!({ "containerSnapshot": snapshot }));
    assert_eq!(run(&dev, "four", "cat /data/file"), "mine\n", "and a kill");
    let footprint = dev.footprint();
    dev.stop();
    footprint.assert_gone();
}

#[test]
fn bb7_a_directory_is_restored_where_it_is_wanted_and_is_no_part_of_the_container() {
    let project = project();
    let dev = Dev::start(&project);
    start(&dev, "one", json!({}));
    run(&dev, "one", "mkdir /data/deep; echo kept > /data/deep/file; chown 7:8 /data/deep");
    let snapshot = ask(&dev, "one", &json!({ "directory": { "dir": "/data", "name": "d" } }));
    assert_eq!((&snapshot["dir"], &snapshot["name"]), (&json!("/data"), &json!("d")));

    let mount = json!({ "snapshot": snapshot, "mountPoint": "/srv/restored" });
    start(&dev, "two", json!({ "directorySnapshots": [mount, { "snapshot": snapshot }] }));
    let script = "cat /srv/restored/deep/file; stat -c %u:%g /srv/restored/deep; ls /data";
    assert_eq!(run(&dev, "two", script), "kept\n7:8\ndeep\nfile\n");
    run(&dev, "two", "echo changed > /data/deep/file; echo beside > /beside");
    assert_eq!(run(&dev, "two", "cat /srv/restored/deep/file"), "kept\n");
    assert_eq!(run(&dev, "one", "cat /data/deep/file"), "kept\n");

    let container = ask(&dev, "two", &json!({ "snapshot": {} }));
    start(&dev, "three", json!({ "containerSnapshot": container }));
    let script = "cat /beside /data/file; ls -d /data/deep /srv/restored 2>/dev/null";
    assert_eq!(run(&dev, "three", script), "beside\nimage\n", "what is mounted is left out");
    dev.stop();
}

#[test]
fn bb6_snapshots_are_listed_removed_and_gone_after_thirty_days() {
    let project = project();
    assert_eq!(listed(&project), Vec::<Value>::new());
    let dev = Dev::start(&project);
    start(&dev, "one", json!({}));
    run(&dev, "one", "echo x > /file");
    let kept = ask(&dev, "one", &json!({ "snapshot": {} }));
    let old = ask(&dev, "one", &json!({ "directory": { "dir": "/data" } }));
    let all = listed(&project);
    let of = |id: &Value| all.iter().find(|one| one["id"] == *id).expect("it is listed").clone();
    assert_eq!(of(&kept["id"])["kind"], "container");
    assert_eq!(of(&old["id"])["directory"], "/data");
    assert_eq!(of(&old["id"])["application"], "e2e-MyContainer");
    let table = snapshots(&project, &["list"]);
    assert!(table.stdout.starts_with("ID ") && table.stdout.contains("/data"), "{table}");
    let prefix = &old["id"].as_str().expect("an id")[..13];
    let inspected = snapshots(&project, &["inspect", prefix]);
    assert!(inspected.stdout.contains("\"expires\""), "{inspected}");

    // A month and a day pass for one of them.
    let records = project.home().join("images/images");
    for record in fs::read_dir(records).expect("read the names") {
        let path = record.expect("a name").path();
        let text = fs::read_to_string(&path).expect("read a name");
        let mut record: Value = serde_json::from_str(&text).expect("a record");
        if text.contains(old["id"].as_str().expect("an id")) {
            let updated = record["updated"].as_i64().expect("a time");
            record["updated"] = (updated - 31 * 24 * 60 * 60).into();
            fs::write(&path, record.to_string()).expect("write a name");
            let file = fs::File::options().write(true).open(&path).expect("open a name");
            let then = SystemTime::now() - Duration::from_hours(31 * 24);
            file.file().set_modified(then).expect("change a name's time");
        }
    }
    let mount = json!({ "directorySnapshots": [{ "snapshot": old }] });
    let reply = dev.post("/two", json!({ "start": mount }).to_string());
    assert!(reply.status == 200 || reply.status == 500, "{reply}");
    until("it is refused", || (ask(&dev, "two", &json!({})) == false).then_some(()));
    let pruned = snapshots(&project, &["prune", "--json"]);
    pruned.assert_succeeds();
    assert!(pruned.stdout.contains(prefix), "{pruned}");
    assert_eq!(listed(&project).len(), 1);

    let id = kept["id"].as_str().expect("an id");
    snapshots(&project, &["rm", id]).assert_succeeds();
    snapshots(&project, &["rm", id]).assert_fails(1, &["no snapshot", "hint:"]);
    assert_eq!(listed(&project), Vec::<Value>::new());
    assert_eq!(run(&dev, "one", "cat /file"), "x\n", "what runs is not disturbed");
    dev.stop();
}

#[test]
fn bb10_labels_and_the_image_are_told_by_inspect_and_another_image_is_refused() {
    let dev = Dev::start(&project());
    start(&dev, "one", json!({ "labels": { "tenant": "acme" }, "hardTimeout": 600_000 }));
    run(&dev, "one", "true");
    let info = ask(&dev, "one", &json!({ "inspect": true }));
    assert_eq!(info["labels"], json!({ "tenant": "acme" }));
    assert_eq!(info["image"], "e2e-mycontainer");
    assert_eq!(ask(&dev, "one", &json!({ "images": true })), json!({}));
    let set = json!({ "labels": { "tenant": "other", "plan": "free" }, "inspect": true });
    assert_eq!(ask(&dev, "one", &set)["labels"], set["labels"]);
    let other = json!({ "start": { "image": "nonsense", "enableInternet": false } });
    let _ = dev.post("/two", other.to_string());
    until("it does not run", || (ask(&dev, "two", &json!({})) == false).then_some(()));
    dev.stop();
}

#[test]
fn bc2_bb11_an_object_chooses_one_of_the_named_images_at_each_start() {
    let project = project();
    project.write("Dockerfile.other", "FROM busybox\nRUN mkdir /data && echo other > /data/file\n");
    project.configure(|config| {
        config["containers"] = json!([{
            "class_name": "MyContainer",
            "scheduling_policy": "durable_object",
            "images": {
                "first": { "dockerfile": "./Dockerfile" },
                "The other one": { "dockerfile": "./Dockerfile.other" },
            },
        }]);
    });
    let dev = Dev::start(&project);
    let images = ask(&dev, "one", &json!({ "images": true }));
    let names: Vec<&String> = images.as_object().expect("a map").keys().collect();
    assert_eq!(names, ["The other one", "first"]);
    for (object, name, expected) in [("one", "first", "image"), ("two", "The other one", "other")] {
        let options = json!({
            "image": images[name], "entrypoint": ["sleep", "100000"], "instance": "lite",
        });
        start(&dev, object, options);
        assert_eq!(run(&dev, object, "cat /data/file").trim(), expected);
    }
    // A snapshot knows the image it was made from.
    run(&dev, "two", "echo changed > /data/file");
    let snapshot = ask(&dev, "two", &json!({ "snapshot": {} }));
    start(&dev, "three", json!({ "containerSnapshot": snapshot, "entrypoint": ["sleep", "1000"] }));
    assert_eq!(run(&dev, "three", "cat /data/file").trim(), "changed");
    let none = json!({ "start": { "enableInternet": false } });
    let reply = dev.post("/four", none.to_string());
    until("without an image nothing runs", || {
        (reply.status != 200 || ask(&dev, "four", &json!({})) == false).then_some(())
    });
    dev.stop();
}

#[test]
fn bb5_a_container_outlives_its_idle_object_for_as_long_as_it_asked() {
    let dev = Dev::start(&project());
    let instance = |name: &str| run(&dev, name, "printf $CLOUDFLARE_DEPLOYMENT_ID");
    let options = json!({ "enableInternet": false });
    ask(&dev, "kept", &json!({ "start": options, "alone": true, "keep": 600_000 }));
    ask(&dev, "left", &json!({ "start": options, "alone": true }));
    let (kept, left) = (instance("kept"), instance("left"));
    assert!(!Process::of_instance(&left).is_empty());
    until("the idle object's container is gone", || {
        Process::of_instance(&left).is_empty().then_some(())
    });
    assert!(!Process::of_instance(&kept).is_empty());
    assert_eq!(instance("kept"), kept);
    dev.stop();
}
