//! The layers that one instance alone has, above its image's.

use std::io;
use std::path::{Path, PathBuf};

use image::{UnpackError, UnpackLimits};
use model::limits::ARCHIVE_BYTES;

use super::Injection;

/// Files put into a container before its start.
const MOST_ENTRIES: u64 = 1_000_000;

/// An instance's own layer could not be made. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("make the instance's folder for layers: {0}")]
    Folder(#[source] io::Error),
    #[error("read the archive for {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("unpack the archive at {path}: {source}")]
    Unpack { path: String, source: UnpackError },
}

/// Makes them in the folder `dir`, which is made, above `layers`. Topmost first, those first.
/// Blocking.
pub(super) fn make(
    dir: &Path,
    layers: Vec<PathBuf>,
    injections: &[Injection],
) -> Result<Vec<PathBuf>, LayerError> {
    let mut all = layers;
    fs_err::create_dir_all(dir).map_err(LayerError::Folder)?;
    let limits = UnpackLimits { bytes: 2 * ARCHIVE_BYTES, entries: MOST_ENTRIES };
    for (number, injection) in injections.iter().enumerate() {
        let path = injection.path.clone();
        let archive = injection.archive.reader();
        let archive = archive.map_err(|source| LayerError::Read { path: path.clone(), source })?;
        let into = dir.join(format!("put-{number}"));
        image::inject(archive, &all, Path::new(&path), &into, limits)
            .map_err(|source| LayerError::Unpack { path, source })?;
        all.insert(0, into);
    }
    Ok(all)
}
