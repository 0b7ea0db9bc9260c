//! The rendered configuration, whole.

use model::{AssetRules, HtmlHandling, NotFoundHandling, RunWorkerFirst};
use serde_json::json;

use super::*;
use crate::spec::ContainerEngine;

fn spec() -> WorkerSpec {
    let binding = |name: &str, value| Binding { name: name.to_owned(), value };
    let module = |name: &str, kind, contents: &[u8]| Module {
        name: name.to_owned(),
        kind,
        contents: contents.to_vec(),
        source_map: None,
    };
    WorkerSpec {
        name: "hello".to_owned(),
        modules: vec![
            module("index.js", ModuleKind::EsModule, b"export default {}"),
            module("../odd \"name\".wasm", ModuleKind::Wasm, b"\0asm"),
        ],
        compatibility_date: "2026-11-17".to_owned(),
        compatibility_flags: vec!["nodejs_compat".to_owned()],
        bindings: vec![
            binding("GREETING", BindingValue::Text("hi \"you\"\n".to_owned())),
            binding("TOKEN", BindingValue::Secret("s3cret\\".to_owned())),
            binding("SETTINGS", BindingValue::Json(json!({"a": [1, "ü"]}))),
            binding("MY", BindingValue::DurableObject { class_name: "MyContainer".to_owned() }),
            binding("SELF", BindingValue::Service { entrypoint: None, props: None }),
            binding(
                "ADMIN",
                BindingValue::Service {
                    entrypoint: Some("Admin".to_owned()),
                    props: Some(json!({"level": 1})),
                },
            ),
            binding("ASSETS", BindingValue::Assets),
            binding(
                "KEY",
                BindingValue::SecretsStoreSecret {
                    name: "api-key".to_owned(),
                    value: Some("v".to_owned()),
                },
            ),
        ],
        durable_objects: vec![
            DurableObjectNamespace {
                class_name: "MyContainer".to_owned(),
                unique_key: "hello-MyContainer".to_owned(),
                sqlite: true,
                container: Some(ContainerImages {
                    default: Some("hello-mycontainer:1".to_owned()),
                    ..ContainerImages::default()
                }),
            },
            DurableObjectNamespace {
                class_name: "Counter".to_owned(),
                unique_key: "hello-Counter".to_owned(),
                sqlite: false,
                container: Some(ContainerImages {
                    default: None,
                    named: [("py".to_owned(), "hello/py:1".to_owned())].into(),
                }),
            },
        ],
        assets: Some(Assets {
            directory: "/p/public".into(),
            rules: AssetRules {
                html_handling: HtmlHandling::default(),
                not_found_handling: NotFoundHandling::SinglePageApplication,
                run_worker_first: RunWorkerFirst::Paths(vec![
                    "/api/*".to_owned(),
                    "!/api/x".to_owned(),
                ]),
            },
        }),
        crons: vec![],
        container_engine: Some(ContainerEngine {
            socket: "/run/a.sock".into(),
            interceptor_image: "berth-egress".to_owned(),
        }),
        objects: "/p/.berth/objects".into(),
        entrypoints: None,
        private_network: true,
        attribute_logs: true,
        watchable: false,
        tail_consumers: vec![],
        version: None,
    }
}

fn config(spec: &WorkerSpec, texts: &AssetTexts) -> String {
    let last = render(spec, texts).pop().expect("a file");
    assert_eq!(last.path, CONFIG_FILE);
    String::from_utf8(last.contents).expect("text")
}

#[test]
fn everything_at_once() {
    let texts =
        AssetTexts { redirects: Some("/old /new 301\n".to_owned()), ..AssetTexts::default() };
    insta::assert_snapshot!(config(&spec(), &texts));
}

/// A Worker with nothing but its modules.
fn least() -> WorkerSpec {
    WorkerSpec {
        bindings: vec![],
        durable_objects: vec![],
        assets: None,
        container_engine: None,
        private_network: false,
        attribute_logs: false,
        ..spec()
    }
}

#[test]
fn the_least_of_a_worker() {
    insta::assert_snapshot!(config(&least(), &AssetTexts::default()));
}

#[test]
fn other_workers_are_reached_and_reach_it() {
    let other = |name: &str, socket: &str| Binding {
        name: name.to_owned(),
        value: BindingValue::OtherService { socket: socket.into() },
    };
    let spec = WorkerSpec {
        bindings: vec![other("API", "/run/w/1.d/default"), other("AUTH", "/run/w/2.d/e-1")],
        entrypoints: Some(vec![EntrypointSocket {
            entrypoint: "Admin".to_owned(),
            socket: "e-2".to_owned(),
        }]),
        watchable: true,
        ..least()
    };
    assert_eq!(sockets_of(&spec), 5);
    insta::assert_snapshot!(config(&spec, &AssetTexts::default()));
}

#[test]
fn tail_consumers_are_told_by_a_script_of_ours_that_knows_whose_events_they_are() {
    let consumer = |name: &str, socket: Option<&str>| TailConsumer {
        name: name.to_owned(),
        socket: socket.map(Into::into),
    };
    let spec = WorkerSpec {
        tail_consumers: vec![consumer("hello", None), consumer("logs", Some("/run/w/1.d/default"))],
        version: Some("v1".to_owned()),
        ..least()
    };
    let config = config(&spec, &AssetTexts::default());
    for part in [
        "tails = [\"consumers\"]",
        r#"(name = "ORIGIN", json = "{\"scriptName\":\"hello\",\"scriptVersion\":{\"id\":\"v1\"}}")"#,
        r#"(name = "hello", service = (name = "worker"))"#,
        r#"(name = "logs", service = "consumer-1")"#,
        r#"(name = "consumer-1", external = (address = "unix:/run/w/1.d/default""#,
    ] {
        assert!(config.contains(part), "{part} is not in {config}");
    }
    assert!(!config.contains("streamingTails"), "nobody watches it");
}

#[test]
fn assets_alone() {
    let spec = WorkerSpec { modules: vec![], bindings: vec![], durable_objects: vec![], ..spec() };
    insta::assert_snapshot!(config(&spec, &AssetTexts::default()));
}

#[test]
fn modules_are_files_with_names_of_ours() {
    let files = render(&spec(), &AssetTexts::default());
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        ["modules/0", "modules/1", "control.mjs", "tail.mjs", "secrets.mjs", "config.capnp"]
    );
}

#[test]
fn a_secret_does_not_show_in_debug_output() {
    let shown = format!("{:?}", spec());
    assert!(!shown.contains("s3cret") && shown.contains("hi "), "{shown}");
}
