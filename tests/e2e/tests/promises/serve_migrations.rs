//! Classes of Durable Objects come, get new names and go by migrations (features G, F), and their storage
//! with them.

use e2e::{NEWEST, Platform, Project};
use serde_json::{Value, json};

/// Counts in the objects of the class that the path names.
const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";
class Counter extends DurableObject {
  async count() {
    const next = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", next);
    return next;
  }
}
EXPORTS
export default {
  async fetch(request, env) {
    const namespace = env[new URL(request.url).pathname.slice(1)];
    return new Response(await namespace.get(namespace.idFromName("one")).count());
  },
};
"#;

fn deploy(platform: &Platform, project: &Project, classes: &[&str], migrations: &Value) {
    let exports: String = classes
        .iter()
        .map(|class| format!("export class {class} extends Counter {{}}\n"))
        .collect();
    project.write("index.js", &WORKER.replace("EXPORTS", &exports));
    let bindings: Vec<_> =
        classes.iter().map(|class| json!({"name": class, "class_name": class})).collect();
    let config = json!({"name": "counters", "main": "index.js", "compatibility_date": "2026-08-01",
        "durable_objects": {"bindings": bindings}, "migrations": migrations});
    project.write("wrangler.json", &config.to_string());
    platform.wrangler(NEWEST, project, &["deploy"]).run().assert_succeeds();
}

/// How many classes have storage.
fn stored(platform: &Platform) -> usize {
    let folders =
        |path| fs_err::read_dir(path).expect("list a folder").map(|it| it.expect("an entry"));
    let workers = folders(platform.data().home().join("objects"));
    workers.map(|worker| folders(worker.path()).count()).sum()
}

#[test]
fn a_class_keeps_its_objects_under_a_new_name_and_loses_them_when_it_is_deleted() {
    let platform = Platform::start();
    let project = Project::empty().with_own_home();
    let worker = platform.worker("counters");
    let mut migrations = json!([{"tag": "v1", "new_sqlite_classes": ["A", "B"]}]);
    let mut add = |step: Value| {
        migrations.as_array_mut().expect("a list").push(step);
        migrations.clone()
    };
    let first = add(json!({"tag": "v2", "new_sqlite_classes": ["C"]}));
    deploy(&platform, &project, &["A", "B", "C"], &first);
    for class in ["A", "B", "C"] {
        assert_eq!(worker.get(&format!("/{class}")).text(), "1");
    }
    assert_eq!(stored(&platform), 3);

    let second = add(json!({"tag": "v3", "renamed_classes": [{"from": "B", "to": "D"}],
        "deleted_classes": ["A"]}));
    deploy(&platform, &project, &["C", "D"], &second);
    assert_eq!(worker.get("/C").text(), "2");
    assert_eq!(worker.get("/D").text(), "2", "it has another name and the same objects");
    assert_eq!(stored(&platform), 2, "nothing is kept of the class that was deleted");

    let third = add(json!({"tag": "v4", "new_sqlite_classes": ["A"]}));
    deploy(&platform, &project, &["A", "C", "D"], &third);
    assert_eq!(worker.get("/A").text(), "1", "a new class of an old name has objects of its own");
    let platform = platform.killed_and_started_again();
    assert_eq!(platform.worker("counters").get("/A").text(), "2");
    assert_eq!(stored(&platform), 3);
    platform.stop();
}
