//! Secrets of a Worker: bindings of its versions that nobody is shown.

use std::collections::BTreeMap;

use http::Response;
use serde::Deserialize;
use serde_json::Value;

use super::{Asked, body};
use crate::bindings::place;
use crate::envelope::{Body, Failure, success};
use crate::records::{Binding, BindingKind, Script};
use crate::upload;
use crate::wire::{
    Bindings, CopiedVersion, LatestWish, SecretText, SecretTexts, SecretView, SecretsWish,
    VersionMember,
};
use crate::workers::Workers;

/// Versions that differ by their secrets alone.
pub(super) const SECRET_CHANGE: &str = "secret_change";

/// All bindings of a Worker, as wrangler 4.86 sends them: those that stay by their names and types.
#[derive(Deserialize)]
struct Settings {
    bindings: Vec<Value>,
}

pub(super) async fn patch_latest(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let author = asked.author(SECRET_CHANGE);
    let LatestWish { env, annotations, rest } = body::json(asked.body).await?;
    if let Some((field, _)) = rest.first_key_value() {
        return Err(Failure::validation(format!(
            "`{field}` of a version is not changed by `berth serve` yet; upload a version"
        )));
    }
    if let Some((member, _)) =
        env.iter().find(|(_, it)| it.as_ref().is_some_and(|it| it.kind != "secret_text"))
    {
        return Err(Failure::validation(format!(
            "`env.{member}` is no secret: upload a version to change it"
        )));
    }
    let annotations = annotations.into_iter().filter_map(|(key, text)| Some((key, text?)));
    let annotations: BTreeMap<String, String> = annotations.collect();
    let change = |script: &Script, bindings: &mut Vec<Binding>| {
        for (secret, member) in env {
            match member {
                Some(VersionMember { text, .. }) => set(workers, script, bindings, secret, &text),
                None => bindings.retain(|binding| !(is_secret(binding) && binding.name == secret)),
            }
        }
        Ok(())
    };
    let (_, version) = workers.copy_newest(name, author, annotations, change).await?;
    Ok(success(&CopiedVersion { id: version.id, number: version.number }))
}

pub(super) async fn patch_settings(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let author = asked.author(SECRET_CHANGE);
    let text = upload::field(&asked.head.headers, asked.body, "settings").await?;
    let Settings { bindings: wanted } = serde_json::from_slice(&text)
        .map_err(|error| Failure::bad_request(format!("settings: {error}")))?;
    let change = |script: &Script, bindings: &mut Vec<Binding>| {
        let mut kept = Vec::new();
        for wire in &wanted {
            let (member, kind) = (wire["name"].as_str(), wire["type"].as_str());
            let member = member.unwrap_or_default();
            match (kind, wire["text"].as_str()) {
                (Some("secret_text"), Some(text)) => {
                    set(workers, script, &mut kept, member.to_owned(), text);
                }
                // One that stays is sent without what it is.
                (Some(kind), _) if wire.as_object().is_some_and(|fields| fields.len() == 2) => {
                    let known = bindings.iter().find(|it| it.name == member);
                    let known = known.filter(|it| kind == "inherit" || it.kind.name() == kind);
                    kept.push(known.cloned().ok_or_else(|| {
                        let message = format!("there is no binding \"{member}\" of type {kind}");
                        Failure::new(http::StatusCode::BAD_REQUEST, 10057, message)
                    })?);
                }
                _ => {
                    return Err(Failure::validation(format!(
                        "the binding \"{member}\" is no secret: deploy to change it"
                    )));
                }
            }
        }
        *bindings = kept;
        Ok(())
    };
    let (script, version) = workers.change_bindings(name, author, change).await?;
    Ok(success(&Bindings { bindings: super::versions::bindings(&script, &version) }))
}

pub(super) fn list(workers: &Workers, name: &str) -> Result<Response<Body>, Failure> {
    let script = workers.state.script(name)?.value;
    let version = workers.state.newest_version(&script)?.ok_or_else(Failure::no_version)?;
    let secrets = version.bindings.iter().filter(|binding| is_secret(binding));
    Ok(success(&secrets.map(|secret| shown(&secret.name)).collect::<Vec<_>>()))
}

pub(super) async fn put(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let author = asked.author(SECRET_CHANGE);
    let SecretText { name: secret, text } = body::json(asked.body).await?;
    let shown = shown(&secret);
    let change = |script: &Script, bindings: &mut Vec<Binding>| {
        set(workers, script, bindings, secret, &text);
        Ok(())
    };
    workers.change_bindings(name, author, change).await?;
    Ok(success(&shown))
}

pub(super) async fn patch(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let author = asked.author(SECRET_CHANGE);
    let SecretsWish { secrets } = body::json(asked.body).await?;
    let change = |script: &Script, bindings: &mut Vec<Binding>| {
        for (secret, text) in secrets {
            match text {
                Some(SecretTexts { text }) => set(workers, script, bindings, secret, &text),
                None => bindings.retain(|binding| !(is_secret(binding) && binding.name == secret)),
            }
        }
        Ok(())
    };
    let (_, version) = workers.change_bindings(name, author, change).await?;
    let secrets = version.bindings.iter().filter(|binding| is_secret(binding));
    Ok(success(&secrets.map(|secret| shown(&secret.name)).collect::<Vec<_>>()))
}

pub(super) async fn delete(
    workers: &Workers,
    name: &str,
    secret: &str,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    let change = |_: &Script, bindings: &mut Vec<Binding>| {
        let before = bindings.len();
        bindings.retain(|binding| !(is_secret(binding) && binding.name == secret));
        if bindings.len() == before {
            let message = format!("Secret binding \"{secret}\" not found.");
            return Err(Failure::new(http::StatusCode::NOT_FOUND, 10056, message));
        }
        Ok(())
    };
    workers.change_bindings(name, asked.author(SECRET_CHANGE), change).await?;
    Ok(success(&Value::Null))
}

/// A secret takes the place of whatever has its name.
fn set(workers: &Workers, script: &Script, bindings: &mut Vec<Binding>, name: String, text: &str) {
    let sealed = workers.state.sealer.seal(&place(script, &name), text);
    bindings.retain(|binding| binding.name != name);
    bindings.push(Binding { name, kind: BindingKind::SecretText(sealed) });
}

fn is_secret(binding: &Binding) -> bool {
    matches!(binding.kind, BindingKind::SecretText(_))
}

fn shown(name: &str) -> SecretView {
    SecretView { name: name.to_owned(), kind: "secret_text" }
}
