//! Everything about a version but its code, in the words of the API. Pure.

use std::collections::BTreeMap;

use project::config::Config;
use serde_json::{Map, Value, json};

use super::choices::Choices;

/// What comes from elsewhere than the configuration.
#[derive(Debug, Default)]
pub(crate) struct Given<'a> {
    /// The name of the main module; none where there are static files alone.
    pub(crate) main: Option<&'a str>,
    /// The migrations that are to be made.
    pub(crate) migrations: Option<Value>,
    /// The token of the static files, and the texts of their rules.
    pub(crate) assets: Option<Assets>,
    /// The images that objects choose from.
    pub(crate) choices: Choices,
    /// Whether the containers switch together with the code, and what they become.
    pub(crate) berth: Option<Value>,
    /// `--message` and `--tag`.
    pub(crate) annotations: BTreeMap<&'static str, &'a str>,
}

/// Static files that were uploaded.
#[derive(Debug)]
pub(crate) struct Assets {
    pub(crate) token: String,
    pub(crate) headers: Option<String>,
    pub(crate) redirects: Option<String>,
}

/// The part `metadata` of an upload.
pub(crate) fn metadata(config: &Config, given: Given<'_>) -> Value {
    let mut all = config.deploy.metadata.clone();
    let mut set = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    if let Some(main) = given.main {
        set("main_module", json!(main));
    }
    set("bindings", bindings(config).into());
    set("compatibility_date", json!(config.compatibility_date));
    set("compatibility_flags", json!(config.compatibility_flags));
    set("keep_bindings", json!(kept(config.deploy.keep_vars)));
    let container = |container: &project::config::Container| {
        let application = &container.application;
        let mut named = json!({"name": application.name, "class_name": application.class_name});
        if let Some(images) = given.choices.get(&application.name) {
            named["images"] = json!(images);
        }
        named
    };
    let containers: Vec<_> = config.containers.iter().map(container).collect();
    if !containers.is_empty() {
        set("containers", containers.into());
    }
    if let Some(migrations) = given.migrations {
        set("migrations", migrations);
    }
    if let Some(exports) = &config.deploy.exports {
        set("exports", exports.clone());
    }
    if let Some(assets) = given.assets {
        set("assets", assets_of(config, assets));
    }
    if let Some(berth) = given.berth {
        set("berth", berth);
    }
    if !given.annotations.is_empty() {
        set("annotations", json!(given.annotations));
    }
    Value::Object(all)
}

/// Kinds of bindings that stay although the upload does not name them: secrets are put apart as well.
fn kept(with_vars: bool) -> Vec<&'static str> {
    let vars: &[_] = if with_vars { &["plain_text", "json"] } else { &[] };
    vars.iter().copied().chain(["secret_text", "secret_key"]).collect()
}

/// What the Worker finds in its `env`.
pub(crate) fn bindings(config: &Config) -> Vec<Value> {
    let variable = |(name, value): (&String, &Value)| match value {
        Value::String(text) => json!({"name": name, "type": "plain_text", "text": text}),
        value => json!({"name": name, "type": "json", "json": value}),
    };
    let mut all: Vec<Value> = config.vars.iter().map(variable).collect();
    all.extend(config.secrets.iter().map(|(name, text)| {
        json!({"name": name, "type": "secret_text",
            "text": text.expose()})
    }));
    let required = config.deploy.required_secrets.iter();
    let required = required.filter(|name| !config.secrets.contains_key(*name));
    // The API refuses the upload where the version before has none of that name.
    all.extend(required.map(|name| json!({"name": name, "type": "inherit"})));
    all.extend(config.durable_objects.iter().map(|object| {
        json!({"name": object.name, "type": "durable_object_namespace",
            "class_name": object.class_name})
    }));
    all.extend(config.services.iter().map(|service| {
        let mut binding =
            json!({"name": service.binding, "type": "service", "service": service.service});
        let more = [
            ("entrypoint", service.entrypoint.clone().map(Value::String)),
            ("props", service.props.clone()),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                binding[name] = value;
            }
        }
        binding
    }));
    all.extend(config.secrets_store.iter().map(|secret| {
        json!({"name": secret.binding, "type": "secrets_store_secret",
            "store_id": secret.store_id, "secret_name": secret.secret_name})
    }));
    let named = |name: &String, kind: &str| json!({"name": name, "type": kind});
    let assets = config.assets.as_ref().and_then(|assets| assets.binding.as_ref());
    all.extend(assets.map(|name| named(name, "assets")));
    all.extend(config.version_metadata.iter().map(|name| named(name, "version_metadata")));
    all
}

fn assets_of(config: &Config, Assets { token, headers, redirects }: Assets) -> Value {
    let mut rules = Map::new();
    if let Some(assets) = &config.assets {
        rules.insert("html_handling".into(), json!(assets.html_handling));
        rules.insert("not_found_handling".into(), json!(assets.not_found_handling));
        rules.insert("run_worker_first".into(), json!(assets.run_worker_first));
    }
    for (name, text) in [("_headers", headers), ("_redirects", redirects)] {
        rules.extend(text.map(|text| (name.to_owned(), text.into())));
    }
    json!({"jwt": token, "config": rules})
}

/// A binding as people read it: its name, what it is, and what it leads to.
pub(crate) fn described(binding: &Value) -> [String; 3] {
    let text = |name: &str| binding[name].as_str().unwrap_or_default().to_owned();
    let (kind, what) = match binding["type"].as_str().unwrap_or_default() {
        "plain_text" => ("Environment Variable", format!("\"{}\"", text("text"))),
        "json" => ("Environment Variable", binding["json"].to_string()),
        "inherit" | "secret_text" => ("Secret", String::new()),
        "durable_object_namespace" => ("Durable Object", text("class_name")),
        "service" => ("Worker", text("service")),
        "secrets_store_secret" => ("Secrets Store Secret", text("secret_name")),
        "assets" => ("Assets", String::new()),
        "version_metadata" => ("Worker Version Metadata", String::new()),
        other => (other, String::new()),
    };
    [format!("env.{}", text("name")), kind.to_owned(), what]
}

#[cfg(test)]
pub(super) mod tests {
    use project::config::{Purpose, Secret};

    use super::*;

    pub(crate) fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("wrangler.json"), text).unwrap();
        fs_err::write(folder.path().join("Dockerfile"), "FROM scratch").unwrap();
        fs_err::create_dir(folder.path().join("public")).unwrap();
        Config::load_for(Purpose::Deploy, folder.path(), None).unwrap().0
    }

    #[test]
    fn a_configuration_becomes_what_wrangler_sends() {
        let config = config(
            r#"{"name": "a", "main": "i.js", "compatibility_date": "2026-08-01",
            "vars": {"T": "x", "J": [1]}, "secrets": {"required": ["S"]},
            "durable_objects": {"bindings": [{"name": "C", "class_name": "K"}]},
            "migrations": [{"tag": "v1", "new_sqlite_classes": ["K"]}],
            "containers": [{"class_name": "K", "image": "./Dockerfile"}],
            "services": [{"binding": "O", "service": "other", "entrypoint": "E"}],
            "assets": {"directory": "public", "binding": "F", "run_worker_first": ["/x"]},
            "version_metadata": {"binding": "V"}, "limits": {"cpu_ms": 5}, "logpush": true}"#,
        );
        let assets = Assets { token: "t".into(), headers: Some("h".into()), redirects: None };
        let migrations = crate::deploy::migrations::wanted(&config.deploy.migrations, None);
        let given = Given {
            main: Some("i.js"),
            migrations,
            assets: Some(assets),
            choices: Choices::new(),
            berth: crate::deploy::applications::switch(&config, &BTreeMap::new()),
            annotations: BTreeMap::from([("workers/message", "m")]),
        };
        let expected = json!({
            "main_module": "i.js",
            "compatibility_date": "2026-08-01",
            "compatibility_flags": [],
            "bindings": [
                {"name": "J", "type": "json", "json": [1]},
                {"name": "T", "type": "plain_text", "text": "x"},
                {"name": "S", "type": "inherit"},
                {"name": "C", "type": "durable_object_namespace", "class_name": "K"},
                {"name": "O", "type": "service", "service": "other", "entrypoint": "E"},
                {"name": "F", "type": "assets"},
                {"name": "V", "type": "version_metadata"},
            ],
            "keep_bindings": ["secret_text", "secret_key"],
            "containers": [{"name": "a-k", "class_name": "K"}],
            "migrations": {"new_tag": "v1", "steps": [{"new_sqlite_classes": ["K"]}]},
            "assets": {"jwt": "t", "config": {"html_handling": "auto-trailing-slash",
                "not_found_handling": "none", "run_worker_first": ["/x"], "_headers": "h"}},
            "annotations": {"workers/message": "m"},
            "berth": {"atomic": false},
            "limits": {"cpu_ms": 5},
            "logpush": true,
        });
        assert_eq!(metadata(&config, given), expected);
    }

    #[test]
    fn containers_that_switch_with_the_code_come_with_it() {
        let config = config(
            r#"{"name": "a", "main": "i.js", "compatibility_date": "2026-08-01",
            "berth": {"atomic": true}, "migrations": [{"tag": "v1", "new_sqlite_classes": ["K"]}],
            "durable_objects": {"bindings": [{"name": "C", "class_name": "K"}]},
            "containers": [{"class_name": "K", "image": "./Dockerfile", "max_instances": 3}]}"#,
        );
        let images = BTreeMap::from([("a-k".to_owned(), "r/a-k@sha256:0".to_owned())]);
        let berth = crate::deploy::applications::switch(&config, &images).unwrap();
        let application = &berth["atomic"][0];
        assert_eq!(application["name"], json!("a-k"));
        assert_eq!(application["max_instances"], json!(3));
        assert_eq!(application["configuration"]["image"], json!("r/a-k@sha256:0"));
        let given = Given { berth: Some(berth.clone()), ..Given::default() };
        assert_eq!(metadata(&config, given)["berth"], berth);
    }

    #[test]
    fn a_secret_that_comes_along_is_not_inherited_and_its_text_is_not_shown() {
        let mut config = config(
            r#"{"name": "a", "main": "i.js", "compatibility_date": "2026-08-01",
            "secrets": {"required": ["S", "T"]}}"#,
        );
        config.secrets.insert("S".into(), Secret::new("hush"));
        let all = bindings(&config);
        let expected = [
            json!({"name": "S", "type": "secret_text", "text": "hush"}),
            json!({"name": "T", "type": "inherit"}),
        ];
        assert_eq!(all, expected);
        assert_eq!(described(&all[0]), ["env.S", "Secret", ""]);
    }

    #[test]
    fn images_that_objects_choose_from_belong_to_the_version() {
        let config = config(
            r#"{"name": "a", "main": "i.js", "compatibility_date": "2026-08-01",
            "migrations": [{"tag": "v1", "new_sqlite_classes": ["K"]}],
            "durable_objects": {"bindings": [{"name": "C", "class_name": "K"}]},
            "containers": [{"class_name": "K", "scheduling_policy": "durable_object",
                "images": {"py": {"dockerfile": "./Dockerfile"}}}]}"#,
        );
        let images = json!({"py": "r/a-k-py@sha256:0"});
        let choices = serde_json::from_value(json!({ "a-k": images })).unwrap();
        let given = Given { choices, ..Given::default() };
        let expected = json!([{"name": "a-k", "class_name": "K", "images": images}]);
        assert_eq!(metadata(&config, given)["containers"], expected);
    }

    #[test]
    fn variables_stay_if_they_are_to() {
        assert!(kept(true).contains(&"plain_text") && !kept(false).contains(&"plain_text"));
    }
}
