//! Images of a registry that asks who pulls, with a credential of the Secrets Store; and what an
//! account's containers may use.

use e2e::{Deployment, NEWEST, Project, RegistryServer, Tool};
use serde_json::json;

const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";
export class Machine extends DurableObject {
  fetch() {
    if (!this.ctx.container.running) this.ctx.container.start({ enableInternet: false });
    return this.ctx.container.getTcpPort(8080).fetch("http://container/");
  }
}
export default { fetch: (request, env) => env.MACHINE.getByName("one").fetch(request) };
"#;
const DOCKERFILE: &str = "FROM busybox\nRUN echo of another registry > /index.html\n\
                          CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/\"]\n";

/// Pushes the image, and a project that runs it from there.
fn project(server: &RegistryServer, password: &str) -> Project {
    let image = format!("{}/acc/app:1", server.address());
    let project = Project::empty().with_own_home();
    project.write("image/Dockerfile", DOCKERFILE);
    let docker = |args: &[&str]| Tool::berth_docker(&project, args);
    let _ = docker(&["build", "--quiet", "--tag", &image, "image"]).says();
    let login = ["login", "--username", "v1", "--password-stdin", server.address()];
    docker(&login).run_with(password).assert_succeeds();
    let _ = docker(&["push", &image]).says();
    project.write("index.js", WORKER);
    let config = json!({"name": "guest", "main": "index.js", "compatibility_date": "2026-08-01",
        "containers": [{"class_name": "Machine", "image": image, "max_instances": 2}],
        "durable_objects": {"bindings": [{"name": "MACHINE", "class_name": "Machine"}]},
        "migrations": [{"tag": "v1", "new_sqlite_classes": ["Machine"]}]});
    project.write("wrangler.json", &config.to_string());
    project
}

#[test]
fn bi6_images_of_a_registry_are_pulled_with_a_stored_credential_and_limits_hold() {
    let server = RegistryServer::start(&[]);
    let password = server.credential(&["--pull", "--push"]);
    let fixture = Deployment::new(NEWEST, project(&server, &password));
    let deploy = || fixture.platform.client(&fixture.project, &["deploy"]);
    assert_ne!(deploy().code, 0, "nobody has a credential for it");

    let store = fixture.ask("POST", "/secrets_store/stores", &json!({"name": "s"}));
    let store = store["id"].as_str().expect("a store has an id");
    let secret = json!([{"name": "GUEST", "value": password, "scopes": ["containers"]}]);
    let _ = fixture.ask("POST", &format!("/secrets_store/stores/{store}/secrets"), &secret);
    let registry = json!({"domain": server.address(), "is_public": false, "auth": {
        "public_credential": "v1",
        "private_credential": {"store_id": store, "secret_name": "GUEST"}}});
    let _ = fixture.ask("POST", "/containers/registries", &registry);
    deploy().assert_succeeds();
    let answer = fixture.platform.worker("guest").get("/");
    assert_eq!(answer.text().trim(), "of another registry", "{answer}");
    let listed = fixture.get("/containers/registries");
    assert_eq!(listed[0]["secrets_store_ref"], format!("{store}:GUEST"));
    assert!(!listed.to_string().contains(&password), "a secret's text is shown to nobody");

    let application = fixture.get("/containers/applications")[0].clone();
    let path = format!("/containers/applications/{}", application["id"].as_str().expect("an id"));
    let path = format!("/accounts/local{path}");
    for (change, error) in [
        (json!({"max_instances": 30_000}), "SURPASSED_TOTAL_LIMITS"),
        (json!({"configuration": {"vcpu": 8}}), "SURPASSED_BASE_LIMITS"),
    ] {
        let token = fixture.platform.token();
        let reply = fixture.platform.ask(token, "PATCH", &path, &change.to_string());
        assert!(reply.status == 400 && reply.text().contains(error), "{reply}");
    }
    let now = fixture.get("/containers/applications")[0].clone();
    assert_eq!(now["max_instances"], 2, "nothing has changed: {now}");

    let delete = format!("/containers/registries/{}", server.address());
    let _ = fixture.ask("DELETE", &delete, &json!(null));
    assert_eq!(fixture.get("/containers/registries"), json!([]));
    fixture.platform.stop();
    server.stop();
}
