//! Secrets of a Worker: bindings of its versions that nobody is shown.

use std::collections::BTreeMap;

use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, body};
use crate::bindings::place;
use crate::envelope::{Body, Failure, success};
use crate::records::{Binding, BindingKind, Script};
use crate::workers::Workers;

/// Versions that differ by their secrets alone.
pub(super) const SECRET_CHANGE: &str = "secret_change";

/// A secret as clients send it.
#[derive(Deserialize)]
struct Wire {
    name: String,
    text: String,
}

#[derive(Deserialize)]
struct Bulk {
    /// `null` removes one.
    secrets: BTreeMap<String, Option<Text>>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
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
    let Wire { name: secret, text } = body::json(asked.body).await?;
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
    let Bulk { secrets } = body::json(asked.body).await?;
    let change = |script: &Script, bindings: &mut Vec<Binding>| {
        for (secret, text) in secrets {
            match text {
                Some(Text { text }) => set(workers, script, bindings, secret, &text),
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

fn shown(name: &str) -> Value {
    json!({"name": name, "type": "secret_text"})
}
