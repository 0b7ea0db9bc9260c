//! From the bindings of an upload to those of a version.

use serde::Deserialize;
use serde_json::Value;

use crate::envelope::Failure;
use crate::records::{Binding, BindingKind, Script};
use crate::seal::Sealer;
use crate::upload::Metadata;
use crate::wanted::is_nothing;

/// A binding as clients send it.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire {
    PlainText {
        name: String,
        text: String,
    },
    Json {
        name: String,
        json: Value,
    },
    SecretText {
        name: String,
        text: String,
    },
    DurableObjectNamespace {
        name: String,
        class_name: String,
        #[serde(default)]
        script_name: Option<String>,
    },
    Service {
        name: String,
        service: String,
        #[serde(default)]
        entrypoint: Option<String>,
        #[serde(default)]
        props: Option<Value>,
    },
    SecretsStoreSecret {
        name: String,
        store_id: String,
        secret_name: String,
    },
    Assets {
        name: String,
    },
    VersionMetadata {
        name: String,
    },
    Inherit {
        name: String,
    },
}

/// Where a secret's text may be read: it is encrypted for that place.
pub(crate) fn place(script: &Script, name: &str) -> String {
    place_of(&script.tag, name)
}

/// The same for the Worker with that tag.
pub(crate) fn place_of(tag: &str, name: &str) -> String {
    format!("{tag}/{name}")
}

/// The bindings of a new version.
///
/// # Errors
/// One is of a kind that Berth does not run, or names something that is not there.
pub(crate) fn of_upload(
    script: &Script,
    metadata: &Metadata,
    previous: &[Binding],
    sealer: &Sealer,
) -> Result<Vec<Binding>, Failure> {
    let mut bindings = Vec::new();
    for wire in &metadata.bindings {
        let binding = parse(wire)?;
        let binding = resolve(script, binding, previous, sealer)?;
        let has_assets = metadata.assets.is_some() || metadata.keep_assets;
        if binding.kind == BindingKind::Assets && !has_assets {
            let message =
                format!("the binding \"{}\" is of assets, and there are none", binding.name);
            return Err(Failure::validation(message));
        }
        if bindings.iter().any(|other: &Binding| other.name == binding.name) {
            let message = format!("the binding \"{}\" is there twice", binding.name);
            return Err(Failure::validation(message));
        }
        bindings.push(binding);
    }
    let kept = previous.iter().filter(|old| {
        let is_new = bindings.iter().any(|new: &Binding| new.name == old.name);
        !is_new && metadata.keep_bindings.iter().any(|kind| kind == old.kind.name())
    });
    let kept: Vec<Binding> = kept.cloned().collect();
    bindings.extend(kept);
    Ok(bindings)
}

fn parse(wire: &Value) -> Result<Wire, Failure> {
    serde_json::from_value(wire.clone()).map_err(|error| {
        let (name, kind) = (&wire["name"], &wire["type"]);
        let unknown = error.to_string().starts_with("unknown variant");
        Failure::validation(if unknown {
            format!("the binding {name} is of type {kind}, which Berth does not run yet")
        } else {
            format!("the binding {name} of type {kind} is wrong: {error}")
        })
    })
}

fn resolve(
    script: &Script,
    wire: Wire,
    previous: &[Binding],
    sealer: &Sealer,
) -> Result<Binding, Failure> {
    let (name, kind) = match wire {
        Wire::PlainText { name, text } => (name, BindingKind::PlainText(text)),
        Wire::Json { name, json } => (name, BindingKind::Json(json)),
        Wire::SecretText { name, text } => {
            let sealed = sealer.seal(&place(script, &name), &text);
            (name, BindingKind::SecretText(sealed))
        }
        Wire::DurableObjectNamespace { name, class_name, script_name } => {
            if let Some(other) = script_name.filter(|other| *other != script.name) {
                return Err(Failure::validation(format!(
                    "the binding \"{name}\" leads to Durable Objects of the Worker \"{other}\": Berth \
                     runs each Worker in a process of its own and does not reach another's objects \
                     yet; bind the Worker itself (`services`), and let it ask its objects"
                )));
            }
            if script.class(&class_name).is_none() {
                let message = format!(
                    "Cannot create binding for class '{class_name}' because it is not currently \
                     configured to implement Durable Objects. Did you forget a migration?"
                );
                return Err(Failure::new(http::StatusCode::BAD_REQUEST, 10061, message));
            }
            (name, BindingKind::DurableObjectNamespace { class_name })
        }
        Wire::Service { name, service, entrypoint, props } if service == script.name => {
            (name, BindingKind::Service { entrypoint, props })
        }
        Wire::Service { name, service, entrypoint, props } => {
            if props.is_some_and(|props| !is_nothing(&props)) {
                return Err(Failure::validation(format!(
                    "the binding \"{name}\" gives the Worker \"{service}\" `props`: Berth gives them \
                     to entry points of the Worker itself alone"
                )));
            }
            (name, BindingKind::OtherService { service, entrypoint })
        }
        Wire::SecretsStoreSecret { name, store_id, secret_name } => {
            (name, BindingKind::StoredSecret { store_id, secret_name })
        }
        Wire::Assets { name } => (name, BindingKind::Assets),
        Wire::VersionMetadata { name } => (name, BindingKind::VersionMetadata),
        Wire::Inherit { name } => {
            let found = previous.iter().find(|binding| binding.name == name);
            return found.cloned().ok_or_else(|| {
                let message = format!("there is no binding \"{name}\" to inherit");
                Failure::new(http::StatusCode::BAD_REQUEST, 10057, message)
            });
        }
    };
    Ok(Binding { name, kind })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn of(previous: &[Binding], metadata: &Value) -> Result<Vec<Binding>, String> {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::with_key_file(&folder.path().join("key")).unwrap();
        let metadata = Metadata::parse(metadata.to_string().as_bytes()).unwrap();
        let mut script = Script::new("w", Timestamp::UNIX_EPOCH);
        crate::migrate::apply(&mut script, &metadata).unwrap();
        of_upload(&script, &metadata, previous, &sealer).map_err(|failure| format!("{failure:?}"))
    }

    fn names(bindings: &[Binding]) -> Vec<(&str, &str)> {
        bindings.iter().map(|binding| (binding.name.as_str(), binding.kind.name())).collect()
    }

    #[test]
    fn secrets_survive_an_upload_and_vars_do_not() {
        let first = json!({"bindings": [
            {"name": "A", "type": "plain_text", "text": "1"},
            {"name": "S", "type": "secret_text", "text": "2"},
            {"name": "T", "type": "secret_text", "text": "3"},
        ]});
        let first = of(&[], &first).unwrap();
        let second = json!({"keep_bindings": ["secret_text", "secret_key"],
            "bindings": [{"name": "T", "type": "json", "json": [1]}]});
        let second = of(&first, &second).unwrap();
        assert_eq!(names(&second), [("T", "json"), ("S", "secret_text")]);
        assert_eq!(second[1], first[1]);
    }

    #[test]
    fn what_is_inherited_must_be_there() {
        let old = Binding { name: "A".into(), kind: BindingKind::PlainText("1".into()) };
        let inherit = json!({"bindings": [{"name": "A", "type": "inherit"}]});
        assert_eq!(of(std::slice::from_ref(&old), &inherit).unwrap(), [old]);
        assert!(of(&[], &inherit).unwrap_err().contains("10057"));
    }

    #[test]
    fn what_is_not_run_or_not_there_is_refused_by_name() {
        let wrong = |binding: Value, text: &str| {
            let error = of(&[], &json!({"bindings": [binding]})).unwrap_err();
            assert!(error.contains(text), "{error}");
        };
        wrong(json!({"name": "KV", "type": "kv_namespace", "namespace_id": "1"}), "kv_namespace");
        wrong(json!({"name": "V", "type": "plain_text"}), "missing field `text`");
        wrong(
            json!({"name": "O", "type": "durable_object_namespace", "class_name": "X"}),
            "forget a migration",
        );
        wrong(
            json!({"name": "B", "type": "service", "service": "other", "props": {"a": 1}}),
            "`props`",
        );
        wrong(
            json!({"name": "O", "type": "durable_object_namespace", "class_name": "X",
                "script_name": "other"}),
            "Worker \\\"other\\\"",
        );
        let twice = json!({"name": "A", "type": "plain_text", "text": "1"});
        let error = of(&[], &json!({"bindings": [twice.clone(), twice]})).unwrap_err();
        assert!(error.contains("twice"), "{error}");
    }
}
