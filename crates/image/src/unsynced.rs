//! Unpacked layers that may not be on disk yet.
//!
//! Waiting for the disk after each layer would make pulls slow, and a layer can be unpacked again. So
//! a layer is marked with the running system's boot before it gets its name, and the marks are taken
//! off, in the background, when everything is on disk. A mark of another boot means that the system
//! went down before that: the layer may have empty files, and is unpacked anew.

use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::Layout;

/// Another with each start of the system.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Layout {
    fn unsynced(&self, diff_id: &Digest) -> PathBuf {
        folder(self.dir()).join(diff_id.hex())
    }

    /// Marks a layer that is about to get its name.
    pub(crate) fn mark_unsynced(&self, diff_id: &Digest) -> Result<(), StoreError> {
        self.replace_derived(&self.unsynced(diff_id), boot().as_bytes())
    }

    /// Takes the mark off a layer that is gone.
    pub(crate) fn unmark_unsynced(&self, name: &str) {
        // A mark without a layer means nothing.
        let _ = fs_err::remove_file(folder(self.dir()).join(name));
    }

    /// Whether the layer is as it was unpacked.
    pub(crate) fn is_intact(&self, diff_id: &Digest) -> bool {
        match fs_err::read_to_string(self.unsynced(diff_id)) {
            Ok(marked) => marked == boot(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Waits, in the background, until what is unpacked is on disk.
    pub(crate) fn sync_in_background(&self) {
        let dir = self.dir().to_owned();
        if marks(&dir).next().is_some() {
            // Nothing depends on that it is done, or done by this process.
            let _ = std::thread::Builder::new().name("sync".to_owned()).spawn(move || sync(&dir));
        }
    }
}

/// Where the marks are.
fn folder(dir: &Path) -> PathBuf {
    dir.join("unsynced")
}

fn boot() -> String {
    fs_err::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}

/// The marks of this boot.
fn marks(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let boot = boot();
    let paths = fs_err::read_dir(folder(dir)).into_iter().flatten();
    let paths = paths.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(move |path| fs_err::read_to_string(path).is_ok_and(|marked| marked == boot))
}

fn sync(dir: &Path) {
    // Those that are made meanwhile are for the next time.
    let marks: Vec<PathBuf> = marks(dir).collect();
    let Ok(opened) = std::fs::File::open(dir) else { return };
    if rustix::fs::syncfs(&opened).is_ok() {
        for mark in marks {
            let _ = fs_err::remove_file(mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_intact_until_the_system_goes_down_before_it_is_on_disk() {
        let (_dir, layout) = Layout::of_tests();
        let layer = Digest::of(b"layer");
        assert!(layout.is_intact(&layer));
        layout.mark_unsynced(&layer).unwrap();
        assert!(layout.is_intact(&layer));
        for other in ["another boot", ""] {
            fs_err::write(layout.unsynced(&layer), other).unwrap();
            assert!(!layout.is_intact(&layer), "{other}");
            sync(layout.dir());
            assert!(!layout.is_intact(&layer), "only this boot's marks are taken off");
        }
        layout.mark_unsynced(&layer).unwrap();
        sync(layout.dir());
        assert!(!layout.unsynced(&layer).exists() && layout.is_intact(&layer));
    }
}
