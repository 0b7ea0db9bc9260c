//! `scheduling_policy: "durable_object"` on the platform: an object chooses one of its Worker's images
//! at each start, and the images come and go with the Worker's versions.

use e2e::{Client, Deployment, NEWEST, Outcome, Platform, Project, until};
use serde_json::{Value, json};

/// Starts the image that the request names, and passes the request on.
const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";
export class MyContainer extends DurableObject {
  async fetch(request) {
    const { container } = this.ctx;
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/images") return Response.json(Object.keys(container.images).sort());
    if (pathname === "/stop") {
      await container.destroy();
      return new Response("stopped");
    }
    if (!container.running) {
      const image = container.images[searchParams.get("image")];
      container.start({ image, instance: "lite", enableInternet: false });
    }
    for (;;) {
      try {
        return await container.getTcpPort(8080).fetch("http://container/");
      } catch (error) {
        if (!container.running) throw error;
        await scheduler.wait(50);
      }
    }
  }
}
export default {
  fetch(request, env) { return env.MY_CONTAINER.getByName("one").fetch(request); },
};
"#;

/// Makes of `hello` a project whose objects choose.
fn choosing(project: Project) -> Project {
    project.write("src/index.ts", WORKER);
    let dockerfile = project.read("Dockerfile");
    for message in ["first", "second", "third"] {
        let text = format!("{dockerfile}\nENV MESSAGE={message}\n");
        project.write(&format!("Dockerfile.{message}"), &text);
    }
    offer(&project, &[("one", "first"), ("The other one", "second")]);
    project
}

/// Offers these images, by their messages, or by their names in a registry.
fn offer(project: &Project, images: &[(&str, &str)]) {
    let image = |(name, image): &(&str, &str)| {
        let source = match image.contains('/') {
            true => json!({ "image": image }),
            false => json!({"dockerfile": format!("./Dockerfile.{image}")}),
        };
        ((*name).to_owned(), source)
    };
    let images: serde_json::Map<String, Value> = images.iter().map(image).collect();
    project.configure(|config| {
        config["containers"] = json!([{"name": "hello-containers", "class_name": "MyContainer",
            "scheduling_policy": "durable_object", "images": images}]);
    });
}

fn says(worker: &Client, image: &str, message: &str) {
    let path = format!("/?image={}", image.replace(' ', "%20"));
    let reply = worker.get(&path);
    assert!(reply.text().contains(&format!("my message: \"{message}\"")), "{image}: {reply}");
}

fn stop(worker: &Client) {
    assert_eq!(worker.get("/stop").text(), "stopped");
}

#[test]
fn bc1_bc2_objects_choose_images_which_follow_the_workers_versions() {
    let mut fixture = Deployment::new(NEWEST, choosing(NEWEST.example("hello")));
    fixture.deploy();
    let worker = fixture.platform.worker("hello-containers");
    assert_eq!(worker.get("/images").json(), json!(["The other one", "one"]));
    says(&worker, "one", "first");
    stop(&worker);
    says(&worker, "The other one", "second");
    let applications = fixture.get("/containers/applications");
    let namespace = applications[0]["durable_objects"]["namespace_id"].clone();
    assert_eq!(applications[0]["id"], namespace, "{applications}");

    offer(&fixture.project, &[("one", "third")]);
    fixture.deploy();
    assert_eq!(worker.get("/images").json(), json!(["one"]));
    says(&worker, "", "second");
    stop(&worker);
    says(&worker, "one", "third");

    let _ = fixture.says(&["rollback", "-y", "-m", "the images before"]);
    stop(&worker);
    says(&worker, "one", "first");

    fixture.platform = fixture.platform.killed_and_started_again();
    let worker = fixture.platform.worker("hello-containers");
    says(&worker, "", "first");
    stop(&worker);
    says(&worker, "The other one", "second");
    let id = namespace.as_str().expect("an id");
    let _ = fixture.says(&["containers", "delete", id]);
    until("its instances end", || {
        let list = fixture.get("/containers/applications");
        list.as_array().is_some_and(Vec::is_empty).then_some(())
    });
    fixture.platform.stop();
}

#[test]
fn bc2_an_image_that_is_not_there_is_an_error_of_the_deploy() {
    let fixture = Deployment::new(NEWEST, choosing(NEWEST.example("hello")));
    let prepare = |image: &str| {
        fixture.ask("POST", "/containers/image-preparations", &json!({ "image": image }))
    };
    let failed = until("it is looked for", || {
        Some(prepare("localhost:1/no/such:v1")).filter(|answer| answer["status"] != "pending")
    });
    assert_eq!(failed["status"], "error", "{failed}");
    assert!(failed["reason"].as_str().is_some_and(|why| why.contains("no/such")), "{failed}");
    fixture.platform.stop();
}

#[test]
fn bc2_berth_deploy_brings_named_images_with_the_code_and_a_rollback_takes_them_back() {
    let platform = Platform::start();
    let project = choosing(Project::example("hello"));
    let said = |args: &[&str]| -> Outcome {
        let outcome = platform.client(&project, args);
        outcome.assert_succeeds();
        outcome
    };
    let worker = platform.worker("hello-containers");
    let offered = || worker.get("/images").json();
    let deployed = said(&["deploy"]);
    for text in ["Pushed the image of hello-containers one", "Created the containers"] {
        assert!(deployed.stderr.contains(text), "{deployed}");
    }
    says(&worker, "one", "first");
    stop(&worker);
    says(&worker, "The other one", "second");
    let settled = said(&["containers", "apply"]);
    assert!(settled.stderr.contains("as the configuration wants them"), "{settled}");
    let other = current_images(&platform)["The other one"].clone();
    let other = other.as_str().expect("it has a name in the registry");
    let repository = "/local/hello-containers-mycontainer-the-other-one@sha256:";
    assert!(other.contains(repository), "{other}");

    offer(&project, &[("one", "third"), ("kept", other)]);
    let _ = said(&["deploy", "--containers-rollout", "none"]);
    assert_eq!(offered(), json!(["The other one", "one"]), "nothing is built");
    let changed = said(&["deploy"]);
    assert!(changed.stderr.contains("Nothing has changed for the containers"), "{changed}");
    assert_eq!(offered(), json!(["kept", "one"]));
    says(&worker, "", "second");
    stop(&worker);
    says(&worker, "one", "third");
    stop(&worker);
    says(&worker, "kept", "second");
    stop(&worker);

    offer(&project, &[("one", "localhost:1/no/such:v1")]);
    let missing = platform.client(&project, &["deploy"]);
    missing.assert_fails(1, &["cannot get the image \"one\"", "localhost:1/no/such", "hint: "]);
    assert_eq!(offered(), json!(["kept", "one"]), "the code is as it was");
    let _ = said(&["rollback", "--force"]);
    says(&worker, "one", "first");
    platform.stop();
}

/// The images of the version that serves, by their names.
fn current_images(platform: &Platform) -> Value {
    let ask = |path: &str| {
        let path = format!("/accounts/local/workers/scripts/hello-containers{path}");
        platform.ask(platform.token(), "GET", &path, "").json()["result"].clone()
    };
    let deployments = ask("/deployments");
    let version = &deployments["deployments"][0]["versions"][0]["version_id"];
    let version = ask(&format!("/versions/{}", version.as_str().expect("an id")));
    version["resources"]["script_runtime"]["containers"][0]["images"].clone()
}
