//! Blobs by digest. A blob is there whole or not at all, and is never changed.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::Path;

use crate::digest::{Digest, DigestWriter};
use crate::document::{ConfigDocument, Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::error::StoreError;
use crate::layout::Layout;

/// Largest manifest or config that is read (registries cap manifests at 4 MiB).
pub(crate) const DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;

/// What a blob must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) size: u64,
}

/// A blob that is being written. Dropped without [`Self::commit`], it leaves nothing.
pub(crate) struct BlobWriter<'a> {
    layout: &'a Layout,
    writer: DigestWriter<tempfile::NamedTempFile>,
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl BlobWriter<'_> {
    /// Where the bytes are until they are complete, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.writer.get_ref().path()
    }

    /// The bytes in a file that no name leads to, at its beginning, with their digest and number:
    /// no blob, after all.
    pub(crate) fn into_file(self) -> io::Result<(File, Digest, u64)> {
        let (file, digest, size) = self.writer.finish();
        let mut file = file.into_file();
        file.rewind()?;
        Ok((file, digest, size))
    }

    /// The bytes in a file that is on disk and removed when dropped, with their digest and number:
    /// what becomes of it is [`persist_path`]'s to say.
    pub(crate) fn spool(self) -> Result<(tempfile::TempPath, Digest, u64), StoreError> {
        let (file, digest, size) = self.writer.finish();
        Ok((synced(file)?, digest, size))
    }

    /// Puts the blob in place, if it is what was expected; returns its digest and size.
    pub(crate) fn commit(self, expected: Option<Expected>) -> Result<(Digest, u64), StoreError> {
        let (file, digest, size) = self.writer.finish();
        if let Some(expected) = expected {
            check(&expected, &digest, size)?;
        }
        persist(self.layout, file, &digest)?;
        Ok((digest, size))
    }
}

/// Whether what came is what was expected.
pub(crate) fn check(expected: &Expected<'_>, digest: &Digest, size: u64) -> Result<(), StoreError> {
    if size != expected.size {
        let digest = expected.digest.clone();
        return Err(StoreError::Size { digest, expected: expected.size, actual: size });
    }
    if digest != expected.digest {
        let expected = expected.digest.clone();
        return Err(StoreError::Digest { expected, actual: digest.clone() });
    }
    Ok(())
}

/// Makes a finished file the blob of that digest. It is on disk before it has its name: a power cut
/// leaves no name without its content.
pub(crate) fn persist(
    layout: &Layout,
    file: tempfile::NamedTempFile,
    digest: &Digest,
) -> Result<(), StoreError> {
    persist_path(layout, synced(file)?, digest)
}

/// As [`persist`], of a file that is on disk.
pub(crate) fn persist_path(
    layout: &Layout,
    file: tempfile::TempPath,
    digest: &Digest,
) -> Result<(), StoreError> {
    let path = layout.blob(digest);
    file.persist(&path).map_err(|error| StoreError::at(&path, error.error))
}

/// The closed file, on disk.
fn synced(file: tempfile::NamedTempFile) -> Result<tempfile::TempPath, StoreError> {
    file.as_file().sync_data().map_err(|error| StoreError::at(file.path(), error))?;
    Ok(file.into_temp_path())
}

impl Layout {
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob(digest).exists()
    }

    /// The blob's size in bytes, if it is here.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Option<u64> {
        fs_err::metadata(self.blob(digest)).ok().map(|metadata| metadata.len())
    }

    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        match fs_err::File::open(self.blob(digest)) {
            Ok(file) => Ok(file.into_parts().0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::MissingBlob { digest: digest.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a small blob and checks that it is what its name says.
    pub(crate) fn read_document(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        let file = self.open_blob(digest)?;
        file.take(DOCUMENT_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|source| StoreError::at(&self.blob(digest), source))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(StoreError::Digest { expected: digest.clone(), actual });
        }
        Ok(bytes)
    }

    pub(crate) fn blob_writer(&self) -> Result<BlobWriter<'_>, StoreError> {
        let writer = DigestWriter::new(self.temporary_file()?);
        Ok(BlobWriter { layout: self, writer })
    }

    /// Stores these bytes; returns their digest.
    pub(crate) fn write_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest) {
            self.replace_file(&self.blob(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// Stores an image's config, and the manifest of it and its layers; returns the manifest's digest.
    pub(crate) fn write_image(
        &self,
        document: &ConfigDocument,
        layers: Vec<Descriptor>,
    ) -> Result<Digest, StoreError> {
        let config = serde_json::to_vec(document).expect("a config has string keys only");
        let config = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            size: config.len() as u64,
            digest: self.write_blob(&config)?,
            platform: None,
        };
        let media_type = Some(OCI_MANIFEST.to_owned());
        let manifest = Manifest { schema_version: 2, media_type, config, layers };
        let manifest = serde_json::to_vec(&manifest).expect("a manifest has string keys only");
        self.write_blob(&manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_is_not_what_was_expected_is_not_stored() {
        let (_dir, layout) = Layout::of_tests();
        let digest = Digest::of(b"right");
        let mut writer = layout.blob_writer().unwrap();
        writer.write_all(b"wrong").unwrap();
        let error = writer.commit(Some(Expected { digest: &digest, size: 5 })).unwrap_err();
        assert!(matches!(error, StoreError::Digest { .. }), "{error}");
        let mut writer = layout.blob_writer().unwrap();
        writer.write_all(b"righ").unwrap();
        let error = writer.commit(Some(Expected { digest: &digest, size: 5 })).unwrap_err();
        assert!(matches!(error, StoreError::Size { .. }), "{error}");
        assert!(!layout.has_blob(&digest));
        assert_eq!(fs_err::read_dir(layout.dir().join("content/sha256")).unwrap().count(), 0);
    }

    #[test]
    fn a_blob_changed_on_disk_is_not_read_as_a_document() {
        let (_dir, layout) = Layout::of_tests();
        let digest = layout.write_blob(b"{}").unwrap();
        assert_eq!(layout.read_document(&digest).unwrap(), b"{}");
        fs_err::write(layout.blob(&digest), b"[]").unwrap();
        assert!(matches!(layout.read_document(&digest), Err(StoreError::Digest { .. })));
    }

    #[test]
    fn many_threads_may_store_one_blob_at_once() {
        let (_dir, layout) = Layout::of_tests();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut writer = layout.blob_writer().unwrap();
                    writer.write_all(&[7; 100_000]).unwrap();
                    writer.commit(None).unwrap();
                });
            }
        });
        assert_eq!(layout.blob_size(&Digest::of(&[7; 100_000])), Some(100_000));
    }
}
