//! `berth containers snapshots`: what a project keeps of its containers, and removing it.

use fs_err as fs;
use image::{Digest, ImageStore, Pruned, Snapshot, SnapshotKind, Snapshots, StoreError};
use jiff::Timestamp;
use model::limits::SNAPSHOT_TTL;
use serde::Serialize;

use crate::args::{SnapshotsCommand, SnapshotsPlace};
use crate::dev::project;
use crate::error::{CliError, Kind};
use crate::human::{day, print_json, size, table, time};
use crate::paths;
use crate::printer::Printer;

const COLUMNS: [&str; 8] =
    ["ID", "KIND", "APPLICATION", "OBJECT", "DIRECTORY", "SIZE", "CREATED", "EXPIRES"];

pub(crate) fn run(command: SnapshotsCommand, printer: &Printer) -> Result<(), CliError> {
    match command {
        SnapshotsCommand::List { place, json } => list(&place, json, printer),
        SnapshotsCommand::Inspect { id, place } => inspect(&place, &id, printer),
        SnapshotsCommand::Rm { ids, place } => remove(&place, &ids, printer),
        SnapshotsCommand::Prune { all, place, json } => prune(&place, all, json, printer),
    }
}

/// The snapshots of the project whose state folder has that key.
fn of_session(paths: &paths::Session) -> Result<Snapshots, CliError> {
    let store = ImageStore::open(paths::Shared::under(&paths::home()).images)
        .map_err(|error| CliError::failure("open the image store", error))?;
    Ok(Snapshots::new(store, &paths.key))
}

/// Manifests of the images that instances run on, in all sessions on this machine, and of those that
/// the containers of `berth docker serve` were made from.
pub(crate) fn images_in_use() -> Vec<Digest> {
    let sessions = fs::read_dir(paths::home().join("dev")).into_iter().flatten();
    let docker = agent::engine::images_in_use(&paths::home().join("docker/a"));
    sessions
        .filter_map(Result::ok)
        .flat_map(|session| agent::images_in_use(&session.path().join("a")))
        .chain(docker)
        .collect()
}

/// The project's snapshots; none when it has never run.
fn open(place: &SnapshotsPlace) -> Result<Option<Snapshots>, CliError> {
    let state = match &place.persist_to {
        Some(state) => state.clone(),
        None => project::root(&place.project)?.join(".berth"),
    };
    match fs::canonicalize(&state) {
        Ok(state) => of_session(&paths::Session::of(&state, &paths::home())).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::failure("find the project's state folder", error)),
    }
}

fn all(place: &SnapshotsPlace) -> Result<(Option<Snapshots>, Vec<Snapshot>), CliError> {
    let snapshots = open(place)?;
    let listed = snapshots.as_ref().map_or(Ok(Vec::new()), Snapshots::list);
    Ok((snapshots, listed.map_err(|error| failed("list the snapshots", error))?))
}

fn list(place: &SnapshotsPlace, json: bool, printer: &Printer) -> Result<(), CliError> {
    let (_, all) = all(place)?;
    if json {
        return print_json(&all.iter().map(Shown::of).collect::<Vec<_>>(), printer);
    }
    if all.is_empty() {
        printer.info("This project has no snapshots.");
    } else {
        table(COLUMNS, &all.iter().map(row).collect::<Vec<_>>())
            .iter()
            .for_each(|line| printer.data(line));
    }
    Ok(())
}

fn inspect(place: &SnapshotsPlace, id: &str, printer: &Printer) -> Result<(), CliError> {
    let (_, all) = all(place)?;
    print_json(&Shown::of(find(&all, id)?), printer)
}

fn remove(place: &SnapshotsPlace, ids: &[String], printer: &Printer) -> Result<(), CliError> {
    let (snapshots, all) = all(place)?;
    let chosen: Vec<&Snapshot> = ids.iter().map(|id| find(&all, id)).collect::<Result<_, _>>()?;
    let Some(snapshots) = snapshots else { return Ok(()) };
    for snapshot in chosen {
        let freed = forget(&snapshots, snapshot)?;
        printer.success(format_args!("removed {} ({} freed)", snapshot.id, size(freed)));
    }
    Ok(())
}

fn prune(
    place: &SnapshotsPlace,
    everything: bool,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let (snapshots, all) = all(place)?;
    let now = Timestamp::now().as_second();
    let old = |snapshot: &&Snapshot| everything || snapshot.expires(SNAPSHOT_TTL) <= now;
    let chosen: Vec<&Snapshot> = all.iter().filter(old).collect();
    let mut freed = 0;
    for snapshot in &chosen {
        freed += snapshots.as_ref().map_or(Ok(0), |snapshots| forget(snapshots, snapshot))?;
    }
    if json {
        return print_json(&chosen.into_iter().map(Shown::of).collect::<Vec<_>>(), printer);
    }
    let s = if chosen.len() == 1 { "" } else { "s" };
    let kept = all.len() - chosen.len();
    let count = chosen.len();
    printer
        .success(format_args!("removed {count} snapshot{s} ({} freed), kept {kept}", size(freed)));
    Ok(())
}

fn forget(snapshots: &Snapshots, snapshot: &Snapshot) -> Result<u64, CliError> {
    let removed = snapshots.remove(snapshot.kind, &snapshot.id, &images_in_use());
    let removed = removed.map_err(|error| failed("remove the snapshot", error))?;
    Ok(removed.map_or(0, |Pruned { bytes, .. }| bytes))
}

/// The one whose id begins so.
fn find<'a>(all: &'a [Snapshot], id: &str) -> Result<&'a Snapshot, CliError> {
    let fits = |snapshot: &&Snapshot| !id.is_empty() && snapshot.id.starts_with(id);
    let mut fitting = all.iter().filter(fits);
    let error = match (fitting.next(), fitting.next()) {
        (Some(snapshot), None) => return Ok(snapshot),
        (Some(_), Some(_)) => {
            let text = format!("several snapshots have an id that begins with \"{id}\"");
            CliError::new(Kind::Usage, text).hint("give more of it")
        }
        (None, _) => CliError::new(Kind::Failure, format!("this project has no snapshot \"{id}\""))
            .hint("`berth containers snapshots list` shows what it has"),
    };
    Err(error)
}

/// A snapshot as JSON shows it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    kind: &'static str,
    application: Option<&'a str>,
    object: Option<&'a str>,
    image: Option<&'a str>,
    directory: Option<&'a str>,
    /// Bytes of all its layers, and of the one it added.
    size: u64,
    own_size: u64,
    created: String,
    last_used: String,
    expires: String,
    digest: &'a str,
}

impl<'a> Shown<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let origin = &snapshot.origin;
        Self {
            id: &snapshot.id,
            kind: snapshot.kind.as_str(),
            application: origin.application.as_deref(),
            object: origin.object.as_deref(),
            image: origin.image.as_deref(),
            directory: origin.path.as_deref(),
            size: snapshot.size,
            own_size: snapshot.own_size,
            created: time(origin.created).to_string(),
            last_used: time(snapshot.used).to_string(),
            expires: time(snapshot.expires(SNAPSHOT_TTL)).to_string(),
            digest: snapshot.digest.as_str(),
        }
    }
}

fn row(snapshot: &Snapshot) -> [String; 8] {
    let origin = &snapshot.origin;
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let object = origin.object.as_deref().map(|object| object.get(..8).unwrap_or(object));
    let directory = match snapshot.kind {
        SnapshotKind::Container => None,
        SnapshotKind::Directory => origin.path.as_deref(),
    };
    [
        snapshot.id.clone(),
        snapshot.kind.as_str().to_owned(),
        or_dash(origin.application.as_deref()),
        or_dash(object),
        or_dash(directory),
        size(snapshot.own_size),
        day(origin.created),
        day(snapshot.expires(SNAPSHOT_TTL)),
    ]
}

fn failed(attempt: &str, error: StoreError) -> CliError {
    let hint = error.hint();
    let error = CliError::failure(attempt, error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use image::Origin;

    use super::*;

    fn snapshot(id: &str) -> Snapshot {
        Snapshot {
            kind: SnapshotKind::Directory,
            id: id.to_owned(),
            digest: Digest::of(b"x"),
            own_size: 1_234_567,
            size: 9_000_000,
            used: 1_700_000_000,
            origin: Origin {
                application: Some("app-Machine".into()),
                object: Some("0123456789abcdef".into()),
                path: Some("/data".into()),
                created: 1_600_000_000,
                ..Origin::default()
            },
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_under_its_columns() {
        let lines = table(COLUMNS, &[row(&snapshot("a1")), row(&snapshot("b-longer"))]);
        assert_eq!(
            lines,
            [
                "ID        KIND       APPLICATION  OBJECT    DIRECTORY  SIZE    CREATED           EXPIRES",
                "a1        directory  app-Machine  01234567  /data      1.2 MB  2020-09-13 12:26  2023-12-14 22:13",
                "b-longer  directory  app-Machine  01234567  /data      1.2 MB  2020-09-13 12:26  2023-12-14 22:13",
            ]
        );
    }

    #[test]
    fn an_id_may_be_cut_short_as_long_as_it_is_clear() {
        let all = [snapshot("abc"), snapshot("abd"), snapshot("x")];
        assert_eq!(find(&all, "x").unwrap().id, "x");
        assert_eq!(find(&all, "abc").unwrap().id, "abc");
        assert_eq!(find(&all, "ab").unwrap_err().kind, Kind::Usage);
        for none in ["", "y", "abcd"] {
            assert_eq!(find(&all, none).unwrap_err().kind, Kind::Failure, "{none}");
        }
    }
}
