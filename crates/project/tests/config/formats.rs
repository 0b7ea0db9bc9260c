//! Finding the file, its two languages, and what is said about broken ones.

use project::{Config, ConfigError};

use super::{Loaded, Project, load};

const JSONC: &str = r#"// A comment.
{
  "name": "app", /* and another */
  "main": "src/index.ts",
  "compatibility_date": "2026-09-01",
  "compatibility_flags": ["nodejs_compat"],
  "containers": [
    { "class_name": "A", "image": "docker.io/a/b:1", "max_instances": 5, "instance_type": { "vcpu": 1, "memory_mib": 4096 } },
    { "class_name": "B", "image": "docker.io/a/c:1", "image_vars": { "X": "1" } },
  ],
  "durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }, { "name": "B", "class_name": "B" }] },
  "migrations": [{ "tag": "v1", "new_sqlite_classes": ["A", "B"] }],
  "vars": { "T": "x", "N": 1.5, "J": { "a": [true] } },
  "triggers": { "crons": ["*/2 * * * *"] },
  "rules": [{ "type": "Text", "globs": ["**/*.md"], "fallthrough": false }],
  "observability": { "enabled": true },
  "dev": { "port": 8000 },
  "env": { "staging": { "vars": { "T": "y", "N": 1, "J": null } } },
}
"#;

const TOML: &str = r#"# A comment.
name = "app"
main = 'src/index.ts'
compatibility_date = "2026-09-01"
compatibility_flags = [ "nodejs_compat" ]
vars.T = "x"
vars.N = 1.5
vars.J = { a = [true] }
triggers.crons = ["*/2 * * * *"]

[[containers]]
class_name = "A"
image = "docker.io/a/b:1"
max_instances = 5
instance_type.vcpu = 1
instance_type.memory_mib = 4_096

[[containers]]
class_name = "B"
image = "docker.io/a/c:1"
image_vars = { X = "1" }

[durable_objects]
bindings = [
  { name = "A", class_name = "A" },
  { name = "B", class_name = "B" },
]

[[migrations]]
tag = "v1"
new_sqlite_classes = ["A", "B"]

[[rules]]
type = "Text"
globs = ["**/*.md"]
fallthrough = false

[observability]
enabled = true

[dev]
port = 8000

[env.staging.vars]
T = "y"
N = 1
"#;

#[test]
fn json_and_toml_of_the_same_content_give_the_same_configuration() {
    for environment in [None, Some("staging")] {
        let same = |name: &str, text: &str| {
            let project = Project::new(&[(name, text)]);
            let (mut config, warnings) = project.load(environment).accepted();
            let root = project.0.path().to_owned();
            let strip = |path: &std::path::Path| path.strip_prefix(&root).unwrap().to_owned();
            config.path = "wrangler".into();
            config.inputs = vec![];
            config.main = config.main.as_deref().map(strip);
            config.build.cwd = strip(&config.build.cwd);
            config.root = "".into();
            if environment.is_some() {
                config.vars.remove("J");
            }
            let warnings: Vec<_> = warnings.into_iter().map(|finding| finding.message).collect();
            (config, warnings)
        };
        let (jsonc, mut jsonc_warnings) = same("wrangler.jsonc", JSONC);
        let (toml, mut toml_warnings) = same("wrangler.toml", TOML);
        assert_eq!(jsonc, toml);
        // `J` is null in JSON and missing in TOML, which has no null.
        jsonc_warnings.retain(|text| !text.contains("following vars"));
        toml_warnings.retain(|text| !text.contains("following vars"));
        jsonc_warnings.sort();
        toml_warnings.sort();
        assert_eq!(jsonc_warnings, toml_warnings);
    }
}

#[test]
fn the_same_mistake_has_the_same_text_in_both_languages() {
    let json = r#"{ "name": "app", "main": "x", "compatibility_date": "2026-09-01", "kv_namespaces": [{}], "minify": 5, "triggers": { "crons": 1, "x": 1 } }"#;
    let toml = "name = 'app'\nmain = 'x'\ncompatibility_date = '2026-09-01'\nminify = 5\ntriggers = { crons = 1, x = 1 }\n[[kv_namespaces]]\n";
    let texts = |name: &str, text: &str| {
        let loaded = Project::new(&[(name, text)]).load(None);
        let mut texts: Vec<_> =
            loaded.findings.into_iter().map(|finding| finding.message).collect();
        texts.sort();
        texts
    };
    assert_eq!(texts("wrangler.json", json), texts("wrangler.toml", toml));
}

#[test]
fn the_file_is_searched_upwards_json_before_jsonc_before_toml() {
    let config = |name: &str| {
        format!(r#"{{ "name": "{name}", "main": "x.js", "compatibility_date": "2026-09-01" }}"#)
    };
    let project = Project::new(&[
        ("wrangler.jsonc", &config("outer-jsonc")),
        (
            "inner/wrangler.toml",
            "name = 'inner-toml'\nmain = 'x.js'\ncompatibility_date = '2026-09-01'",
        ),
        ("inner/deep/x", ""),
    ]);
    let name = |path: &str| load(&project.path(path), None).clean().name;
    assert_eq!(name("inner/deep"), "outer-jsonc", "wrangler looks for each name up to the root");
    assert_eq!(name("inner/wrangler.toml"), "inner-toml", "a file is taken as it is");
    fs_err::write(project.path("inner/wrangler.json"), config("inner-json")).unwrap();
    assert_eq!(name("inner/deep"), "inner-json");
    assert_eq!(name("."), "outer-jsonc");
}

#[test]
fn no_file_is_an_error_that_names_the_folder() {
    let project = Project::new(&[("x", "")]);
    let error = Config::load(project.0.path(), None).unwrap_err();
    let ConfigError::NotFound { dir } = &error else { panic!("{error}") };
    assert_eq!(dir, project.0.path());
    assert!(error.to_string().contains("no wrangler.json, wrangler.jsonc or wrangler.toml in"));
    assert!(matches!(Config::load(&project.path("none"), None), Err(ConfigError::Read { .. })));
}

fn broken(name: &str, text: &str) -> Loaded {
    Project::new(&[(name, text)]).load(None)
}

#[test]
fn a_syntax_error_shows_its_line() {
    let loaded = broken("wrangler.jsonc", "{\n  \"name\": \"a\"\n  \"main\": \"b\"\n}");
    assert_eq!(loaded.errors(), ["Expected comma"]);
    let shown = loaded.findings[0].to_string();
    assert!(shown.contains("wrangler.jsonc:2:"), "{shown}");
    assert!(shown.contains("2 |   \"name\": \"a\""), "{shown}");
    let loaded = broken("wrangler.toml", "name = \"a\nmain = 'b'\n");
    assert!(!loaded.findings.is_empty());
    assert!(loaded.findings[0].to_string().contains("1 | name = \"a"), "{}", loaded.findings[0]);
    assert_eq!(
        broken("wrangler.json", "").errors(),
        ["Expected a JSON object, but the file is empty"]
    );
    assert_eq!(
        broken("wrangler.json", "[]").errors()[0],
        "Expected the configuration to be an object but got []."
    );
}

#[test]
fn an_error_is_shown_with_file_line_column_and_caret() {
    let text = "{\n  \"name\": \"app\",\n  \"main\": \"x.js\",\n  \"compatibility_date\": \"2026-09-01\",\n  \"minify\": \"yes\",\n}\n";
    let project = Project::new(&[("wrangler.jsonc", text)]);
    let loaded = project.load(None);
    let expected = format!(
        "error: Expected \"minify\" to be of type boolean but got \"yes\".\n --> {}:5:13\n  |\n5 |   \"minify\": \"yes\",\n  |             ^^^^^",
        project.path("wrangler.jsonc").display()
    );
    assert_eq!(loaded.findings[0].to_string(), expected);
    assert_eq!((loaded.findings[0].line(), loaded.findings[0].column()), (5, 13));
    assert_eq!(Config::load(project.0.path(), None).unwrap_err().to_string(), expected);
}

#[test]
fn a_file_that_is_not_text_is_refused_with_its_place() {
    let project = Project::new(&[]);
    fs_err::write(project.path("wrangler.json"), b"{\n \"name\": \"\xff\" }").unwrap();
    let loaded = project.load(None);
    assert_eq!(loaded.errors(), ["The file is not valid UTF-8"]);
    assert_eq!((loaded.findings[0].line(), loaded.findings[0].column()), (2, 11));
}

#[test]
fn a_byte_order_mark_is_skipped_and_a_key_given_twice_warns() {
    let text = "\u{feff}{ \"name\": \"a\", \"name\": \"b\", \"main\": \"x.js\", \"compatibility_date\": \"2026-09-01\" }";
    let loaded = broken("wrangler.json", text);
    assert_eq!(
        loaded.warnings(),
        ["The key \"name\" is given more than once; the last one counts."]
    );
    assert_eq!(loaded.accepted().0.name, "b");
}

mod robustness {
    //! No file, however odd, makes loading panic.

    use proptest::prelude::*;

    use super::Project;
    use project::Config;

    fn try_both(text: &str) {
        for name in ["wrangler.jsonc", "wrangler.toml"] {
            let project = Project::new(&[(name, text)]);
            for environment in [None, Some("staging")] {
                if let Err(error) = Config::load(project.0.path(), environment) {
                    let _ = error.to_string();
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cutting_a_file_anywhere_is_no_panic(at in 0usize..2_000, junk in "[\\[\\]{}\":,0-9a-z\n]{0,3}") {
            for text in [super::JSONC, super::TOML] {
                let mut at = at.min(text.len());
                while !text.is_char_boundary(at) { at -= 1; }
                try_both(&format!("{}{junk}{}", &text[..at], &text[(at + 1).min(text.len())..]));
            }
        }

        #[test]
        fn values_of_any_type_at_any_key_are_no_panic(index in 0usize..200, value in 0usize..9) {
            let keys = ["name", "main", "containers", "vars", "env", "triggers", "exports", "migrations", "durable_objects",
                "services", "assets", "build", "rules", "define", "alias", "dev", "berth", "observability", "secrets",
                "secrets_store_secrets", "unsafe", "routes", "limits", "compatibility_flags", "version_metadata"];
            let values = ["null", "5", "\"x\"", "[]", "{}", "[5]", "[{}]", "{\"x\": 5}", "{\"bindings\": [{\"x\": {}}], \"command\": [], \"required\": 5, \"crons\": {}}"];
            let key = keys[index % keys.len()];
            try_both(&format!("{{ \"{key}\": {0}, \"env\": {{ \"staging\": {{ \"{key}\": {0} }} }} }}", values[value]));
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let project = Project::new(&[]);
            fs_err::write(project.path("wrangler.jsonc"), &bytes).unwrap();
            fs_err::write(project.path(".dev.vars"), &bytes).unwrap();
            if let Err(error) = Config::load(project.0.path(), None) {
                let _ = error.to_string();
            }
        }
    }
}
