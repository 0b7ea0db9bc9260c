//! `/volumes`: snapshots of directories, and the copies of them that instances are started with.
//!
//! A copy copies nothing: it is a name for the snapshot it comes from, and becomes a layer of the
//! instance that is started with it.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;

use http::StatusCode;
use image::{Digest, Origin, SnapshotKind, StoreError, Upload};
use serde_json::{Value, json};

use super::reply::Reply;
use super::request::Mount;
use super::{Api, archives, images};
use crate::instance::Mounted;

/// What workerd names a snapshot of a directory.
const SNAPSHOT: &str = "workerd-snap-";
/// What it names the copy that one instance is started with.
const CLONE: &str = "workerd-snap-clone-";
/// The label by which workerd sees how old a snapshot is.
const CREATED_AT: &str = "dev.workerd.snapshot-created-at";
/// Volumes that were made and not filled yet, copies, and archives remembered; the oldest go.
const MOST: usize = 1024;

/// Volumes that are no snapshots, or not yet.
#[derive(Debug, Default)]
pub(crate) struct Volumes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Name → the snapshot's id it is a copy of; `None` while it is empty.
    names: HashMap<String, Option<String>>,
    order: VecDeque<String>,
    /// Archives that went out: by them it is known where one comes from that comes back in.
    archives: VecDeque<(Digest, Origin)>,
}

impl Volumes {
    fn create(&self, name: &str) {
        let mut inner = self.0.lock().expect("no holder of this lock panics");
        if inner.names.insert(name.to_owned(), None).is_none() {
            inner.order.push_back(name.to_owned());
        }
        while inner.order.len() > MOST {
            let oldest = inner.order.pop_front();
            oldest.and_then(|name| inner.names.remove(&name));
        }
    }

    /// The copy's source; outside `None` when there is no such volume.
    fn get(&self, name: &str) -> Option<Option<String>> {
        self.0.lock().expect("no holder of this lock panics").names.get(name).cloned()
    }

    fn set(&self, name: &str, source: &str) -> bool {
        let mut inner = self.0.lock().expect("no holder of this lock panics");
        match inner.names.get_mut(name) {
            Some(known) => *known = Some(source.to_owned()),
            None => return false,
        }
        true
    }

    fn remove(&self, name: &str) -> bool {
        let mut inner = self.0.lock().expect("no holder of this lock panics");
        inner.order.retain(|known| known != name);
        inner.names.remove(name).is_some()
    }

    /// Remembers where an archive comes from.
    pub(super) fn remember(&self, archive: Digest, origin: Origin) {
        let mut inner = self.0.lock().expect("no holder of this lock panics");
        inner.archives.push_back((archive, origin));
        if inner.archives.len() > MOST {
            inner.archives.pop_front();
        }
    }

    fn origin(&self, archive: &Digest) -> Origin {
        let inner = self.0.lock().expect("no holder of this lock panics");
        let known = inner.archives.iter().rev().find(|(digest, _)| digest == archive);
        known.map(|(_, origin)| origin.clone()).unwrap_or_default()
    }
}

/// `GET /volumes`, asked once by every workerd process, which warns of old ones. A snapshot's age
/// is the time since it was last restored.
pub(super) async fn list(api: &Api) -> Reply {
    let listed = images::blocking(api, |snapshots| snapshots.list()).await;
    match listed {
        Ok(all) => {
            let volumes = all.iter().filter(|snapshot| snapshot.kind == SnapshotKind::Directory);
            let volumes: Vec<Value> =
                volumes.map(|snapshot| volume(&snapshot.id, snapshot.used)).collect();
            Reply::ok(json!({"Volumes": volumes, "Warnings": null}))
        }
        Err(error) => images::failed(&error),
    }
}

fn volume(id: &str, used: i64) -> Value {
    json!({"Name": format!("{SNAPSHOT}{id}"), "Driver": "local", "Scope": "local",
        "Labels": {CREATED_AT: used.to_string()}})
}

/// `POST /volumes/create`
pub(super) fn create(api: &Api, name: &str) -> Reply {
    if !name.starts_with(SNAPSHOT) {
        let text = format!("volume \"{name}\": only snapshots have volumes");
        return Reply::error(StatusCode::BAD_REQUEST, text);
    }
    api.volumes.create(name);
    Reply { status: StatusCode::CREATED, body: Some(json!({"Name": name, "Driver": "local"})) }
}

/// `GET /volumes/{name}`
pub(super) async fn inspect(api: &Api, name: &str) -> Reply {
    if api.volumes.get(name).is_some() {
        return Reply::ok(json!({"Name": name, "Driver": "local"}));
    }
    let Some(id) = id(name) else { return no_such_volume(name) };
    let found = images::blocking(api, move |snapshots| {
        snapshots.find(SnapshotKind::Directory, &id).map(|found| found.filter(images::lives))
    });
    match found.await {
        Ok(Some(snapshot)) => Reply::ok(volume(&snapshot.id, snapshot.used)),
        Ok(None) => no_such_volume(name),
        Err(error) => images::failed(&error),
    }
}

/// `DELETE /volumes/{name}`
pub(super) async fn remove(api: &Api, name: &str) -> Reply {
    let known = api.volumes.remove(name);
    let Some(id) = id(name) else {
        return if known { Reply::empty(StatusCode::NO_CONTENT) } else { no_such_volume(name) };
    };
    let running = images::running(api);
    let removed = images::blocking(api, move |snapshots| {
        snapshots.remove(SnapshotKind::Directory, &id, &running)
    });
    match removed.await {
        Ok(removed) if known || removed.is_some() => Reply::empty(StatusCode::NO_CONTENT),
        Ok(_) => no_such_volume(name),
        Err(error) => images::failed(&error),
    }
}

/// The `cp -a` of a helper: whether there is anything to copy, and a place for it.
pub(super) async fn clone(api: &Api, from: &str, to: &str) -> bool {
    let Some(id) = id(from) else { return false };
    let searched = id.clone();
    let found =
        images::blocking(api, move |snapshots| snapshots.find(SnapshotKind::Directory, &searched));
    matches!(found.await, Ok(Some(_))) && api.volumes.set(to, &id)
}

/// An archive into a new volume: from here on it is a snapshot.
pub(super) async fn fill(api: &Api, name: &str, upload: Upload) -> Reply {
    let (Some(id), Some(None)) = (id(name), api.volumes.get(name)) else {
        return no_such_volume(name);
    };
    let created = jiff::Timestamp::now().as_second();
    let origin = Origin { created, ..api.volumes.origin(&upload.digest()) };
    let kept = images::blocking(api, move |snapshots| {
        snapshots.keep_directory(&id, upload, archives::limits(), &origin)
    });
    match kept.await {
        Ok(_) => {
            api.volumes.remove(name);
            Reply::empty(StatusCode::OK)
        }
        Err(error @ StoreError::Unpack { .. }) => {
            Reply::error(StatusCode::BAD_REQUEST, format!("failed to {error}"))
        }
        Err(error) => images::failed(&error),
    }
}

/// What an instance is started with: snapshots of its own application's directories.
pub(super) async fn mounts(
    api: &Api,
    application: &str,
    mounts: &[Mount],
) -> Result<Vec<Mounted>, Reply> {
    let mut mounted = Vec::new();
    for mount in mounts {
        let source = api.volumes.get(&mount.source).flatten();
        let Some(id) = source else { return Err(no_such_volume(&mount.source)) };
        let application = application.to_owned();
        let restored = images::blocking(api, move |snapshots| {
            let found = snapshots.find(SnapshotKind::Directory, &id)?.filter(images::lives);
            let own = |known: &Option<String>| known.as_ref().is_none_or(|key| *key == application);
            match found.filter(|snapshot| own(&snapshot.origin.application)) {
                Some(snapshot) => snapshots.restore(&snapshot),
                None => Ok(None),
            }
        });
        let image = match restored.await {
            Ok(Some(image)) => image,
            Ok(None) => return Err(no_such_volume(&mount.source)),
            Err(error) => return Err(images::failed(&error)),
        };
        let target = mount.target.clone();
        if PathBuf::from(&target).components().count() < 2 || !target.starts_with('/') {
            let text = format!("\"{target}\" is no place to mount a directory at");
            return Err(Reply::error(StatusCode::BAD_REQUEST, text));
        }
        let tree = image.layers.into_iter().next().expect("an image has at least one layer");
        mounted.push(Mounted { target, tree });
    }
    // What lies deeper goes above.
    mounted.sort_by_key(|mount| PathBuf::from(&mount.target).components().count());
    Ok(mounted)
}

/// The id of a snapshot's volume.
fn id(name: &str) -> Option<String> {
    name.strip_prefix(SNAPSHOT).filter(|_| !name.starts_with(CLONE)).map(str::to_owned)
}

fn no_such_volume(name: &str) -> Reply {
    Reply::error(StatusCode::NOT_FOUND, format!("get {name}: no such volume"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_no_snapshot() {
        assert_eq!(id("workerd-snap-1-2").as_deref(), Some("1-2"));
        assert_eq!(id("workerd-snap-clone-1-2"), None);
        assert_eq!(id("other"), None);
    }

    #[test]
    fn volumes_are_made_copied_and_forgotten() {
        let volumes = Volumes::default();
        assert_eq!(volumes.get("a"), None);
        assert!(!volumes.set("a", "1"));
        volumes.create("a");
        assert_eq!(volumes.get("a"), Some(None));
        assert!(volumes.set("a", "1"));
        assert_eq!(volumes.get("a"), Some(Some("1".to_owned())));
        for n in 0..MOST {
            volumes.create(&format!("b{n}"));
        }
        assert_eq!(volumes.get("a"), None, "the oldest goes");
        assert!(volumes.remove("b1") && !volumes.remove("b1"));
    }

    #[test]
    fn an_archive_that_comes_back_is_known() {
        let volumes = Volumes::default();
        let origin = Origin { path: Some("/data".into()), ..Origin::default() };
        volumes.remember(Digest::of(b"x"), origin.clone());
        assert_eq!(volumes.origin(&Digest::of(b"x")), origin);
        assert_eq!(volumes.origin(&Digest::of(b"y")), Origin::default());
    }
}
