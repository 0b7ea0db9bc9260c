//! The Worker itself: name, main, dates, triggers, assets, build, rules, dev.

use std::path::PathBuf;

use project::config::{HtmlHandling, NotFoundHandling, RuleKind, RunWorkerFirst};

use super::{Project, bare, bare_in, check_errors, check_warnings};

fn raw(config: &str) -> super::Loaded {
    Project::new(&[("wrangler.jsonc", config)]).load(None)
}

#[test]
fn names_are_checked() {
    for name in ["\"My App\"", "\"-a\"", "5", "\"a.b\""] {
        let loaded = bare(&format!("\"name\": {name}"));
        assert_eq!(
            loaded.errors(),
            [format!(
                "Expected \"name\" to be of type string, alphanumeric and lowercase with dashes only but got {name}."
            )]
        );
    }
    let loaded = raw(r#"{ "main": "x.js", "compatibility_date": "2026-09-01" }"#);
    assert_eq!(
        loaded.warnings(),
        ["\"name\" is missing from the configuration; the Worker is called \"worker\"."]
    );
    assert_eq!(loaded.findings[0].line(), 1);
    assert_eq!(loaded.accepted().0.name, "worker");
}

#[test]
fn a_worker_needs_code_or_assets() {
    let loaded = raw(r#"{ "name": "a", "compatibility_date": "2026-09-01" }"#);
    assert_eq!(loaded.errors(), ["Missing entry-point to Worker script or to assets directory"]);
    let python = bare("\"main\": \"src/entry.py\"");
    assert_eq!(python.errors(), ["\"main\": Python Workers are not supported by Berth yet."]);
    let project = bare_in("\"main\": \"./src/../w.ts\"", &[]);
    assert_eq!(project.load(None).accepted().0.main, Some(project.path("src/../w.ts")));
}

#[test]
fn compatibility_is_checked() {
    check_errors(
        bare,
        &[
            (
                "\"compatibility_date\": \"2026-13-01\"",
                "\"compatibility_date\" field should be a valid ISO-8601 date (YYYY-MM-DD), but got \"2026-13-01\".",
            ),
            (
                "\"compatibility_date\": \"2026–01–01\"",
                "\"compatibility_date\" field should use ISO-8601 accepted hyphens (-) rather than en-dashes (–) or em-dashes (—).",
            ),
            (
                "\"compatibility_date\": 5",
                "Expected \"compatibility_date\" to be of type string but got 5.",
            ),
            (
                "\"compatibility_flags\": \"a\"",
                "Expected \"compatibility_flags\" to be of type string array but got \"a\".",
            ),
            (
                "\"compatibility_flags\": [1]",
                "Expected \"compatibility_flags\" to be of type string array but got [1].",
            ),
            (
                "\"compatibility_flags\": [\"global_navigator\", \"no_global_navigator\"]",
                "Conflicting compatibility flags: \"global_navigator\" and \"no_global_navigator\" cannot both be set. Remove one of these flags from your configuration.",
            ),
        ],
    );
    let loaded = raw(r#"{ "name": "a", "main": "x.js" }"#);
    assert_eq!(
        loaded.warnings(),
        [
            "No compatibility_date was specified. Using the installed Workers runtime's latest supported date."
        ]
    );
    assert_eq!(loaded.accepted().0.compatibility_date, None);
    let toml = Project::new(&[(
        "wrangler.toml",
        "name = 'a'\nmain = 'x.js'\ncompatibility_date = 2026-01-01\n",
    )])
    .load(None);
    assert_eq!(
        toml.errors(),
        ["Expected \"compatibility_date\" to be of type string but got \"2026-01-01\"."]
    );
}

#[test]
fn triggers_are_read() {
    let config = bare("\"triggers\": { \"crons\": [\"*/2 * * * *\", \"0 0 * * SUN\"] }").clean();
    assert_eq!(config.crons, ["*/2 * * * *", "0 0 * * SUN"]);
    check_errors(
        bare,
        &[
            ("\"triggers\": []", "Expected \"triggers\" to be of type object but got []."),
            (
                "\"triggers\": { \"crons\": \"* * * * *\" }",
                "Expected \"triggers.crons\" to be of type array, but got {\"crons\":\"* * * * *\"}.",
            ),
            (
                "\"triggers\": { \"crons\": [\"\"] }",
                "\"triggers.crons\" must not contain an empty expression.",
            ),
            (
                "\"triggers\": { \"events\": [{}] }",
                "\"triggers.events\" is not supported by Berth yet.",
            ),
        ],
    );
}

#[test]
fn assets_are_read() {
    let files = [("dist/index.html", "")];
    let keys = r#""assets": { "directory": "./dist", "binding": "ASSETS", "html_handling": "none", "not_found_handling": "single-page-application", "run_worker_first": ["/api/*", "!/api/docs"] }"#;
    let project = bare_in(keys, &files);
    let assets = project.load(None).clean().assets.unwrap();
    assert_eq!(assets.directory, project.path("dist"));
    assert_eq!(assets.binding.as_deref(), Some("ASSETS"));
    assert_eq!(assets.html_handling, HtmlHandling::None);
    assert_eq!(assets.not_found_handling, NotFoundHandling::SinglePageApplication);
    assert_eq!(
        assets.run_worker_first,
        RunWorkerFirst::Paths(vec!["/api/*".to_owned(), "!/api/docs".to_owned()])
    );
    let defaults = bare_in("\"assets\": { \"directory\": \"dist\" }", &files)
        .load(None)
        .clean()
        .assets
        .unwrap();
    assert_eq!(defaults.html_handling, HtmlHandling::AutoTrailingSlash);
    assert_eq!(defaults.not_found_handling, NotFoundHandling::None);
    assert_eq!(defaults.run_worker_first, RunWorkerFirst::Always(false));
}

#[test]
fn assets_are_checked() {
    let assets = |keys: &str| {
        bare_in(
            &format!("\"assets\": {{ \"directory\": \"dist\", {keys} }}"),
            &[("dist/x", ""), ("file", "")],
        )
        .load(None)
    };
    check_errors(
        assets,
        &[
            (
                "\"directory\": null",
                "The `assets` property in your configuration is missing the required `directory` property.",
            ),
            ("\"binding\": 1", "Expected \"assets.binding\" to be of type string but got 1."),
            (
                "\"html_handling\": \"x\"",
                "Expected \"assets.html_handling\" field to be one of [\"auto-trailing-slash\",\"force-trailing-slash\",\"drop-trailing-slash\",\"none\"] but got \"x\".",
            ),
            (
                "\"not_found_handling\": \"x\"",
                "Expected \"assets.not_found_handling\" field to be one of [\"single-page-application\",\"404-page\",\"none\"] but got \"x\".",
            ),
            (
                "\"run_worker_first\": 1",
                "The field \"assets.run_worker_first\" should be an array of strings or a boolean, but got 1.",
            ),
            ("\"base_path\": \"/x\"", "\"assets.base_path\" is not supported by Berth yet."),
            (
                "\"run_worker_first\": [\"api\"]",
                "\"assets.run_worker_first\" rules must start with \"/\" or \"!/\", but got \"api\".",
            ),
        ],
    );
    assert!(assets("\"directory\": \"none\"").errors()[0].starts_with("The directory specified by the \"assets.directory\" field in your configuration file does not exist:\n"));
    assert!(assets("\"directory\": \"file\"").errors()[0].contains("is not a directory"));
    let later = bare_in(
        "\"assets\": { \"directory\": \"made\" }, \"build\": { \"command\": \"make\" }",
        &[],
    );
    later.load(None).clean();
    let only = Project::new(&[("wrangler.jsonc", r#"{ "name": "a", "compatibility_date": "2026-09-01", "assets": { "directory": ".", "binding": "A", "run_worker_first": true } }"#)]).load(None);
    assert_eq!(only.errors().len(), 2, "{:?}", only.errors());
    assert!(
        only.errors()[0].starts_with("Cannot use assets with a binding in an assets-only Worker.")
    );
}

#[test]
fn build_paths_are_relative_to_the_file() {
    let project = bare_in(
        "\"build\": { \"command\": \"make\", \"cwd\": \"tools\", \"watch_dir\": [\"./a\", \"b\"] }",
        &[],
    );
    let build = project.load(None).clean().build;
    assert_eq!((build.command.as_deref(), build.cwd), (Some("make"), project.path("tools")));
    assert_eq!(build.watch_dirs, [project.path("a"), project.path("b")]);
    let default = bare_in("\"build\": { \"command\": \"make\" }", &[]);
    assert_eq!(default.load(None).clean().build.watch_dirs, [default.path("src")]);
    check_errors(
        bare,
        &[
            (
                "\"build\": { \"command\": 1 }",
                "Expected \"build.command\" to be of type string but got 1.",
            ),
            (
                "\"build\": { \"watch_dir\": [1] }",
                "Expected \"build.watch_dir.[0]\" to be of type string but got 1.",
            ),
        ],
    );
    check_warnings(
        bare,
        &[(
            "\"build\": { \"comand\": \"x\" }",
            "Unexpected fields found in build field: \"comand\"",
        )],
    );
}

#[test]
fn bundling_keys_are_read() {
    let project = bare_in(
        r#""rules": [{ "type": "Text", "globs": ["**/*.md"], "fallthrough": true }], "define": { "A": "1" }, "alias": { "a": "./b" },
        "no_bundle": true, "base_dir": "base", "tsconfig": "./tsconfig.x.json", "jsx_factory": "h", "keep_names": false, "preserve_file_names": true"#,
        &[],
    );
    let bundling = project.load(None).clean().bundling;
    assert_eq!(bundling.rules[0].kind, RuleKind::Text);
    assert_eq!(bundling.rules[0].fallthrough, Some(true));
    assert_eq!(bundling.define["A"], "1");
    assert_eq!(bundling.alias["a"], "./b");
    assert!(bundling.no_bundle && bundling.find_additional_modules && bundling.preserve_file_names);
    assert_eq!(bundling.base_dir, Some(project.path("base")));
    assert_eq!(bundling.tsconfig, Some(project.path("./tsconfig.x.json")));
    assert!(!bundling.keep_names);
    assert!(bare("\"minify\": true").clean().bundling.keep_names);
    check_errors(
        bare,
        &[
            ("\"rules\": {}", "The field \"rules\" should be an array but got {}."),
            (
                "\"rules\": [{ \"type\": \"Json\", \"globs\": [] }]",
                "bindings should have a string \"type\" field, which contains one of \"ESModule\", \"CommonJS\", \"CompiledWasm\", \"Text\", or \"Data\".",
            ),
            (
                "\"rules\": [{ \"type\": \"Text\" }]",
                "Expected \"rules[0].globs\" to be an array of strings but got undefined",
            ),
            (
                "\"rules\": [{ \"type\": \"PythonModule\", \"globs\": [] }]",
                "\"rules[0]\": Python Workers (\"PythonModule\") are not supported by Berth yet.",
            ),
            ("\"define\": { \"A\": 1 }", "The field \"define.A\" should be a string but got 1."),
            ("\"alias\": { \"a\": 1 }", "Expected alias[\"a\"] to be a string, but got number"),
            ("\"alias\": \"x\"", "Expected alias to be an object, but got string"),
        ],
    );
}

#[test]
fn dev_is_read() {
    let dev = bare("\"dev\": { \"port\": 9000, \"ip\": \"0.0.0.0\", \"enable_containers\": false, \"container_engine\": \"unix:///x\", \"local_protocol\": \"http\" }").clean().dev;
    assert_eq!(
        (dev.port, dev.ip.as_deref(), dev.enable_containers),
        (Some(9000), Some("0.0.0.0"), false)
    );
    assert!(bare("\"dev\": {}").clean().dev.enable_containers);
    check_errors(
        bare,
        &[
            (
                "\"dev\": { \"port\": \"9000\" }",
                "Expected \"dev.port\" to be of type number but got \"9000\".",
            ),
            (
                "\"dev\": { \"port\": 70000 }",
                "\"dev.port\" must be a port between 0 and 65535, but got 70000.",
            ),
            (
                "\"dev\": { \"local_protocol\": \"ftp\" }",
                "Expected \"dev.local_protocol\" field to be one of [\"http\",\"https\"] but got \"ftp\".",
            ),
            (
                "\"dev\": { \"enable_containers\": 1 }",
                "Expected \"dev.enable_containers\" to be of type boolean but got 1.",
            ),
        ],
    );
}

#[test]
fn observability_is_read() {
    let on = |keys: &str| bare(&format!("\"observability\": {keys}")).clean().observability;
    assert!(on("{ \"enabled\": true }").enabled);
    assert!(!on("{ \"enabled\": true, \"logs\": { \"enabled\": false } }").enabled);
    assert!(
        (on("{ \"enabled\": true, \"head_sampling_rate\": 0.5 }").head_sampling_rate - 0.5).abs()
            < 1e-9
    );
    check_errors(
        bare,
        &[
            ("\"observability\": 1", "\"observability\" should be an object but got 1."),
            (
                "\"observability\": {}",
                "\"observability.enabled\" or \"observability.logs.enabled\" or \"observability.traces.enabled\" or \"observability.issues.enabled\" is required.",
            ),
            (
                "\"observability\": { \"enabled\": true, \"head_sampling_rate\": 2 }",
                "\"observability.head_sampling_rate\" must be a value between 0 and 1.",
            ),
        ],
    );
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let loaded =
        bare(r#""minify": 1, "kv_namespaces": [{}], "triggers": 5, "compatibility_flags": 5"#);
    let starts: Vec<usize> = loaded.findings.iter().map(|finding| finding.span.start).collect();
    assert_eq!(starts.len(), 4);
    assert!(starts.is_sorted());
}

#[test]
fn the_examples_of_the_repository_are_valid() {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../examples");
    let mut count = 0;
    for entry in fs_err::read_dir(examples).unwrap() {
        let dir = entry.unwrap().path();
        let is_project =
            ["wrangler.jsonc", "wrangler.toml"].iter().any(|name| dir.join(name).is_file());
        if is_project {
            let (config, _) = super::load(&dir, None).accepted();
            assert!(!config.containers.is_empty(), "{}", dir.display());
            count += 1;
        }
    }
    assert!(count > 5, "only {count} examples were found");
}
