//! `/images`: the calls of the Engine API about images, done by [`Images`].

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::api::{Call, is_sidecar, unknown};
use super::auth::credentials;
use super::build::MOST_BYTES;
use super::error::EngineError;
use super::filters::Filters;
use super::images::{Images, Removed};
use super::progress::Messages;
use super::reply::{Answer, empty, growing, ok};
use super::transfer::Transfer;
use crate::docker_api::archives;
use crate::docker_api::path::Query;

/// Messages that wait for a caller who is slow; then the work waits.
const MESSAGES: usize = 64;

/// A call about images.
pub(super) async fn answer(engine: &Arc<Inner>, rest: &[&str], call: Call) -> Answer {
    let target = call.target.clone();
    let query = Query(target.split_once('?').map_or("", |(_, query)| query));
    let images = &engine.images;
    match (call.method.as_str(), rest) {
        ("GET", ["json"]) => {
            let filters = Filters::parse(query.get("filters").as_deref())?;
            ok(Value::Array(images.list(&filters).await?))
        }
        ("POST", ["create"]) => create(engine, query, &call),
        ("POST", ["prune"]) => prune(engine, query).await,
        ("POST", ["load"]) => load(engine, call).await,
        ("GET", ["get"]) => save(engine, query.all("names")),
        // A name may have slashes.
        ("GET", [name @ .., "get"]) => save(engine, vec![name.join("/")]),
        ("GET", [name @ .., "json"]) => inspect(images, name.join("/")).await,
        ("GET", [name @ .., "history"]) => {
            let name = name.join("/");
            ok(Value::Array(images.blocking(move |images| images.history(&name)).await?))
        }
        ("POST", [name @ .., "tag"]) => tag(images, name.join("/"), query).await,
        ("POST", [name @ .., "push"]) => push(engine, &name.join("/"), query, &call),
        ("DELETE", name) => remove(engine, name.join("/"), query).await,
        _ => Err(unknown(&call.method, &target)),
    }
}

async fn inspect(images: &Arc<Images>, name: String) -> Answer {
    if is_sidecar(&name) {
        // What `wrangler dev` believes to run beside each container is part of the engine.
        return ok(json!({"Id": "sha256:berth", "RepoTags": [name], "Os": "linux",
            "Architecture": image::Platform::host().architecture(), "Size": 0,
            "Config": {}, "RootFS": {"Type": "layers", "Layers": []}}));
    }
    ok(images.blocking(move |images| images.inspect(&name)).await?)
}

async fn tag(images: &Arc<Images>, source: String, query: Query<'_>) -> Answer {
    let repository = query.get("repo").unwrap_or_default();
    let target = match query.get("tag").filter(|tag| !tag.is_empty()) {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository,
    };
    images.blocking(move |images| images.tag(&source, &target)).await?;
    empty(http::StatusCode::CREATED)
}

async fn remove(engine: &Arc<Inner>, name: String, query: Query<'_>) -> Answer {
    let force = query.flag("force");
    let removed = engine.images.blocking(move |images| images.remove(&name, force)).await?;
    ok(removed.json())
}

impl Removed {
    /// As the Engine API has it.
    fn json(&self) -> Value {
        let untagged = self.untagged.iter().map(|name| json!({"Untagged": name}));
        let deleted = self.deleted.iter().map(|id| json!({"Deleted": id}));
        untagged.chain(deleted).collect()
    }
}

/// `POST /images/prune`: images without a name; with `dangling=false` all that no container needs.
async fn prune(engine: &Arc<Inner>, query: Query<'_>) -> Answer {
    let filters = Filters::parse(query.get("filters").as_deref())?;
    filters.only(&["dangling"])?;
    let all = filters.dangling() == Some(false);
    let (removed, bytes) = engine.images.blocking(move |images| images.prune(all)).await?;
    ok(json!({"ImagesDeleted": removed.json(), "SpaceReclaimed": bytes}))
}

/// `POST /images/create?fromImage=&tag=`: a pull.
fn create(engine: &Arc<Inner>, query: Query<'_>, call: &Call) -> Answer {
    if query.get("fromSrc").is_some_and(|source| !source.is_empty()) {
        return Err(EngineError::NotSupported("importing an image by this call".to_owned()));
    }
    let mut name = query.get("fromImage").unwrap_or_default();
    if let Some(tag) = query.get("tag").filter(|tag| !tag.is_empty()) {
        let at = if tag.starts_with("sha256:") { '@' } else { ':' };
        name = format!("{name}{at}{tag}");
    }
    if is_sidecar(&name) {
        let (send, reply) = growing("application/json");
        let text = json!({"status": format!("{name} is part of Berth")});
        tokio::spawn(async move { send.send(Bytes::from(format!("{text}\n"))).await });
        return Ok(reply);
    }
    let transfer = transfer(query, call)?;
    Ok(told(engine, move |images, messages| images.pull(&name, &transfer, messages).map(|_| ())))
}

/// `POST /images/{name}/push?tag=`
fn push(engine: &Arc<Inner>, name: &str, query: Query<'_>, call: &Call) -> Answer {
    let name = match query.get("tag").filter(|tag| !tag.is_empty()) {
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    };
    engine.images.require(&name)?;
    let transfer = transfer(query, call)?;
    Ok(told(engine, move |images, messages| images.push(&name, &transfer, messages).map(|_| ())))
}

/// `POST /images/load`: the archive is the body.
async fn load(engine: &Arc<Inner>, call: Call) -> Answer {
    let archive = archives::receive_up_to(engine.images.store(), call.body, MOST_BYTES).await;
    let archive = match archive {
        Ok(archive) => archive,
        Err(reply) => return Ok(reply.into_http()),
    };
    Ok(told(engine, move |images, messages| {
        let archive = archive.reader();
        let archive = archive.map_err(|error| EngineError::Failed(error.to_string()))?;
        for name in images.load(archive, messages)? {
            messages.stream(format!("Loaded image: {name}\n"));
        }
        Ok(())
    }))
}

/// `GET /images/get?names=`: an archive of these images.
fn save(engine: &Arc<Inner>, names: Vec<String>) -> Answer {
    // What is not there is said before the answer has begun.
    for name in &names {
        engine.images.require(name)?;
    }
    let (send, reply) = growing("application/x-tar");
    let images = Arc::clone(&engine.images);
    tokio::task::spawn_blocking(move || {
        let messages = Messages::new(|_| {}, CancellationToken::new());
        let mut to = std::io::BufWriter::with_capacity(256 * 1024, Pieces(send));
        if let Err(error) = images.save(&names, &mut to, &messages) {
            // The answer has begun: that it is cut short is all that can be told.
            tracing::warn!(%error, "an archive of images is not complete");
        }
        let _ = std::io::Write::flush(&mut to);
    });
    Ok(reply)
}

/// A writer whose bytes become pieces of an answer.
struct Pieces(tokio::sync::mpsc::Sender<Bytes>);

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn transfer(query: Query<'_>, call: &Call) -> Result<Transfer, EngineError> {
    let auth = call.headers.get("x-registry-auth").and_then(|value| value.to_str().ok());
    Ok(Transfer {
        credentials: credentials(auth)?,
        platform: query.get("platform").filter(|platform| !platform.is_empty()),
    })
}

/// Works on a blocking thread; its messages are the answer. Whoever goes away ends it.
pub(super) fn told(
    engine: &Arc<Inner>,
    work: impl FnOnce(&Images, &Messages) -> Result<(), EngineError> + Send + 'static,
) -> crate::docker_api::reply::HttpReply {
    let (send, reply) = growing("application/json");
    let cancel = CancellationToken::new();
    let (closed, stop) = (send.clone(), cancel.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = closed.closed() => stop.cancel(),
            () = stop.cancelled() => {}
        }
    });
    // What a command prints is told from within a runtime's thread, which may wait for a plain
    // channel alone.
    let (lines, told) = std::sync::mpsc::sync_channel::<Bytes>(MESSAGES);
    tokio::task::spawn_blocking(move || {
        while told.recv().is_ok_and(|line| send.blocking_send(line).is_ok()) {}
    });
    let images = Arc::clone(&engine.images);
    tokio::task::spawn_blocking(move || {
        let _ended = cancel.clone().drop_guard();
        let line = move |message: Value| {
            // Whoever has gone away is noticed by the token.
            let _ = lines.send(Bytes::from(format!("{message}\n")));
        };
        let messages = Messages::new(line, cancel);
        if let Err(error) = work(&images, &messages) {
            messages.error(&error);
        }
    });
    reply
}
