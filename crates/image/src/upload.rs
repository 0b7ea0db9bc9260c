//! Bytes that come from outside, kept in the store's temporary folder until it is clear what they
//! become.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use crate::content::persist;
use crate::digest::{Digest, DigestWriter};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::store::ImageStore;

/// An upload. Dropped, it leaves nothing.
pub struct Upload {
    layout: Arc<Layout>,
    writer: DigestWriter<tempfile::NamedTempFile>,
    bytes: u64,
    limit: u64,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl ImageStore {
    /// Begins an upload of at most `limit` bytes.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn upload(&self, limit: u64) -> Result<Upload, StoreError> {
        let layout = self.shared_layout();
        let writer = DigestWriter::new(layout.temporary_file()?);
        Ok(Upload { layout, writer, bytes: 0, limit })
    }
}

impl Upload {
    /// Adds bytes.
    ///
    /// # Errors
    /// They are too many, or the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.limit {
            return Err(StoreError::TooLarge { limit: self.limit });
        }
        let written = self.writer.write_all(bytes);
        written.map_err(|error| StoreError::at(self.writer.get_ref().path(), error))
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// Opens what was written, at its beginning.
    ///
    /// # Errors
    /// The file is gone.
    pub fn reader(&self) -> io::Result<File> {
        self.writer.get_ref().reopen()
    }

    /// Digest of what was written.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.writer.digest()
    }

    /// Makes it a blob.
    pub(crate) fn commit(self) -> Result<(Digest, u64), StoreError> {
        let (file, digest, size) = self.writer.finish();
        persist(&self.layout, file, &digest)?;
        Ok((digest, size))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_upload_is_read_from_its_beginning_and_has_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        let mut upload = store.upload(4).unwrap();
        upload.write(b"ab").unwrap();
        upload.write(b"cd").unwrap();
        let mut text = String::new();
        upload.reader().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcd");
        let error = upload.write(b"e").unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { limit: 4 }), "{error}");
        drop(upload);
        assert_eq!(fs_err::read_dir(dir.path().join("content/sha256")).unwrap().count(), 0);
    }
}
