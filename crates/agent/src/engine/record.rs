//! One container of its own on disk: what it was created from, and how it last ended.

use std::io;
use std::path::{Path, PathBuf};

use image::{Digest, Image};
use jiff::Timestamp;
use model::{DurableObjectId, InstanceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::private_file;

/// The records' folder in the engine's.
pub(super) const CONTAINERS: &str = "containers";

/// Everything that outlives the engine. What a later version does not know is passed over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// 64 hex digits, as a Durable Object's id: it is one's place in the agent.
    pub(super) id: DurableObjectId,
    pub(super) name: String,
    pub(super) created: Timestamp,
    /// The body of its `create`.
    pub(super) body: Value,
    /// The image as it was named.
    pub(super) image_name: String,
    /// Its manifest.
    pub(super) manifest: Digest,
    /// What Docker takes for its id: the config's digest.
    pub(super) image_id: Digest,
    /// Volumes that were made for it and go with it.
    #[serde(default)]
    pub(super) anonymous_volumes: Vec<String>,
    #[serde(default)]
    pub(super) life: Life,
}

/// Where a container stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    #[serde(default)]
    pub(super) status: Status,
    #[serde(default)]
    pub(super) started: Option<Timestamp>,
    #[serde(default)]
    pub(super) finished: Option<Timestamp>,
    /// The run that its log files are of.
    #[serde(default)]
    pub(super) instance: Option<InstanceId>,
    /// How often it has ended.
    #[serde(default)]
    pub(super) ends: u64,
}

/// States by Docker's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    #[default]
    Created,
    Running,
    Exited {
        code: i32,
        out_of_memory: bool,
        /// Why it could not be started, if it could not.
        error: String,
    },
    Removed {
        code: i32,
    },
}

impl Status {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited { .. } => "exited",
            Self::Removed { .. } => "removing",
        }
    }

    /// The exit code of the last run; zero before there was one.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Created | Self::Running => 0,
            Self::Exited { code, .. } | Self::Removed { code } => *code,
        }
    }
}

impl Record {
    /// Writes it, whole.
    pub(super) fn write(&self, directory: &Path) {
        let text = serde_json::to_vec_pretty(self).expect("a record has string keys only");
        if let Err(error) = private_file::write(&path(directory, &self.id), &text) {
            tracing::error!(%error, "a container would not survive a restart of the engine");
        }
    }

    /// Removes it.
    pub(super) fn remove(directory: &Path, id: &DurableObjectId) {
        let _ = fs_err::remove_file(path(directory, id));
    }

    /// All that can be read; others are removed.
    pub(super) fn read_all(directory: &Path) -> io::Result<Vec<Self>> {
        fs_err::create_dir_all(directory)?;
        let mut records = Vec::new();
        for entry in fs_err::read_dir(directory)? {
            let file = entry?.path();
            match serde_json::from_slice::<Self>(&fs_err::read(&file)?) {
                Ok(record) if path(directory, &record.id) == file => records.push(record),
                _ => {
                    tracing::warn!(path = %file.display(), "removing a container's record that is none");
                    fs_err::remove_file(&file)?;
                }
            }
        }
        Ok(records)
    }

    /// Whether an image is the one it was created from.
    pub(super) fn is_of(&self, image: &Image) -> bool {
        self.manifest == image.digest
    }
}

/// Manifests of the images that the containers of the engine in that folder need, whether it runs or
/// not.
#[must_use]
pub fn images_in_use(engine: &Path) -> Vec<Digest> {
    let records = fs_err::read_dir(engine.join(CONTAINERS)).into_iter().flatten();
    let needed = records
        .filter_map(|record| fs_err::read(record.ok()?.path()).ok())
        .filter_map(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
        .map(|record| record.manifest);
    // And those of objects' containers.
    needed.chain(crate::images_in_use(engine)).collect()
}

fn path(directory: &Path, id: &DurableObjectId) -> PathBuf {
    directory.join(format!("{id}.json"))
}
