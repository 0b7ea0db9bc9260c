//! Directories of `RUN --mount=type=cache`: kept between builds, used by one step or several.
//!
//! ```text
//! <dir>/mounts/<hex of the id>/shared/   of everybody, or one after the other
//! <dir>/mounts/<hex of the id>/<n>/      of one step at a time each
//! ```

use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::{Layout, Lock, private};

/// The directory within a cache's own that steps see.
const DATA: &str = "data";
/// Directories of `sharing=private` under one id.
const MOST_PRIVATE: usize = 64;

/// A cache in use.
pub(crate) struct CacheMount {
    path: PathBuf,
    _lock: Lock,
}

impl Layout {
    pub(crate) fn cache_mounts(&self) -> PathBuf {
        self.dir().join("mounts")
    }

    /// The cache of that id, which others may use at once.
    pub(crate) fn shared_cache(
        &self,
        id: &str,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<CacheMount, StoreError> {
        let lock = self.lock_shared(&lock_name(id, "shared"), cancelled)?;
        self.cache_mount(id, "shared", lock)
    }

    /// The same cache, once nobody else uses it.
    pub(crate) fn locked_cache(
        &self,
        id: &str,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<CacheMount, StoreError> {
        let lock = self.lock(&lock_name(id, "shared"), cancelled)?;
        self.cache_mount(id, "shared", lock)
    }

    /// A cache of that id that nobody else uses.
    pub(crate) fn private_cache(&self, id: &str) -> Result<CacheMount, StoreError> {
        for number in 0..MOST_PRIVATE {
            let name = number.to_string();
            match self.lock(&lock_name(id, &name), &|| true) {
                Ok(lock) => return self.cache_mount(id, &name, lock),
                Err(error) if error.is_cancelled() => {}
                Err(error) => return Err(error),
            }
        }
        let source = std::io::Error::other("64 steps use it at once");
        Err(StoreError::at(&self.cache_mounts().join(id), source))
    }

    fn cache_mount(&self, id: &str, name: &str, lock: Lock) -> Result<CacheMount, StoreError> {
        let all = self.cache_mounts();
        let path = all.join(hex(id)).join(name);
        fs_err::create_dir_all(&path)?;
        private(&all)?;
        // Says, by its time, when it was used last.
        fs_err::write(path.join("id"), id)?;
        Ok(CacheMount { path, _lock: lock })
    }
}

impl CacheMount {
    /// The directory to mount, made by `fill` when it is not there yet.
    pub(crate) fn directory<E: From<StoreError>>(
        &self,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let data = self.path.join(DATA);
        if data.exists() {
            return Ok(data);
        }
        // Others may fill it at once: the first one that is done wins.
        let made = tempfile::Builder::new()
            .prefix("new-")
            .tempdir_in(&self.path)
            .map_err(|source| StoreError::at(&self.path, source))?;
        fill(&made.path().join(DATA))?;
        match fs_err::rename(made.path().join(DATA), &data) {
            Err(error) if !data.exists() => Err(StoreError::from(error).into()),
            _ => Ok(data),
        }
    }
}

fn hex(id: &str) -> String {
    Digest::of(id.as_bytes()).hex().to_owned()
}

fn lock_name(id: &str, name: &str) -> String {
    format!("mount-{}-{name}", hex(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(mount: &CacheMount) -> PathBuf {
        let fill = |path: &Path| fs_err::create_dir(path).map_err(StoreError::from);
        mount.directory(fill).unwrap()
    }

    #[test]
    fn a_shared_cache_is_one_and_a_locked_one_waits() {
        let (_dir, layout) = Layout::of_tests();
        let first = layout.shared_cache("x", &|| false).unwrap();
        let second = layout.shared_cache("x", &|| false).unwrap();
        assert_eq!(directory(&first), directory(&second));
        assert!(layout.locked_cache("x", &|| true).is_err());
        drop((first, second));
        let locked = layout.locked_cache("x", &|| true).unwrap();
        assert!(layout.shared_cache("x", &|| true).is_err());
        assert!(directory(&locked).exists());
    }

    #[test]
    fn private_caches_are_apart_and_found_again() {
        let (_dir, layout) = Layout::of_tests();
        let first = layout.private_cache("x").unwrap();
        let second = layout.private_cache("x").unwrap();
        let (one, two) = (directory(&first), directory(&second));
        assert_ne!(one, two);
        fs_err::write(one.join("kept"), "kept").unwrap();
        drop(first);
        assert_eq!(directory(&layout.private_cache("x").unwrap()), one);
    }
}
