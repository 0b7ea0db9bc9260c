//! The layers that one instance alone has, above its image's.

use std::io;
use std::path::{Path, PathBuf};

use image::{StoreError, UnpackError, UnpackLimits};
use model::limits::ARCHIVE_BYTES;

use super::Creation;

/// Files put into a container before its start.
const MOST_ENTRIES: u64 = 1_000_000;

/// An instance's own layer could not be made. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("make the instance's folder for layers: {0}")]
    Folder(#[source] io::Error),
    #[error("mount a snapshot at {path}: {source}")]
    Mount { path: String, source: StoreError },
    #[error("read the archive for {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("unpack the archive at {path}: {source}")]
    Unpack { path: String, source: UnpackError },
}

/// An instance's layers, topmost first, and where directories of their own are mounted.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) all: Vec<PathBuf>,
    pub(super) mounts: Vec<PathBuf>,
}

/// Makes them in the folder `dir`, which is made, above the image's. Blocking.
pub(super) fn make(dir: &Path, creation: &Creation) -> Result<Layers, LayerError> {
    let mut layers = Layers { all: creation.image.layers.clone(), mounts: Vec::new() };
    fs_err::create_dir_all(dir).map_err(LayerError::Folder)?;
    for (number, mount) in creation.mounts.iter().enumerate() {
        let into = dir.join(format!("mount-{number}"));
        let target = Path::new(&mount.target);
        let place = image::graft(&mount.tree, &layers.all, target, &into)
            .map_err(|source| LayerError::Mount { path: mount.target.clone(), source })?;
        layers.mounts.push(place);
        layers.all.insert(0, into);
    }
    let limits = UnpackLimits { bytes: 2 * ARCHIVE_BYTES, entries: MOST_ENTRIES };
    for (number, injection) in creation.injections.iter().enumerate() {
        let path = injection.path.clone();
        let archive = injection.archive.reader();
        let archive = archive.map_err(|source| LayerError::Read { path: path.clone(), source })?;
        let into = dir.join(format!("put-{number}"));
        image::inject(archive, &layers.all, Path::new(&path), &into, limits)
            .map_err(|source| LayerError::Unpack { path, source })?;
        layers.all.insert(0, into);
    }
    Ok(layers)
}
