//! Variables and secrets in containers (features R9, R14, M1–M8, N1–N5).

use e2e::{Dev, Project};
use serde_json::{Value, json};

fn example() -> Project {
    let project = Project::example("env-and-secrets");
    project.write(".dev.vars", &project.read(".dev.vars.example"));
    project
}

#[test]
fn r9_n1_n2_n3_n5_a_variable_and_both_kinds_of_secret_reach_the_container() {
    let dev = Dev::start(&example());
    let env = dev.get("/").json();
    assert_eq!(env["ACCOUNT_NAME"], "my-account");
    assert_eq!(env["CONTAINER_SECRET_KEY"], "a secret of the Worker");
    assert_eq!(env["ACCOUNT_API_KEY"], "a secret of the store");
    dev.stop();
}

#[test]
fn m1_to_m6_every_instance_is_told_where_it_runs() {
    let dev = Dev::start(&example());
    let env = dev.get("/").json();
    for name in [
        "CLOUDFLARE_APPLICATION_ID",
        "CLOUDFLARE_DEPLOYMENT_ID",
        "CLOUDFLARE_DURABLE_OBJECT_ID",
        "CLOUDFLARE_LOCATION",
        "CLOUDFLARE_NODE_ID",
        "CLOUDFLARE_PLACEMENT_ID",
        "CLOUDFLARE_REGION",
    ] {
        assert!(env[name].as_str().is_some_and(|value| !value.is_empty()), "{name}: {env}");
    }
    let country = env["CLOUDFLARE_COUNTRY_A2"].as_str().expect("a country");
    assert!(country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()), "{country}");
    let object = env["CLOUDFLARE_DURABLE_OBJECT_ID"].as_str().expect("an ID");
    assert!(object.len() == 64 && object.bytes().all(|b| b.is_ascii_hexdigit()), "{object}");
    dev.stop();
}

#[test]
fn m7_m8_the_users_values_win_over_predefined_ones() {
    let body = "envVars = { CLOUDFLARE_REGION: \"MARS\", CUSTOM: \"of the class\" };";
    let dev = Dev::start(&Project::probe(body));
    let env = dev.get("/one/env").json();
    assert_eq!(
        (&env["CLOUDFLARE_REGION"], &env["CUSTOM"]),
        (&json!("MARS"), &json!("of the class"))
    );

    let started =
        dev.post("/two/_start", json!({ "envVars": { "CUSTOM": "of the start" } }).to_string());
    assert_eq!(started.text(), "started");
    let env = dev.get("/two/env").json();
    assert_eq!(env["CUSTOM"], "of the start", "M8: values of one start replace the class's");
    assert_ne!(env["CLOUDFLARE_REGION"], "MARS");
    dev.stop();
}

#[test]
fn b6_n4_r14_a_secret_reaches_the_container_by_a_raw_start() {
    let worker = r#"
        import { DurableObject } from "cloudflare:workers";
        export class MyContainer extends DurableObject {
          async environment() {
            if (!this.ctx.container.running) {
              this.ctx.container.start({ env: { MY_SECRET: this.env.MY_SECRET } });
            }
            for (;;) {
              try {
                const reply = await this.ctx.container.getTcpPort(8080).fetch("http://c/a/env");
                return await reply.json();
              } catch (error) {
                if (!/listening/.test(error.message)) throw error;
                await scheduler.wait(20);
              }
            }
          }
        }
        export default {
          async fetch(request, env) {
            return Response.json(await env.MY_CONTAINER.getByName("a").environment());
          },
        };
    "#;
    let project = Project::probe("");
    project.write("src/index.js", worker);
    project.write(".dev.vars", "MY_SECRET=hunter2\n");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/").json()["MY_SECRET"], "hunter2");
    dev.stop();
}

#[test]
fn invariant_5_no_secret_stands_in_a_command_line_a_log_or_a_readable_file() {
    const SECRET: &str = "a-secret-nobody-may-see-4711";
    let project = example().with_own_home();
    project
        .write(".dev.vars", &format!("CONTAINER_SECRET_KEY={SECRET}\nACCOUNT_API_KEY={SECRET}\n"));
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/").json()["CONTAINER_SECRET_KEY"], SECRET);
    for process in dev.footprint().processes() {
        let command = process.command().join(" ");
        assert!(!command.contains(SECRET), "process {} shows it: {command}", process.name);
    }
    assert_eq!(dev.lines_with(SECRET), Vec::<String>::new());
    assert_eq!(e2e::readable_files_with(project.home(), SECRET), Vec::<std::path::PathBuf>::new());
    dev.stop();
}

#[test]
fn vars_of_an_environment_and_of_the_command_line_win() {
    let project = example().configured(|config| {
        config["env"] = json!({ "staging": {
            "vars": { "ACCOUNT_NAME": "of staging" },
            "containers": config["containers"].clone(),
            "durable_objects": config["durable_objects"].clone(),
            "secrets_store_secrets": config["secrets_store_secrets"].clone(),
        } });
    });
    let name = |dev: &Dev| -> Value { dev.get("/").json()["ACCOUNT_NAME"].clone() };

    let dev = Dev::start_with(&project, &["--env", "staging"]);
    assert_eq!(name(&dev), "of staging");
    dev.stop();
    let dev = Dev::start_with(&project, &["--var", "ACCOUNT_NAME:of the command line"]);
    assert_eq!(name(&dev), "of the command line");
    dev.stop();
}
