//! What a deploy reads that `berth dev` does not, and what it leaves where it is.

use project::Config;
use project::config::Purpose;
use serde_json::json;

use super::{Project, bare_in};

fn deployed(project: &Project, environment: Option<&str>) -> Config {
    let (config, findings) =
        Config::load_for(Purpose::Deploy, project.path("").as_path(), environment).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    config
}

#[test]
fn local_values_stay_here() {
    let keys = r#""vars": { "V": "config" }, "secrets": { "required": ["S"] }"#;
    let project = bare_in(keys, &[(".dev.vars", "V=local\nS=hush")]);
    let config = deployed(&project, None);
    assert_eq!(config.vars["V"], json!("config"));
    assert!(config.secrets.is_empty());
    assert_eq!(config.deploy.required_secrets, ["S"]);
    assert_eq!(config.inputs, [project.path("wrangler.jsonc")]);
}

#[test]
fn other_workers_may_be_bound() {
    let keys = r#""services": [{ "binding": "O", "service": "other" }]"#;
    let config = deployed(&bare_in(keys, &[]), None);
    assert_eq!(config.services[0].service, "other");
}

#[test]
fn what_the_platform_is_told_is_as_it_was_written() {
    let keys = r#""routes": ["a.com/*", { "pattern": "b.com", "custom_domain": true }],
        "workers_dev": true, "keep_vars": true, "upload_source_maps": true,
        "migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }],
        "limits": { "cpu_ms": 5 }, "cache": { "enabled": true },
        "triggers": { "crons": [] }, "tail_consumers": [{ "service": "t" }]"#;
    let deploy = deployed(&bare_in(keys, &[]), None).deploy;
    assert_eq!(
        deploy.routes,
        [json!({"pattern": "a.com/*"}), json!({"pattern": "b.com", "custom_domain": true})]
    );
    assert_eq!(deploy.workers_dev, Some(true));
    assert!(deploy.keep_vars && deploy.source_maps && deploy.has_crons);
    assert_eq!(deploy.migrations, [json!({"tag": "v1", "new_sqlite_classes": ["A"]})]);
    let metadata = json!({"limits": {"cpu_ms": 5}, "cache_options": {"enabled": true},
        "tail_consumers": [{"service": "t"}]});
    assert_eq!(serde_json::Value::Object(deploy.metadata), metadata);
}

#[test]
fn an_environment_takes_over_what_it_may() {
    let keys = r#""route": "a.com/*", "tail_consumers": [],
        "env": { "staging": { "logpush": true, "tail_consumers": [{ "service": "t" }] } }"#;
    let deploy = deployed(&bare_in(keys, &[]), Some("staging")).deploy;
    assert_eq!(deploy.routes, [json!({"pattern": "a.com/*"})]);
    let metadata = json!({"logpush": true, "tail_consumers": [{"service": "t"}]});
    assert_eq!(serde_json::Value::Object(deploy.metadata), metadata);
    assert!(!deploy.has_crons && deploy.workers_dev.is_none());
}
