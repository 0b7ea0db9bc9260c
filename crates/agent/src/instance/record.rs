//! The state file of a running instance: what an agent that comes after needs to look after it.
//!
//! Written whole beside the old one and renamed over it, readable by the owner alone (it holds the
//! environment). Not synced to disk: what a power failure takes, it takes with the instance.
//!
//! The agent that reads it may be older or newer than the one that wrote it. So what is unknown is
//! passed over, and only what an instance cannot be found without must be there.

use std::io;
use std::path::{Path, PathBuf};

use image::Digest;
use model::instance::{Moment, State};
use model::{ContainerName, InstanceId};
use runtime::SandboxHandle;
use serde::{Deserialize, Serialize};

use crate::egress::outbound::Hosts;
use crate::node::{STATE, now};
use crate::private_file;

/// One running instance on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The container's name.
    pub(crate) name: ContainerName,
    /// The application's unique key.
    pub(crate) application: String,
    /// The image's digest; empty where it is not known.
    #[serde(default)]
    pub(crate) image: String,
    /// Whether that is a snapshot, not the application's image.
    #[serde(default)]
    pub(crate) restored: bool,
    /// Directories that are snapshots of their own.
    #[serde(default)]
    pub(crate) mounts: Vec<PathBuf>,
    /// Which state of the application's configuration it was started as.
    #[serde(default)]
    pub(crate) version: u32,
    /// This run's id.
    pub(crate) instance: InstanceId,
    /// Its state, with its deadlines.
    #[serde(default = "running", deserialize_with = "known_or_running")]
    pub(crate) state: State,
    /// When the program was started.
    #[serde(default = "now")]
    pub(crate) started: Moment,
    /// Whether it may reach the internet.
    #[serde(default)]
    pub(crate) internet: bool,
    /// Whether its outbound connections are routed to the agent.
    #[serde(default)]
    pub(crate) routed: bool,
    /// The hosts its Worker may handle: never to be reached past it.
    #[serde(default)]
    pub(crate) hosts: Hosts,
    /// Its environment, working directory and user, for execs.
    #[serde(default)]
    pub(crate) env: Vec<String>,
    #[serde(default)]
    pub(crate) cwd: String,
    #[serde(default)]
    pub(crate) user: String,
    /// How to find the sandbox.
    pub(crate) sandbox: SandboxHandle,
}

/// A state file could not be dealt with. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("write the instance's state: {0}")]
    Write(#[source] io::Error),
    #[error("read the states of instances: {0}")]
    Read(#[source] io::Error),
}

impl Record {
    /// Whether the instance was started from that image, as far as is known.
    pub(crate) fn is_of(&self, image: &str) -> bool {
        self.image.is_empty() || self.image == image
    }

    /// Writes the record.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), RecordError> {
        let path = path(directory, &self.name);
        let text = serde_json::to_vec_pretty(self).expect("a record has string keys only");
        private_file::write(&path, &text).map_err(RecordError::Write)
    }

    /// The record by the clock of [`now`]. A Berth before this one wrote what the clock on the wall said,
    /// which is further than a machine stays up.
    fn by_this_clock(self) -> Self {
        const LONGEST_UP: u64 = 1_000_000_000_000;
        let wall = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        let moment = |moment: Moment| match moment.0 {
            ..LONGEST_UP => moment,
            time => Moment(now().0.saturating_add(time).saturating_sub(wall)),
        };
        let state = match self.state {
            State::Stopping { deadline } => State::Stopping { deadline: moment(deadline) },
            State::Detached { until, stop } => {
                State::Detached { until: moment(until), stop: stop.map(moment) }
            }
            state => state,
        };
        Self { state, started: moment(self.started), ..self }
    }

    /// Removes the record of that name; nothing happens when there is none.
    pub(crate) fn remove(directory: &Path, name: &ContainerName) {
        match fs_err::remove_file(path(directory, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "a state file could not be removed");
            }
            _ => {}
        }
    }

    /// Every record that can be read. Others are removed: nothing could be done with them, and their
    /// sandboxes are found as leftovers.
    pub(crate) fn read_all(directory: &Path) -> Result<Vec<Self>, RecordError> {
        fs_err::create_dir_all(directory).map_err(RecordError::Read)?;
        let mut records = Vec::new();
        for entry in fs_err::read_dir(directory).map_err(RecordError::Read)? {
            let path = entry.map_err(RecordError::Read)?.path();
            let read = fs_err::read(&path).map_err(RecordError::Read)?;
            match serde_json::from_slice::<Self>(&read) {
                Ok(record) if self::path(directory, &record.name) == path => {
                    records.push(record.by_this_clock());
                }
                _ => {
                    tracing::warn!(path = %path.display(), "removing a state file that is none");
                    let _ = fs_err::remove_file(&path);
                }
            }
        }
        Ok(records)
    }
}

/// Manifests of the images that the instances of the agent in `agent` run on, as far as their
/// records can be read. Nothing is changed: the agent may be another process's.
#[must_use]
pub fn images_in_use(agent: &Path) -> Vec<Digest> {
    #[derive(Deserialize)]
    struct Image {
        image: Digest,
    }
    let records = fs_err::read_dir(agent.join(STATE)).into_iter().flatten();
    records
        .filter_map(Result::ok)
        .filter_map(|record| fs_err::read(record.path()).ok())
        .filter_map(|bytes| serde_json::from_slice::<Image>(&bytes).ok())
        .map(|record| record.image)
        .collect()
}

fn running() -> State {
    State::Running
}

/// A state that this version does not know is that of an instance that runs: only those are written.
fn known_or_running<'de, D: serde::Deserializer<'de>>(state: D) -> Result<State, D::Error> {
    let state = serde_json::Value::deserialize(state)?;
    Ok(serde_json::from_value(state).unwrap_or(State::Running))
}

/// A file name made of harmless characters; the object's id keeps two names apart.
fn path(directory: &Path, name: &ContainerName) -> PathBuf {
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let key: String = name.key.chars().map(harmless).take(120).collect();
    directory.join(format!("{key}-{}.json", name.object))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        let object = "b".repeat(64);
        Record {
            name: ContainerName::parse(&format!("workerd-app-My/Class-{object}")).unwrap(),
            application: "app-My/Class".to_owned(),
            image: "sha256:1".to_owned(),
            restored: true,
            mounts: vec!["data".into()],
            version: 2,
            instance: InstanceId::new(),
            state: State::Stopping { deadline: Moment(5) },
            started: Moment(1),
            internet: true,
            routed: true,
            hosts: Hosts::new(vec!["*.example.com".to_owned()]),
            env: vec!["SECRET=1".to_owned()],
            cwd: "/".to_owned(),
            user: String::new(),
            sandbox: serde_json::from_value(serde_json::json!({
                "id": "s", "pid": 1, "start_time": 2, "dir": "/x", "cgroups": [], "work": null,
            }))
            .unwrap(),
        }
    }

    #[test]
    fn a_record_is_read_back_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let record = record();
        record.write(directory.path()).unwrap();
        record.write(directory.path()).unwrap();
        assert_eq!(Record::read_all(directory.path()).unwrap(), std::slice::from_ref(&record));
        let entries: Vec<_> = fs_err::read_dir(directory.path()).unwrap().collect();
        assert_eq!(entries.len(), 1);
        let mode = entries[0].as_ref().unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Record::remove(directory.path(), &record.name);
        assert!(Record::read_all(directory.path()).unwrap().is_empty());
    }

    #[test]
    fn a_record_of_another_version_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let record = record();
        let mut json = serde_json::to_value(&record).unwrap();
        json["novelty"] = serde_json::json!({"deep": [1]});
        json["sandbox"]["novelty"] = 1.into();
        json["state"] = serde_json::json!({"Dreaming": {"of": "sheep"}});
        for gone in ["image", "started", "internet", "env", "cwd", "user"] {
            json.as_object_mut().unwrap().remove(gone);
        }
        for gone in ["cgroups", "work"] {
            json["sandbox"].as_object_mut().unwrap().remove(gone);
        }
        fs_err::write(path(directory.path(), &record.name), json.to_string()).unwrap();
        let read = Record::read_all(directory.path()).unwrap().pop().unwrap();
        assert_eq!((read.instance, read.state), (record.instance, State::Running));
        assert!(read.image.is_empty());
        fs_err::write(path(directory.path(), &record.name), {
            json.as_object_mut().unwrap().remove("state");
            json.to_string()
        })
        .unwrap();
        assert_eq!(Record::read_all(directory.path()).unwrap()[0].state, State::Running);
    }

    #[test]
    fn the_deadline_of_a_record_by_the_clock_on_the_wall_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let wall = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
        let state = State::Stopping { deadline: Moment(wall + 60_000) };
        let record = Record { state, started: Moment(wall - 1), ..record() };
        record.write(directory.path()).unwrap();
        let read = Record::read_all(directory.path()).unwrap().pop().unwrap();
        let left = read.state.deadline().unwrap().since(now());
        assert!(left.as_secs().abs_diff(60) <= 5, "{left:?}");
        assert!(read.started <= now(), "{:?}", read.started);
    }

    #[test]
    fn a_torn_record_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("x.json"), "{\"name\":").unwrap();
        assert!(Record::read_all(directory.path()).unwrap().is_empty());
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let directory = tempfile::tempdir().unwrap();
            fs_err::write(directory.path().join("x.json"), bytes).unwrap();
            prop_assert!(Record::read_all(directory.path()).unwrap().is_empty());
        }
    }
}
