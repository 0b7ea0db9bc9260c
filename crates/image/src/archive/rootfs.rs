//! A root file system as an archive becomes an image of one layer.

use std::io::{self, BufReader, Read, Write as _};

use super::ImportOptions;
use crate::digest::Digest;
use crate::document::{ConfigDocument, Descriptor, History, OCI_LAYER};
use crate::error::{ArchiveError, StoreError};
use crate::image::ImageConfig;
use crate::progress::{Outcome, Progress, Task, TaskKind, next_task};
use crate::reference::Reference;
use crate::store::ImageStore;
use crate::unpack::{Guard, Tripped, decompress};

/// What is said of a root file system that becomes an image.
#[derive(Debug, Clone, Default)]
pub struct RootFileSystem {
    /// The image's name, if it gets one.
    pub reference: Option<Reference>,
    /// What the image says about the process to run.
    pub config: ImageConfig,
    /// Where it comes from, for the image's history.
    pub message: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

impl ImageStore {
    /// Makes an image of a root file system's tar archive, compressed or not. Returns the digest of
    /// its manifest.
    ///
    /// # Errors
    /// The archive is damaged or wants out, or the store cannot be written.
    pub fn import_root_file_system(
        &self,
        archive: impl Read,
        about: &RootFileSystem,
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Result<Digest, ArchiveError> {
        let layout = self.layout();
        let _lock = layout.lock_content(&|| progress.cancelled())?;
        let layer = self.layer(archive, options, progress)?;
        let mut document = ConfigDocument::empty(options.platform.architecture());
        let created = jiff::Timestamp::from_second(about.created).unwrap_or_default().to_string();
        document.created = Some(created.clone());
        document.config.set(&about.config);
        document.rootfs.diff_ids.push(layer.digest.clone());
        let mut history = History { created: Some(created), ..History::default() };
        history.rest.insert("comment".to_owned(), about.message.clone().into());
        document.history.push(history);
        layout.ensure_snapshot(&layer, &layer.digest, options.limits, progress)?;
        let digest = layout.write_image(&document, vec![layer])?;
        if let Some(reference) = &about.reference {
            layout.record(reference, &digest)?;
        }
        Ok(digest)
    }

    /// Stores the archive, uncompressed, as a layer.
    fn layer(
        &self,
        archive: impl Read,
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Result<Descriptor, ArchiveError> {
        let damaged = |source| ArchiveError::Read { source };
        let cancelled = || progress.cancelled();
        let archive = BufReader::with_capacity(256 * 1024, archive);
        let plain = decompress(archive).map_err(damaged)?;
        let limit = options.limits.bytes;
        let mut guard = Guard::new(plain, limit, &cancelled);
        let state = guard.state();
        let mut writer = self.layout().blob_writer()?;
        let (id, label) = (next_task(), "root file system".to_owned());
        progress.begin(&Task { id, kind: TaskKind::Import, label, total: None });
        let mut copy = || -> Result<(), ArchiveError> {
            let (mut buffer, mut done) = (vec![0; 128 * 1024], 0);
            loop {
                let count = match guard.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(damaged(error)),
                };
                writer
                    .write_all(&buffer[..count])
                    .map_err(|source| StoreError::at(writer.path(), source))?;
                done += count as u64;
                progress.advance(id, done);
            }
        };
        let copied = copy();
        progress.finish(id, if copied.is_ok() { Outcome::Done } else { Outcome::Failed });
        match state.tripped() {
            Some(Tripped::Cancelled) => return Err(ArchiveError::Cancelled),
            Some(_) => return Err(ArchiveError::TooLarge { limit, unit: "bytes" }),
            None => copied?,
        }
        let (digest, size) = writer.commit(None)?;
        Ok(Descriptor { media_type: OCI_LAYER.to_owned(), digest, size, platform: None })
    }
}
