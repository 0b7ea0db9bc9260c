//! Leases: images that a process needs although no instance runs on them now. They end with it.

use std::collections::HashSet;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::{Layout, is_alive};
use crate::store::ImageStore;

const FOLDER: &str = "leases";

impl ImageStore {
    /// Keeps an image, and the name it may have, from being pruned by anybody, until the store is
    /// closed or the process ends, however it does.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn lease(&self, image: &Digest) -> Result<(), StoreError> {
        let folder = self.layout().session().join(FOLDER);
        fs_err::create_dir_all(&folder)?;
        Ok(fs_err::write(folder.join(image.hex()), "")?)
    }

    /// Manifests of the images that processes have a lease of.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn leased(&self) -> Result<HashSet<Digest>, StoreError> {
        self.layout().leased()
    }
}

impl Layout {
    pub(crate) fn leased(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut leased = HashSet::new();
        for session in fs_err::read_dir(self.sessions())? {
            let session = session?.path();
            // Most have no such folder, and any may go away meanwhile.
            let Ok(leases) = fs_err::read_dir(session.join(FOLDER)) else { continue };
            if is_alive(&session) {
                let names = leases.filter_map(|lease| lease.ok()?.file_name().into_string().ok());
                leased.extend(names.filter_map(|hex| format!("sha256:{hex}").parse().ok()));
            }
        }
        Ok(leased)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_seen_by_others_and_ends_with_its_store() {
        let dir = tempfile::tempdir().unwrap();
        let holder = ImageStore::open(dir.path()).unwrap();
        let other = ImageStore::open(dir.path()).unwrap();
        let image = Digest::of(b"image");
        holder.lease(&image).unwrap();
        assert_eq!(other.leased().unwrap(), HashSet::from([image.clone()]));
        drop(holder);
        assert_eq!(other.leased().unwrap(), HashSet::new());
    }
}
