//! `metadata`: everything about a version but its code.

use std::collections::BTreeMap;

use model::AssetRules;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::envelope::Failure;
use crate::wanted::is_nothing;

/// The part `metadata`. What Berth cannot do is refused: here, if it is a field that is not known
/// ([`Metadata::check`]), and where it is used.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) main_module: Option<String>,
    #[serde(default)]
    pub(crate) compatibility_date: Option<String>,
    #[serde(default)]
    pub(crate) compatibility_flags: Vec<String>,
    #[serde(default)]
    pub(crate) bindings: Vec<Value>,
    /// Kinds of bindings that the new version takes over from the one before.
    #[serde(default)]
    pub(crate) keep_bindings: Vec<String>,
    #[serde(default)]
    pub(crate) containers: Vec<WireContainer>,
    #[serde(default)]
    pub(crate) migrations: Option<Migrations>,
    #[serde(default)]
    pub(crate) exports: BTreeMap<String, WireExport>,
    #[serde(default)]
    pub(crate) assets: Option<WireAssets>,
    /// Whether the static files of the version before stay.
    #[serde(default)]
    pub(crate) keep_assets: bool,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Workers that are told of what happens in this one.
    #[serde(default)]
    pub(crate) tail_consumers: Option<Vec<WireTailConsumer>>,
    /// What Cloudflare's API has no word for.
    #[serde(default)]
    berth: Option<WireBerth>,
    /// Everything else.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// One of `tail_consumers`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TailConsumer")]
pub(crate) struct WireTailConsumer {
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) environment: Option<String>,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
}

/// What Berth alone knows of a version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireBerth {
    /// See [`Atomic`].
    #[serde(default)]
    atomic: Value,
}

/// Whether containers switch together with the code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Atomic {
    /// Nothing is said of it.
    Unsaid,
    /// They do not.
    No,
    /// They do, and become this: each application as the API takes it, with its name.
    Applications(Vec<Value>),
}

/// Fields that ask for nothing which would not be so anyway: code is always taken over at once, one
/// machine is every placement, logs are always shown, and packages are only counted.
const GRANTED: [&str; 4] =
    ["code_update_strategy", "placement", "observability", "package_dependencies"];

/// Static files.
#[derive(Debug, Deserialize)]
pub(crate) struct WireAssets {
    /// The token of the session by which they were uploaded.
    #[serde(default)]
    pub(crate) jwt: Option<String>,
    #[serde(default)]
    pub(crate) config: Option<WireAssetConfig>,
}

/// How they answer.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct WireAssetConfig {
    #[serde(flatten)]
    pub(crate) rules: AssetRules,
    #[serde(default, rename = "_headers")]
    pub(crate) headers: Option<String>,
    #[serde(default, rename = "_redirects")]
    pub(crate) redirects: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// A class that owns containers.
#[derive(Debug, Deserialize)]
pub(crate) struct WireContainer {
    #[serde(default)]
    pub(crate) name: String,
    /// Missing when an export names the container.
    #[serde(default)]
    pub(crate) class_name: Option<String>,
    #[serde(default)]
    pub(crate) images: BTreeMap<String, String>,
}

/// One of `exports`.
#[derive(Debug, Deserialize)]
pub(crate) struct WireExport {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) storage: Option<String>,
    #[serde(default)]
    pub(crate) container: Option<String>,
    /// `created`, unless it says otherwise.
    #[serde(default)]
    pub(crate) state: Option<String>,
}

/// Changes of Durable Object classes.
#[derive(Debug, Deserialize)]
pub(crate) struct Migrations {
    #[serde(default)]
    pub(crate) old_tag: Option<String>,
    #[serde(default)]
    pub(crate) new_tag: Option<String>,
    #[serde(default)]
    pub(crate) steps: Vec<MigrationStep>,
}

/// The changes of one migration.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct MigrationStep {
    #[serde(default)]
    pub(crate) new_classes: Vec<String>,
    #[serde(default)]
    pub(crate) new_sqlite_classes: Vec<String>,
    #[serde(default)]
    pub(crate) renamed_classes: Vec<Renamed>,
    #[serde(default)]
    pub(crate) deleted_classes: Vec<String>,
    #[serde(default)]
    pub(crate) transferred_classes: Vec<Value>,
}

/// A class that has another name now.
#[derive(Debug, Deserialize)]
pub(crate) struct Renamed {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Metadata {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(text)
            .map_err(|error| Failure::bad_request(format!("metadata: {error}")))
    }

    /// Whether the containers switch together with the code.
    ///
    /// # Errors
    /// They are to, and the upload does not say what they become.
    pub(crate) fn atomic(&self) -> Result<Atomic, Failure> {
        match self.berth.as_ref().map(|berth| &berth.atomic) {
            None | Some(Value::Null) => Ok(Atomic::Unsaid),
            Some(Value::Bool(false)) => Ok(Atomic::No),
            Some(Value::Array(applications)) => Ok(Atomic::Applications(applications.clone())),
            Some(_) => Err(Failure::validation(
                "the containers are to switch together with the code (`berth.atomic`), and this upload \
                 does not say what they become: deploy the project with `berth deploy`. wrangler speaks \
                 of containers after it has uploaded the code, too late for that",
            )),
        }
    }

    /// Refuses what would be accepted and not done.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let asks = |(name, value): &(&String, &Value)| {
            !GRANTED.contains(&name.as_str()) && !is_nothing(value)
        };
        let of_assets = self.assets.as_ref().and_then(|assets| assets.config.as_ref());
        let of_assets = of_assets.into_iter().flat_map(|config| &config.rest);
        let field = self.rest.iter().map(|entry| ("", entry));
        let mut fields = field.chain(of_assets.map(|entry| ("assets.config.", entry)));
        match fields.find(|(_, entry)| asks(entry)) {
            None => Ok(()),
            Some((place, (name, _))) => Err(Failure::validation(format!(
                "`{place}{name}` is not done by `berth serve` yet; leave it out of the configuration"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(metadata: &Value) -> Result<(), Failure> {
        Metadata::parse(metadata.to_string().as_bytes()).unwrap().check()
    }

    #[test]
    fn containers_switch_with_the_code_where_the_upload_says_what_they_become() {
        let atomic = |berth: Value| {
            let metadata = json!({"main_module": "i.js", "berth": berth});
            Metadata::parse(metadata.to_string().as_bytes()).and_then(|metadata| metadata.atomic())
        };
        assert_eq!(atomic(Value::Null), Ok(Atomic::Unsaid));
        assert_eq!(atomic(json!({})), Ok(Atomic::Unsaid));
        assert_eq!(atomic(json!({"atomic": false})), Ok(Atomic::No));
        let list = vec![json!({"name": "a"})];
        assert_eq!(atomic(json!({ "atomic": list })), Ok(Atomic::Applications(list)));
        let failure = atomic(json!({"atomic": true})).unwrap_err();
        assert!(failure.message().contains("`berth deploy`"), "{failure:?}");
        assert!(atomic(json!({"atomics": true})).unwrap_err().message().contains("atomics"));
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let plain = json!({"main_module": "i.js", "bindings": [], "logpush": false,
            "streaming_tail_consumers": [], "observability": {"enabled": true},
            "code_update_strategy": {"mode": "deferred", "max_delay": 300},
            "package_dependencies": [{"name": "p"}]});
        assert_eq!(checked(&plain), Ok(()));
        for (name, value) in [
            ("limits", json!({"cpu_ms": 50})),
            ("logpush", json!(true)),
            ("streaming_tail_consumers", json!([{"service": "t"}])),
            ("assets", json!({"config": {"base_path": "/docs"}})),
        ] {
            let mut metadata = plain.clone();
            metadata[name] = value;
            let failure = checked(&metadata).unwrap_err();
            let name = if name == "assets" { "assets.config.base_path" } else { name };
            assert!(failure.message().contains(name), "{failure:?}");
        }
    }
}
