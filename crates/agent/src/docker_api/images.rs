//! `/images` and `/commit`: snapshots of containers. The sidecar's image is no image here, so
//! pulling it is done at once.

use std::sync::Arc;

use http::StatusCode;
use image::{Digest, Image, Origin, Reference, Snapshot, SnapshotKind, Snapshots, StoreError};
use model::ContainerName;
use model::limits::SNAPSHOT_TTL;
use serde_json::json;

use super::Api;
use super::reply::Reply;
use crate::instance::Running;

/// What workerd names a snapshot of a container.
const SNAPSHOT: &str = "workerd-container-snap-";

/// `POST /images/create?fromImage=…`, which workerd may send for the sidecar it believes in.
pub(super) fn pull() -> Reply {
    Reply::ok(json!({"status": "the sidecar is part of Berth"}))
}

/// The id in the name of a container's snapshot.
pub(super) fn snapshot_id(image: &str) -> Option<&str> {
    image.strip_prefix(SNAPSHOT)
}

/// Whether an image's name is a container's snapshot's.
pub(crate) fn is_snapshot(image: &str) -> bool {
    snapshot_id(image).is_some()
}

/// Whether a snapshot is still to be had: one that nobody used for long is as good as removed.
pub(super) fn lives(snapshot: &Snapshot) -> bool {
    seconds() < snapshot.expires(SNAPSHOT_TTL)
}

/// `GET /images/{name}/json`
pub(super) async fn inspect(api: &Api, name: &str) -> Reply {
    let Some(id) = snapshot_id(name).map(str::to_owned) else { return of_application(api, name) };
    let found = blocking(api, move |snapshots| {
        snapshots.find(SnapshotKind::Container, &id).map(|found| found.filter(lives))
    });
    match found.await {
        Ok(Some(snapshot)) => Reply::ok(json!({
            "Id": snapshot.digest.as_str(),
            "RepoTags": [name],
            "Size": snapshot.size,
            "Parent": snapshot.origin.image.unwrap_or_default(),
        })),
        Ok(None) => no_such_image(name),
        Err(error) => failed(&error),
    }
}

/// An application's image, by its name or its digest: where a snapshot's ancestry ends.
fn of_application(api: &Api, name: &str) -> Reply {
    let settings = api.applications.all();
    let known = settings.iter().find_map(|settings| {
        let own = settings.image.iter().map(|image| (settings.image_name.as_deref(), image));
        let choices = settings.choices.iter().map(|(name, image)| (Some(name.as_str()), image));
        let wanted = |(known, image): &(Option<&str>, &Image)| {
            *known == Some(name) || image.digest.as_str() == name
        };
        own.chain(choices).find(wanted).map(|(_, image)| image)
    });
    match known {
        Some(image) => Reply::ok(json!({
            "Id": image.digest.as_str(),
            "RepoTags": [name],
            "Size": image.size,
            "Parent": "",
        })),
        None => no_such_image(name),
    }
}

/// `DELETE /images/{name}`
pub(super) async fn remove(api: &Api, name: &str) -> Reply {
    let Some(id) = snapshot_id(name).map(str::to_owned) else { return no_such_image(name) };
    let running = running(api);
    let removed =
        blocking(api, move |snapshots| snapshots.remove(SnapshotKind::Container, &id, &running));
    match removed.await {
        Ok(Some(_)) => Reply::ok(json!([{"Untagged": name}])),
        Ok(None) => no_such_image(name),
        Err(error) => failed(&error),
    }
}

/// The image of a container's snapshot for a start of the same application.
pub(super) async fn restore(api: &Api, application: &str, id: &str) -> Result<Image, Reply> {
    let (id, application, name) =
        (id.to_owned(), application.to_owned(), format!("{SNAPSHOT}{id}"));
    let restored = blocking(api, move |snapshots| {
        let found = snapshots.find(SnapshotKind::Container, &id)?.filter(lives);
        match found.filter(|found| found.origin.application.as_ref() == Some(&application)) {
            Some(snapshot) => snapshots.restore(&snapshot),
            None => Ok(None),
        }
    });
    match restored.await {
        Ok(Some(image)) => Ok(image),
        Ok(None) => Err(no_such_image(&name)),
        Err(error) => Err(failed(&error)),
    }
}

/// An image of the store, for a container whose application has none of its own.
pub(super) async fn stored(api: &Api, name: &str) -> Result<Image, Reply> {
    let Ok(reference) = name.parse::<Reference>() else { return Err(no_such_image(name)) };
    match blocking(api, move |snapshots| snapshots.store().image(&reference)).await {
        Ok(Some(image)) => Ok(image),
        Ok(None) => Err(no_such_image(name)),
        Err(error) => Err(failed(&error)),
    }
}

/// `POST /commit`: what the container has written becomes a layer. It stands still only while that
/// is copied.
pub(super) async fn commit(api: &Api, name: &ContainerName, repository: &str) -> Reply {
    let Some(id) = snapshot_id(repository).map(str::to_owned) else {
        let text = format!("\"{repository}\" is no name of a snapshot");
        return Reply::error(StatusCode::BAD_REQUEST, text);
    };
    let application = api.applications.find(name).filter(|_| !name.sidecar);
    let slot = application.and_then(|application| api.slots.find(&application, name));
    let published = slot.as_ref().and_then(|slot| slot.visible()).map(|found| found.published());
    let (Some(slot), Some(published)) = (slot, published) else {
        return Reply::no_such_container(name);
    };
    let Some(running) = published.running.filter(|_| published.state.is_live()) else {
        return Reply::error(StatusCode::CONFLICT, "the container is not running");
    };
    let origin = Origin {
        application: Some(slot.application.settings().unique_key.clone()),
        object: Some(name.object.to_string()),
        image: Some(running.files.image.clone()),
        path: None,
        created: seconds(),
    };
    match blocking(api, move |snapshots| snapshot(&snapshots, &running, &id, &origin)).await {
        Ok(snapshot) => Reply::created(snapshot.digest.as_str()),
        Err(error) => failed(&error),
    }
}

fn snapshot(
    snapshots: &Snapshots,
    running: &Running,
    id: &str,
    origin: &Origin,
) -> Result<Snapshot, StoreError> {
    let digest = running.files.image.parse::<Digest>();
    let digest = digest.map_err(|error| StoreError::from(std::io::Error::other(error)))?;
    let paused = running.sandbox.pause()?;
    let upper = running.sandbox.upper_dir()?;
    let captured = snapshots.capture(std::os::fd::AsFd::as_fd(&upper), &running.files.mounts);
    drop((upper, paused));
    snapshots.keep_container(id, captured?, &digest, origin)
}

/// Manifests of the images that instances run on.
pub(super) fn running(api: &Api) -> Vec<Digest> {
    let instances = api.slots.all().into_iter().filter_map(|slot| slot.current.get());
    let running = instances.filter_map(|instance| instance.published().running);
    running.filter_map(|running| running.files.image.parse().ok()).collect()
}

/// Works on the snapshots where blocking is fine.
pub(super) async fn blocking<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(Arc<Snapshots>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let snapshots = Arc::clone(&api.node.snapshots);
    match tokio::task::spawn_blocking(move || work(snapshots)).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::from(std::io::Error::other(error))),
    }
}

/// A reply for a store that does not do what it should.
pub(super) fn failed(error: &StoreError) -> Reply {
    tracing::warn!(%error, "a snapshot");
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to {error}"))
}

fn no_such_image(name: &str) -> Reply {
    Reply::error(StatusCode::NOT_FOUND, format!("No such image: {name}"))
}

fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}
