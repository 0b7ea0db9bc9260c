//! `env.<name>`: what is inherited, what is not, and what is said about it.

use super::Project;

fn project(top: &str, environment: &str) -> Project {
    let config = format!(
        r#"{{ "name": "app", "main": "src/index.ts", "compatibility_date": "2026-09-01", {top}
  "env": {{ "staging": {{ {environment} }}, "other": {{}} }} }}"#
    );
    Project::new(&[("wrangler.json", &config)])
}

#[test]
fn inheritable_keys_come_from_the_top_level_unless_set() {
    let top = r#""compatibility_flags": ["a"], "triggers": { "crons": ["* * * * *"] }, "minify": true,
        "migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }], "build": { "command": "make" },"#;
    let inherited = project(top, "").load(Some("staging")).clean();
    assert_eq!(inherited.name, "app-staging");
    assert_eq!(inherited.environment.as_deref(), Some("staging"));
    assert_eq!(inherited.compatibility_flags, ["a"]);
    assert_eq!(inherited.crons, ["* * * * *"]);
    assert!(inherited.bundling.minify);
    assert_eq!(inherited.classes[0].unique_key, "app-staging-A");
    assert_eq!(inherited.build.command.as_deref(), Some("make"));

    let own = r#""name": "special", "compatibility_flags": [], "triggers": { "crons": [] }, "minify": false, "main": "other.js""#;
    let project = project(top, own);
    let own = project.load(Some("staging")).clean();
    assert_eq!(own.name, "special");
    assert!(own.compatibility_flags.is_empty() && own.crons.is_empty() && !own.bundling.minify);
    assert_eq!(own.main, Some(project.path("other.js")));
}

#[test]
fn keys_that_are_not_inherited_warn_when_only_the_top_level_has_them() {
    let top = r#""vars": { "A": "1" }, "durable_objects": { "bindings": [] }, "containers": [], "services": [], "define": {}, "secrets_store_secrets": [],"#;
    let loaded = project(top, "").load(Some("staging"));
    let warning = |key: &str| {
        format!(
            "\"{key}\" exists at the top level, but not on \"env.staging\".\nThis is not what you probably want, since \"{key}\" is not inherited by environments.\nPlease add \"{key}\" to \"env.staging\"."
        )
    };
    for key in
        ["vars", "durable_objects", "containers", "services", "define", "secrets_store_secrets"]
    {
        assert!(loaded.warnings().contains(&warning(key).as_str()), "{key}");
    }
    assert_eq!(loaded.warnings().len(), 6);
    assert_eq!(loaded.place("\"vars\" exists"), "\"staging\"");
    let (config, _) = loaded.accepted();
    assert!(config.vars.is_empty());
    assert!(project(top, "").load(None).accepted().1.is_empty(), "the top level itself is fine");
}

#[test]
fn parts_that_an_environment_forgets_are_listed() {
    let top = r#""vars": { "VA": "1", "VB": "2" }, "define": { "X": "1" },
        "migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }],
        "durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }, { "name": "A2", "class_name": "A" }] },"#;
    let own = r#""vars": { "VA": "3" }, "define": { "Y": "2" }, "durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }] }"#;
    let loaded = project(top, own).load(Some("staging"));
    assert_eq!(
        loaded.warnings(),
        [
            "The following vars exist at the top level, but not on \"env.staging.vars\".\nThis is probably not what you want, since \"vars\" configuration is not inherited by environments.\nPlease add these vars to \"env.staging.vars\":\n- VB",
            "The following define entries exist at the top level, but not on \"env.staging.define\".\nThis is probably not what you want, since \"define\" configuration is not inherited by environments.\nPlease add these entries to \"env.staging.define\":\n- X",
            "\"Y\" exists on \"env.staging\", but not on the top level.\nThis is not what you probably want, since \"define\" configuration within environments can only override existing top level \"define\" configuration\nPlease remove \"env.staging.define.Y\", or add \"define.Y\".",
            "The following bindings are at the top level, but not on \"env.staging\".\nThis is not what you probably want, since \"durable_objects\" configuration is not inherited by environments.\nPlease add a binding for each to \"env.staging.durable_objects.bindings\":\n- A2",
        ]
    );
    assert_eq!(loaded.accepted().0.vars["VA"], "3");
}

#[test]
fn a_container_of_an_environment_is_named_after_it() {
    let own = r#""durable_objects": { "bindings": [{ "name": "C", "class_name": "MyContainer" }] },
        "containers": [{ "class_name": "MyContainer", "image": "a.b/c:1" }]"#;
    let top = r#""migrations": [{ "tag": "v1", "new_sqlite_classes": ["MyContainer"] }],"#;
    let config = project(top, own).load(Some("staging")).clean();
    assert_eq!(config.containers[0].application.name, "app-mycontainer-staging");
}

#[test]
fn an_unknown_environment_is_refused_with_the_known_ones() {
    let loaded = project("", "").load(Some("production"));
    assert_eq!(
        loaded.errors(),
        [
            "No environment found in configuration with name \"production\".\nBefore using `--env=production` there should be an equivalent environment section in the configuration.\nThe available configured environment names are: [\"staging\",\"other\"]"
        ]
    );
    assert_eq!(loaded.place("No environment"), "\"env\"");
}

#[test]
fn a_file_without_environments_is_used_as_it_is_with_a_warning() {
    let config = r#"{ "name": "app", "main": "x.js", "compatibility_date": "2026-09-01", "vars": { "A": "1" } }"#;
    let loaded = Project::new(&[("wrangler.json", config)]).load(Some("production"));
    assert!(
        loaded.warnings()[0]
            .starts_with("No environment found in configuration with name \"production\".")
    );
    let (config, warnings) = loaded.accepted();
    assert_eq!((config.name.as_str(), warnings.len()), ("app-production", 1));
    assert_eq!(config.vars["A"], "1");
}

#[test]
fn unknown_keys_of_an_environment_warn() {
    let loaded = project("", "\"dev\": {}, \"vrs\": {}").load(Some("staging"));
    assert_eq!(
        loaded.warnings(),
        [
            "Unexpected fields found in env.staging field: \"dev\"",
            "Unexpected fields found in env.staging field: \"vrs\""
        ]
    );
}

#[test]
fn an_environment_that_is_no_object_is_refused() {
    let config =
        r#"{ "name": "a", "main": "x.js", "compatibility_date": "2026-09-01", "env": { "x": 5 } }"#;
    let loaded = Project::new(&[("wrangler.json", config)]).load(Some("x"));
    assert_eq!(loaded.errors(), ["The field \"env.x\" should be an object but got 5."]);
}
