//! Bindings: those that Berth runs, and those it refuses by name.

use super::{bare, check_errors, check_warnings};

#[test]
fn bindings_are_read() {
    let config = bare(
        r#""migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }],
        "durable_objects": { "bindings": [{ "name": "DO", "class_name": "A" }] },
        "services": [{ "binding": "SELF", "service": "app" }, { "binding": "ENTRY", "service": "app", "entrypoint": "Admin", "props": { "x": 1 } }],
        "version_metadata": { "binding": "VERSION" },
        "vars": { "TEXT": "t", "JSON": { "a": [1, null] }, "NUMBER": 1 }"#,
    )
    .clean();
    assert_eq!(config.durable_objects[0].name, "DO");
    assert_eq!(config.services[0].entrypoint, None);
    assert_eq!(config.services[1].entrypoint.as_deref(), Some("Admin"));
    assert_eq!(config.services[1].props.as_ref().unwrap().to_string(), "{\"x\":1}");
    assert_eq!(config.version_metadata.as_deref(), Some("VERSION"));
    assert_eq!(config.vars["JSON"].to_string(), "{\"a\":[1,null]}");
    assert_eq!(config.vars["NUMBER"], 1);
}

#[test]
fn binding_kinds_that_do_not_run_are_refused_by_name_and_place() {
    for (key, kind, value) in [
        ("kv_namespaces", "KV Namespace", "[{ \"binding\": \"KV\" }]"),
        ("r2_buckets", "R2 Bucket", "[{ \"binding\": \"R2\" }]"),
        ("d1_databases", "D1 Database", "[{ \"binding\": \"DB\" }]"),
        ("queues", "Queue", "{ \"producers\": [{ \"binding\": \"Q\", \"queue\": \"q\" }] }"),
        ("workflows", "Workflow", "[{ \"binding\": \"W\" }]"),
        ("ai", "AI", "{ \"binding\": \"AI\" }"),
        ("browser", "Browser Run", "{ \"binding\": \"B\" }"),
        ("vectorize", "Vectorize Index", "[{}]"),
        ("hyperdrive", "Hyperdrive Config", "[{}]"),
        ("analytics_engine_datasets", "Analytics Engine Dataset", "[{}]"),
        ("send_email", "Send Email", "[{}]"),
        ("mtls_certificates", "mTLS Certificate", "[{}]"),
        ("dispatch_namespaces", "Dispatch Namespace", "[{}]"),
        ("pipelines", "Pipeline", "[{}]"),
        ("images", "Images", "{ \"binding\": \"I\" }"),
        ("media", "Media", "{ \"binding\": \"M\" }"),
        ("ratelimits", "Rate Limit", "[{}]"),
        ("worker_loaders", "Worker Loader", "[{}]"),
        ("wasm_modules", "Wasm Module", "{ \"W\": \"w.wasm\" }"),
        ("text_blobs", "Text Blob", "{ \"T\": \"t.txt\" }"),
        ("data_blobs", "Data Blob", "{ \"D\": \"d.bin\" }"),
    ] {
        let loaded = bare(&format!("\"{key}\": {value}"));
        assert_eq!(
            loaded.errors(),
            [format!("\"{key}\": {kind} bindings are not supported by Berth yet.")]
        );
        assert_eq!(loaded.place("not supported"), format!("\"{key}\""));
    }
    assert_eq!(
        bare("\"unsafe\": { \"bindings\": [{}] }").errors(),
        ["\"unsafe.bindings\" is not supported by Berth."]
    );
    bare("\"kv_namespaces\": [], \"queues\": { \"producers\": [], \"consumers\": [] }, \"pipelines\": []").clean();
}

#[test]
fn durable_object_bindings_are_checked() {
    let binding = |keys: &str| bare(&format!("\"durable_objects\": {{ \"bindings\": [{keys}] }}"));
    check_errors(
        binding,
        &[
            ("5", r#"Expected "durable_objects.bindings[0]" to be an object but got 5"#),
            (r#"{ "class_name": "A" }"#, r#"binding should have a string "name" field."#),
            (
                r#"{ "name": "A", "class_name": 1 }"#,
                r#"binding should have a string "class_name" field."#,
            ),
        ],
    );
    let script = binding(r#"{ "name": "A", "class_name": "A", "script_name": "other" }"#);
    assert_eq!(
        script.errors(),
        [
            r#""durable_objects.bindings[0].script_name": Durable Objects of another Worker ("other") are not supported by Berth yet."#
        ]
    );
    check_errors(
        bare,
        &[
            (
                r#""durable_objects": []"#,
                r#"The field "durable_objects" should be an object but got []."#,
            ),
            (
                r#""durable_objects": { "bindings": {} }"#,
                r#"The field "durable_objects.bindings" should be an array but got {}."#,
            ),
        ],
    );
}

#[test]
fn services_are_this_worker_only() {
    check_errors(
        bare,
        &[
            (
                r#""services": [{ "binding": "A", "service": "other" }]"#,
                r#""services[0]": Worker bindings to other Workers are not supported by Berth yet; "A" is bound to "other", and this Worker is "app"."#,
            ),
            (
                r#""services": [{ "service": "app" }]"#,
                r#""services[0]" bindings should have a string "binding" field but got {"service":"app"}."#,
            ),
            (r#""services": [5]"#, r#""services" bindings should be objects, but got 5"#),
            (
                r#""services": [{ "binding": "A", "service": "app", "remote": true }]"#,
                r#""services[0].remote": remote bindings are not supported by Berth."#,
            ),
        ],
    );
}

#[test]
fn names_are_unique_over_all_kinds() {
    let rest = "\nBindings must have unique names, so that they can all be referenced in the worker.\nPlease change your bindings to have unique names.";
    let same = bare(
        r#""services": [{ "binding": "A", "service": "app" }, { "binding": "A", "service": "app" }]"#,
    );
    assert_eq!(same.errors(), [format!("A assigned to multiple Worker bindings.{rest}")]);
    let other = bare(r#""vars": { "A": "1" }, "services": [{ "binding": "A", "service": "app" }]"#);
    assert_eq!(
        other.errors(),
        [format!("A assigned to Environment Variable and Worker bindings.{rest}")]
    );
    let secret = bare(r#""vars": { "A": "1" }, "secrets": { "required": ["A"] }"#);
    assert!(
        secret.errors()[0].starts_with("A assigned to Environment Variable and Secret bindings.")
    );
}

#[test]
fn keys_without_a_local_meaning_are_accepted_silently() {
    bare(
        r#""$schema": "x", "account_id": "0", "workers_dev": true, "preview_urls": false, "logpush": true, "keep_vars": true,
        "send_metrics": false, "upload_source_maps": true, "routes": ["a.b/*", { "pattern": "c.d", "custom_domain": true }],
        "placement": { "mode": "smart" }, "limits": { "cpu_ms": 5 }, "tail_consumers": [{ "service": "t" }],
        "observability": { "enabled": true, "logs": { "head_sampling_rate": 0.5 } }, "cache": { "enabled": true }"#,
    )
    .clean();
    check_errors(
        bare,
        &[
            (
                "\"workers_dev\": \"yes\"",
                r#"Expected "workers_dev" to be of type boolean but got "yes"."#,
            ),
            (
                "\"tail_consumers\": [\"t\"]",
                r#""tail_consumers[0]" should be an object but got "t"."#,
            ),
            (
                "\"tail_consumers\": [{ \"environment\": \"production\" }]",
                r#""tail_consumers[0].service" is a required field."#,
            ),
            ("\"account_id\": 5", r#"Expected "account_id" to be of type string but got 5."#),
            ("\"routes\": \"x\"", r#"Expected "routes" to be an array but got "x"."#),
            (
                "\"route\": { \"zone_id\": \"x\" }",
                r#"Expected "route" to be either a string, or an object with shape { pattern, custom_domain, zone_id | zone_name, enabled, previews_enabled }, but got {"zone_id":"x"}."#,
            ),
            (
                "\"site\": { \"bucket\": \"x\" }",
                "\"site\": Workers Sites are not supported by Berth. Use \"assets\" instead.",
            ),
        ],
    );
    check_warnings(
        bare,
        &[("\"nmae\": \"x\"", "Unexpected fields found in top-level field: \"nmae\"")],
    );
}
