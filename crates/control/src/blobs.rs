//! Modules and static files of Workers, by the hash of their content: each is stored once, however
//! many versions have it.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::seal::hex;

/// The SHA-256 of some content, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BlobId(String);

impl BlobId {
    pub(crate) fn of(content: &[u8]) -> Self {
        Self(hex(digest(&SHA256, content).as_ref()))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A folder of content.
#[derive(Debug, Clone)]
pub(crate) struct Blobs(PathBuf);

impl Blobs {
    /// In this folder, which is made when it is needed.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Keeps some content; when this returns, it is on disk whole.
    pub(crate) fn put(&self, content: &[u8]) -> io::Result<BlobId> {
        let id = BlobId::of(content);
        let path = self.0.join(&id.0);
        if path.exists() {
            return Ok(id);
        }
        fs::create_dir_all(&self.0)?;
        let mut unfinished = tempfile::NamedTempFile::new_in(&self.0)?;
        io::Write::write_all(&mut unfinished, content)?;
        unfinished.as_file().sync_all()?;
        unfinished.persist(&path).map_err(|error| error.error)?;
        fs::File::open(&self.0)?.sync_all()?;
        Ok(id)
    }

    /// Where a content's file is.
    pub(crate) fn path(&self, id: &BlobId) -> PathBuf {
        self.0.join(&id.0)
    }

    /// Removes all content but this. Nothing may be kept meanwhile that is not named yet.
    pub(crate) fn remove_others(&self, named: &HashSet<BlobId>) -> io::Result<()> {
        if !self.0.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !named.contains(&BlobId(name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The content, checked.
    pub(crate) fn get(&self, id: &BlobId) -> io::Result<Vec<u8>> {
        let content = fs::read(self.0.join(&id.0))?;
        if BlobId::of(&content) == *id {
            return Ok(content);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the content {id} is damaged on disk"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_back_and_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(&folder.path().join("blobs"));
        let id = blobs.put(b"export default {}").unwrap();
        assert_eq!(blobs.put(b"export default {}").unwrap(), id);
        assert_eq!(blobs.get(&id).unwrap(), b"export default {}");
        assert_eq!(fs::read_dir(folder.path().join("blobs")).unwrap().count(), 1);
    }

    #[test]
    fn content_that_nothing_names_goes() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(&folder.path().join("blobs"));
        blobs.remove_others(&HashSet::new()).unwrap();
        let (kept, gone) = (blobs.put(b"kept").unwrap(), blobs.put(b"gone").unwrap());
        blobs.remove_others(&HashSet::from([kept.clone()])).unwrap();
        assert_eq!(blobs.get(&kept).unwrap(), b"kept");
        assert!(blobs.get(&gone).is_err());
    }

    #[test]
    fn damaged_content_is_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path());
        let id = blobs.put(b"good").unwrap();
        fs::write(folder.path().join(&id.0), b"bad").unwrap();
        assert!(blobs.get(&id).unwrap_err().to_string().contains("damaged"));
    }
}
