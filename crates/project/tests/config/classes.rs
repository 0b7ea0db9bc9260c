//! `migrations`, `exports`, and which class owns a container.

use super::{bare, check_errors, container_in};

fn classes(keys: &str) -> Vec<(String, String, bool)> {
    let (config, _) = bare(keys).accepted();
    config.classes.into_iter().map(|class| (class.name, class.unique_key, class.sqlite)).collect()
}

fn class(name: &str, key: &str, sqlite: bool) -> (String, String, bool) {
    (name.to_owned(), key.to_owned(), sqlite)
}

#[test]
fn migrations_are_followed_and_a_rename_keeps_the_key() {
    let found = classes(
        r#""migrations": [
            { "tag": "v1", "new_sqlite_classes": ["A", "B"], "new_classes": ["K"] },
            { "tag": "v2", "renamed_classes": [{ "from": "A", "to": "A2" }], "deleted_classes": ["B"] },
            { "tag": "v3", "renamed_classes": [{ "from": "A2", "to": "A3" }], "new_sqlite_classes": ["A"] }]"#,
    );
    // Within a migration new_classes come first, as in wrangler.
    assert_eq!(
        found,
        [class("K", "app-K", false), class("A3", "app-A", true), class("A", "app-A-2", true)]
    );
}

#[test]
fn a_reused_name_does_not_share_storage_with_the_renamed_class() {
    let found = classes(
        r#""migrations": [
            { "tag": "v1", "new_sqlite_classes": ["A"] },
            { "tag": "v2", "renamed_classes": [{ "from": "A", "to": "B" }] },
            { "tag": "v3", "new_sqlite_classes": ["A"] }]"#,
    );
    assert_eq!(found, [class("B", "app-A", true), class("A", "app-A-2", true)]);
}

#[test]
fn migrations_that_make_no_sense_are_refused() {
    check_errors(
        bare,
        &[
            (
                r#""migrations": {}"#,
                r#"The optional "migrations" field should be an array, but got {}"#,
            ),
            (r#""migrations": [{}]"#, r#""migrations[0].tag" is a required field."#),
            (
                r#""migrations": [{ "tag": 1 }]"#,
                r#"Expected "migrations[0].tag" to be of type string but got 1."#,
            ),
            (
                r#""migrations": [{ "tag": "v1", "new_classes": "A" }]"#,
                r#"Expected "migrations[0].new_classes" to be an array of strings but got "A""#,
            ),
            (
                r#""migrations": [{ "tag": "v1", "new_classes": [1] }]"#,
                r#"Expected "migrations[0].new_classes.[0]" to be of type string but got 1."#,
            ),
            (
                r#""migrations": [{ "tag": "v1", "renamed_classes": ["A"] }]"#,
                r#"Expected "migrations[0].renamed_classes" to be an array of "{from: string, to: string}" objects but got ["A"]."#,
            ),
            (
                r#""migrations": [{ "tag": "v1", "transferred_classes": [{}] }]"#,
                r#"Expected "migrations[0].transferred_classes" to be an array of "{from: string, from_script: string, to: string}" objects but got [{}]."#,
            ),
            (
                r#""migrations": [{ "tag": "v1", "deleted_classes": ["A"] }]"#,
                "Cannot apply deleted_classes migration to non-existent class A",
            ),
            (
                r#""migrations": [{ "tag": "v1", "renamed_classes": [{ "from": "A", "to": "B" }] }]"#,
                "Cannot apply renamed_classes migration to non-existent class A",
            ),
            (
                r#""migrations": [{ "tag": "v1", "new_classes": ["A"], "new_sqlite_classes": ["A"] }]"#,
                "Cannot apply new_sqlite_classes migration to existing class A",
            ),
        ],
    );
    let unknown = bare(r#""migrations": [{ "tag": "v1", "new_sqlite_clases": ["A"] }]"#);
    assert_eq!(
        unknown.warnings(),
        ["Unexpected fields found in migrations field: \"new_sqlite_clases\""]
    );
    let moved = bare(
        r#""migrations": [{ "tag": "v1", "transferred_classes": [{ "from": "A", "from_script": "other", "to": "B" }] }]"#,
    );
    assert_eq!(
        moved.warnings(),
        ["The class B comes from the Worker \"other\"; here its objects begin empty."]
    );
}

#[test]
fn exports_declare_classes_too() {
    let found = classes(
        r#""exports": {
            "New": { "type": "durable-object", "storage": "sqlite" },
            "Old": { "type": "durable-object", "state": "renamed", "renamed_to": "New" },
            "Gone": { "type": "durable-object", "state": "deleted" },
            "Kv": { "type": "durable-object", "storage": "legacy-kv" },
            "Entry": { "type": "worker", "cache": { "enabled": true } } }"#,
    );
    assert_eq!(found, [class("New", "app-Old", true), class("Kv", "app-Kv", false)]);
}

#[test]
fn exports_are_checked() {
    let export = |keys: &str| bare(&format!("\"exports\": {{ \"A\": {keys} }}"));
    check_errors(
        export,
        &[
            ("5", r#""exports.A" should be an object but got 5."#),
            (
                "{}",
                r#""exports.A.type" must be "durable-object", "worker", or "workflow", but got undefined."#,
            ),
            (
                r#"{ "type": "workflow", "name": "w" }"#,
                r#""exports.A": Workflow bindings are not supported by Berth yet."#,
            ),
            (
                r#"{ "type": "durable-object" }"#,
                r#""exports.A.storage" is required for state "created" and must be one of sqlite and legacy-kv, but got undefined"#,
            ),
            (
                r#"{ "type": "durable-object", "state": "odd" }"#,
                r#""exports.A.state" must be one of "created", "deleted", "renamed", "transferred", or "expecting-transfer" but got "odd"."#,
            ),
            (
                r#"{ "type": "durable-object", "state": "renamed" }"#,
                r#""exports.A.renamed_to" is required for state "renamed" and must be a non-empty string."#,
            ),
            (
                r#"{ "type": "durable-object", "state": "renamed", "renamed_to": "A" }"#,
                r#""exports.A.renamed_to" cannot equal the source class name "A"."#,
            ),
            (
                r#"{ "type": "durable-object", "state": "renamed", "renamed_to": "a-b" }"#,
                r#""exports.A.renamed_to" must be a valid JavaScript identifier (got "a-b")."#,
            ),
            (
                r#"{ "type": "durable-object", "state": "transferred" }"#,
                r#""exports.A.transferred_to" is required for state "transferred" and must be a non-empty string."#,
            ),
            (
                r#"{ "type": "durable-object", "state": "expecting-transfer", "storage": "sqlite" }"#,
                r#""exports.A.transfer_from" is required for state "expecting-transfer" and must be a non-empty string."#,
            ),
            (
                r#"{ "type": "durable-object", "state": "deleted", "storage": "sqlite" }"#,
                r#""exports.A.storage" is forbidden on state "deleted"."#,
            ),
            (
                r#"{ "type": "durable-object", "storage": "legacy-kv", "container": "c" }"#,
                r#""exports.A.container" requires "storage" to be "sqlite". Containers are not supported on Durable Objects using the "legacy-kv" storage backend."#,
            ),
            (
                r#"{ "type": "durable-object", "storage": "sqlite", "container": "" }"#,
                r#""exports.A.container" must be a non-empty string naming a container in the "containers" array, but got ""."#,
            ),
            (
                r#"{ "type": "durable-object", "storage": "sqlite", "container": "c" }"#,
                r#""exports.A.container" references a container named "c", but no container with that name is defined in "containers"."#,
            ),
        ],
    );
}

#[test]
fn exports_exclude_migrations() {
    let both = bare(
        r#""exports": { "A": { "type": "durable-object", "storage": "sqlite" } }, "migrations": [{ "tag": "v1" }]"#,
    );
    assert_eq!(
        both.errors(),
        [
            "`migrations` and `exports` are mutually exclusive. Choose one or the other to declare your Durable Object lifecycle, but not both."
        ]
    );
    let list = bare("\"exports\": []");
    assert_eq!(
        list.errors(),
        ["The optional \"exports\" field should be an object keyed by class name, but got []"]
    );
}

#[test]
fn a_container_is_linked_by_exports() {
    let config = r#""exports": { "A": { "type": "durable-object", "storage": "sqlite", "container": "c" } }, "containers": [{ "name": "c", "image": "a.b/c:1" }]"#;
    assert_eq!(bare(config).clean().containers[0].application.class_name, "A");

    let linked = |exports: &str, container: &str| {
        let config = format!(
            "\"exports\": {{ {exports} }}, \"containers\": [{{ \"image\": \"a.b/c:1\", {container} }}]"
        );
        bare(&config).errors().join("\n")
    };
    let a = r#""A": { "type": "durable-object", "storage": "sqlite", "container": "c" }"#;
    let b = r#""B": { "type": "durable-object", "storage": "sqlite" }"#;
    assert_eq!(
        linked(b, "\"name\": \"c\""),
        "The container \"c\" is not linked to a Durable Object. Either set \"containers.class_name\", or reference this container from a Durable Object's `exports` entry via its \"container\" field."
    );
    assert_eq!(
        linked(&format!("{a}, {b}"), "\"name\": \"c\", \"class_name\": \"B\""),
        "The container \"c\" sets \"class_name\" to \"B\", but \"exports.A.container\" references it. A Durable Object and its container must reference each other consistently."
    );
    assert_eq!(
        linked(b, "\"name\": \"c\", \"class_name\": \"C\""),
        "The container \"c\" sets \"class_name\" to \"C\", but \"exports\" has no live \"durable-object\" entry for \"C\"."
    );
    assert_eq!(
        linked(
            r#""A": { "type": "durable-object", "storage": "legacy-kv" }"#,
            "\"class_name\": \"A\""
        ),
        "The container \"app-a\" sets \"class_name\" to \"A\", but \"exports.A.storage\" is \"legacy-kv\". Containers are not supported on Durable Objects using the \"legacy-kv\" storage backend."
    );
    assert_eq!(
        linked(
            &format!(
                "{a}, \"B\": {{ \"type\": \"durable-object\", \"storage\": \"sqlite\", \"container\": \"c\" }}"
            ),
            "\"name\": \"c\""
        ),
        "The container \"c\" is referenced by more than one Durable Object export (A, B). A container can only back a single Durable Object."
    );
    assert!(
        linked(b, "\"max_instances\": 1").contains(
            "\"containers.name\" is required when \"containers.class_name\" is not defined"
        )
    );
}

#[test]
fn a_class_name_without_a_class_has_wranglers_text() {
    let loaded = container_in("\"class_name\": \"Other\"", "").load(None);
    let text = "The container class_name Other does not match any durable object class_name defined in your Wrangler config file. Note that the durable object must be defined in the same script as the container.";
    assert_eq!(loaded.errors(), [text]);
    assert_eq!(loaded.place(text), "\"Other\"");
}

#[test]
fn a_container_needs_a_class_with_sqlite() {
    let config = r#""migrations": [{ "tag": "v1", "new_classes": ["A"] }], "containers": [{ "class_name": "A", "image": "a.b/c:1" }]"#;
    let loaded = bare(config);
    assert_eq!(
        loaded.errors(),
        [
            "The container class_name A is a Durable Object class without SQLite storage. Containers need SQLite-backed Durable Objects."
        ]
    );
    assert!(loaded.findings[0].help.as_ref().unwrap().contains("new_sqlite_classes"));
}

#[test]
fn a_bound_class_that_nothing_creates_is_warned_of() {
    let binding = r#""durable_objects": { "bindings": [{ "name": "B", "class_name": "B" }] }"#;
    let loaded = bare(binding);
    assert!(
        loaded.warnings()[0].contains(
            "exported by this Worker (B), but no `migrations` and no live `exports` entry"
        )
    );
    assert_eq!(classes(binding), [class("B", "app-B", false)]);
    let other = bare(&format!("{binding}, \"migrations\": [{{ \"tag\": \"v1\" }}]"));
    assert!(other.warnings()[0].contains("(B) are created by no migration"));
}
