//! A blob on its way in, over several runs if need be: what a killed process or a broken connection
//! left is gone on with, and believed only when the whole has the right digest.
//!
//! Whoever works on one holds the blob's lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::content::{Expected, check};
use crate::digest::{Digest, DigestWriter};
use crate::error::StoreError;
use crate::layout::Layout;

/// A blob that is coming in. Dropped, what came stays for the next one.
pub(crate) struct Ingest<'a> {
    layout: &'a Layout,
    path: PathBuf,
    writer: DigestWriter<File>,
    size: u64,
}

impl Layout {
    fn ingest_path(&self, digest: &Digest) -> PathBuf {
        self.ingests().join(digest.hex())
    }

    /// Bytes of the blob that came so far.
    pub(crate) fn ingested(&self, digest: &Digest) -> u64 {
        fs_err::metadata(self.ingest_path(digest)).map_or(0, |metadata| metadata.len())
    }

    /// Begins, or goes on with, what came of this blob.
    pub(crate) fn ingest(&self, digest: &Digest) -> Result<Ingest<'_>, StoreError> {
        let path = self.ingest_path(digest);
        let failed = |source| StoreError::at(&path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        let mut ingest = Ingest { layout: self, path, writer: DigestWriter::new(file), size: 0 };
        ingest.digest_what_is_here()?;
        Ok(ingest)
    }
}

impl Ingest<'_> {
    /// Bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::at(&self.path, source)
    }

    fn digest_what_is_here(&mut self) -> Result<(), StoreError> {
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match self.writer.get_ref().read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.writer.pass(&buffer[..count]);
                    self.size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Forgets what came.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        let mut file = self.writer.get_ref();
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| self.failed(error))?;
        self.writer.restart();
        self.size = 0;
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer.write_all(bytes).map_err(|error| self.failed(error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Puts the blob in place, if it is what was expected.
    pub(crate) fn commit(&self, expected: Expected<'_>) -> Result<(), StoreError> {
        check(&expected, &self.writer.digest(), self.size)?;
        self.writer.get_ref().sync_data().map_err(|error| self.failed(error))?;
        Ok(fs_err::rename(&self.path, self.layout.blob(expected.digest))?)
    }

    /// Removes what came.
    pub(crate) fn discard(self) {
        // What cannot be removed now is when the store is pruned.
        let _ = fs_err::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_gone_on_with_and_judged_as_a_whole() {
        let (_dir, layout) = Layout::of_tests();
        let digest = Digest::of(b"halves");
        let expected = Expected { digest: &digest, size: 6 };
        let mut first = layout.ingest(&digest).unwrap();
        first.write(b"hal").unwrap();
        assert!(matches!(first.commit(expected), Err(StoreError::Size { .. })));
        drop(first);
        assert_eq!(layout.ingested(&digest), 3);
        let mut second = layout.ingest(&digest).unwrap();
        assert_eq!(second.size(), 3);
        second.write(b"ved").unwrap();
        assert!(matches!(second.commit(expected), Err(StoreError::Digest { .. })));
        second.restart().unwrap();
        second.write(b"halves").unwrap();
        second.commit(expected).unwrap();
        assert_eq!(fs_err::read(layout.blob(&digest)).unwrap(), b"halves");
        assert_eq!(layout.ingested(&digest), 0);
    }
}
