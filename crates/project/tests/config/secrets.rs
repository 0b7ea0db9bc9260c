//! `.dev.vars`, `.env`, `secrets.required` and the Secrets Store.

use super::{Project, bare_in};
use project::Config;

const ENVIRONMENTS: &str = r#""vars": { "V": "config", "W": "config" }, "env": { "staging": { "vars": { "V": "s", "W": "s" } } }"#;

fn project(keys: &str, files: &[(&str, &str)]) -> Project {
    bare_in(keys, files)
}

fn values(config: &Config) -> String {
    let vars = config.vars.iter().map(|(name, value)| format!("{name}={value}"));
    let secrets = config.secrets.iter().map(|(name, value)| format!("{name}:{}", value.expose()));
    vars.chain(secrets).collect::<Vec<_>>().join(" ")
}

#[test]
fn dev_vars_win_over_vars_and_hide_dot_env() {
    let files = [(".dev.vars", "V=secret\nS=\"two\\nlines\""), (".env", "W=not read")];
    let project = project(ENVIRONMENTS, &files);
    let config = project.load(None).clean();
    assert_eq!(values(&config), "W=\"config\" S:two\nlines V:secret");
    assert_eq!(config.secret_files, [project.path(".dev.vars")]);
    assert_eq!(config.inputs, [project.path("wrangler.jsonc"), project.path(".dev.vars")]);
}

#[test]
fn dev_vars_of_an_environment_replace_the_others() {
    let files = [(".dev.vars", "A=1"), (".dev.vars.staging", "B=2")];
    let project = project(ENVIRONMENTS, &files);
    assert_eq!(values(&project.load(Some("staging")).clean()), "V=\"s\" W=\"s\" B:2");
    assert_eq!(values(&project.load(None).clean()), "V=\"config\" W=\"config\" A:1");
}

#[test]
fn dot_env_files_are_merged_and_expanded() {
    let files = [
        (".env", "A=1\nB=1\nC=1\nD=1\nE=$A-${MISSING:-x}"),
        (".env.local", "B=2\nC=2\nD=2"),
        (".env.staging", "C=3\nD=3"),
        (".env.staging.local", "D=4"),
    ];
    let project = project(ENVIRONMENTS, &files);
    assert_eq!(
        values(&project.load(Some("staging")).clean()),
        "V=\"s\" W=\"s\" A:1 B:2 C:3 D:4 E:1-x"
    );
    assert_eq!(
        values(&project.load(None).clean()),
        "V=\"config\" W=\"config\" A:1 B:2 C:2 D:2 E:1-x"
    );
}

#[test]
fn with_required_secrets_only_those_and_vars_are_taken() {
    let keys = r#""vars": { "V": "config" }, "secrets": { "required": ["S", "MISSING_SECRET"] }"#;
    let loaded = project(keys, &[(".dev.vars", "V=v\nS=s\nOTHER=o")]).load(None);
    assert_eq!(
        loaded.warnings(),
        [
            "Missing required secrets: MISSING_SECRET. Add them to .dev.vars, .env, or set as environment variables."
        ]
    );
    assert_eq!(values(&loaded.accepted().0), "S:s V:v");
}

#[test]
fn secrets_are_checked() {
    let error = |keys: &str| project(keys, &[]).load(None).errors().join("\n");
    assert_eq!(error("\"secrets\": []"), "The field \"secrets\" should be an object but got [].");
    assert_eq!(
        error("\"secrets\": { \"required\": [1] }"),
        "Expected \"secrets.required.[0]\" to be of type string but got 1."
    );
}

#[test]
fn secrets_store_values_come_from_the_files_by_their_secret_name() {
    let keys = r#""secrets_store_secrets": [
        { "binding": "KEY", "store_id": "s", "secret_name": "API_KEY" },
        { "binding": "NONE", "store_id": "s", "secret_name": "OTHER" }]"#;
    let loaded = project(keys, &[(".dev.vars", "API_KEY=k\nA=1")]).load(None);
    assert_eq!(loaded.warnings(), ["The Secrets Store secret \"OTHER\" has no local value."]);
    assert_eq!(loaded.place("OTHER"), "\"OTHER\"");
    let (config, _) = loaded.accepted();
    assert_eq!(config.secrets_store[0].value.as_ref().unwrap().expose(), "k");
    assert_eq!(config.secrets_store[1].value, None);
    assert_eq!(values(&config), "A:1", "a value of the store is not a secret of the Worker too");
}

#[test]
fn a_secret_is_never_shown() {
    let config = project("\"minify\": true", &[(".dev.vars", "S=hunter2")]).load(None).clean();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_toml_date_is_no_variable() {
    let toml =
        "name = 'a'\nmain = 'x.js'\ncompatibility_date = '2026-09-01'\n[vars]\nD = 2026-01-02\n";
    let loaded = Project::new(&[("wrangler.toml", toml)]).load(None);
    assert_eq!(
        loaded.errors(),
        [
            "The field \"vars.D\" is a TOML date, which is not supported. Please use a string instead, e.g. D = \"2026-01-02\"."
        ]
    );
}
