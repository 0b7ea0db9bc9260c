//! Uploads that are interrupted and resumed: bytes are added at the end of a file of their own, and
//! become a blob when their digest is known to be right.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::files::{children, read};
use super::{ContentDigest, Repositories, RepositoryError, RepositoryName};
use crate::digest::{Digest, DigestReader, Hasher};
use crate::error::StoreError;
use crate::layout::Layout;

const DATA: &str = "data";
const SESSION: &str = "session.json";

/// Whose an upload is.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Owner {
    repository: RepositoryName,
    /// The credential by which it began.
    credential: Option<String>,
}

/// An upload. Dropped, it stays and can be resumed.
pub struct UploadSession {
    layout: Arc<Layout>,
    id: String,
    owner: Owner,
    file: File,
    size: u64,
    /// The digest so far; after a restart it is computed at the end.
    hasher: Option<Hasher>,
}

impl std::fmt::Debug for UploadSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadSession")
            .field("id", &self.id)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Repositories {
    /// Begins an upload to a repository. `credential` is handed back by [`Self::active_since`].
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn begin_upload(
        &self,
        name: &RepositoryName,
        credential: Option<String>,
    ) -> Result<UploadSession, StoreError> {
        let layout = Arc::clone(&self.layout);
        let id = uuid::Uuid::new_v4().simple().to_string();
        let owner = Owner { repository: name.clone(), credential };
        let work = layout.temporary_dir()?;
        let place = work.path().join("upload");
        fs_err::create_dir(&place)?;
        let text = serde_json::to_vec(&owner).expect("an owner has only strings");
        fs_err::write(place.join(SESSION), text)?;
        let file = open(&place.join(DATA), true)?;
        fs_err::rename(&place, layout.uploads().join(&id))?;
        Ok(UploadSession { layout, id, owner, file, size: 0, hasher: Some(Hasher::new()) })
    }

    /// An upload that began in this or another process; `None` when there is none of that id in
    /// this repository.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn resume_upload(
        &self,
        name: &RepositoryName,
        id: &str,
    ) -> Result<Option<UploadSession>, StoreError> {
        let layout = Arc::clone(&self.layout);
        let Some(owner) = layout.upload_owner(id)? else { return Ok(None) };
        if owner.repository != *name {
            return Ok(None);
        }
        let path = layout.upload(id).join(DATA);
        let file = match open(&path, false) {
            Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            result => result?,
        };
        let size = file.metadata().map_err(|source| StoreError::at(&path, source))?.len();
        let hasher = (size == 0).then(Hasher::new);
        Ok(Some(UploadSession { layout, id: id.to_owned(), owner, file, size, hasher }))
    }

    /// Credentials of uploads to which something was written within `period`, with when it was.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn active_since(&self, period: Duration) -> Result<Vec<(String, SystemTime)>, StoreError> {
        let mut found = Vec::new();
        for id in children(&self.layout.uploads())? {
            let Some(written) = self.layout.upload_written(&id) else { continue };
            if written.elapsed().unwrap_or_default() <= period
                && let Some(credential) =
                    self.layout.upload_owner(&id)?.and_then(|owner| owner.credential)
            {
                found.push((credential, written));
            }
        }
        Ok(found)
    }
}

impl UploadSession {
    /// The upload's id: 32 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The repository it is for.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.owner.repository
    }

    /// The credential by which it began.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        self.owner.credential.as_deref()
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes; all of them or, when it fails, none.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Err(source) = self.file.write_all(bytes) {
            // What is told of its size, and its digest, must stay true.
            let _ = self.file.set_len(self.size);
            return Err(StoreError::at(&self.path().join(DATA), source));
        }
        self.size += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    /// Makes it a blob of its repository, if it is what `digest` says. Either way the upload is
    /// over.
    ///
    /// # Errors
    /// The content has another digest, or the store cannot be written.
    pub fn finish(mut self, digest: &ContentDigest) -> Result<u64, RepositoryError> {
        let data = self.path().join(DATA);
        let at = |source| StoreError::at(&data, source);
        let content = self.content().map_err(at)?;
        let reader = fs_err::File::open(&data).map_err(|error| self.lost(error))?;
        if !digest.is_of(&content, reader).map_err(at)? {
            let expected = digest.clone();
            self.cancel()?;
            return Err(RepositoryError::Digest { expected });
        }
        // A blob is its digest's name for good, also after a power failure.
        self.file.sync_data().map_err(at)?;
        let _lock = self.layout.lock_content(&|| false)?;
        if self.layout.blob_size(&content) != Some(self.size) {
            fs_err::rename(&data, self.layout.blob(&content)).map_err(|error| self.lost(error))?;
        }
        self.layout.link_blob(&self.owner.repository, digest, &content)?;
        let size = self.size;
        self.cancel()?;
        Ok(size)
    }

    /// Gives it up.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn cancel(self) -> Result<(), StoreError> {
        match fs_err::remove_dir_all(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The digest of all that was written.
    fn content(&mut self) -> io::Result<Digest> {
        if let Some(hasher) = self.hasher.take() {
            return Ok(hasher.finish());
        }
        let mut reader = DigestReader::new(fs_err::File::open(self.path().join(DATA))?);
        io::copy(&mut reader, &mut io::sink())?;
        Ok(reader.finish().0)
    }

    fn path(&self) -> PathBuf {
        self.layout.upload(&self.id)
    }

    fn lost(&self, error: io::Error) -> RepositoryError {
        if error.kind() == io::ErrorKind::NotFound {
            RepositoryError::NoUpload { id: self.id.clone() }
        } else {
            StoreError::from(error).into()
        }
    }
}

impl Layout {
    fn upload(&self, id: &str) -> PathBuf {
        self.uploads().join(id)
    }

    fn upload_owner(&self, id: &str) -> Result<Option<Owner>, StoreError> {
        // It becomes part of a path.
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let bytes = read(&self.upload(id).join(SESSION))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// When something was last written to an upload.
    fn upload_written(&self, id: &str) -> Option<SystemTime> {
        fs_err::metadata(self.upload(id).join(DATA)).ok()?.modified().ok()
    }

    /// Removes uploads that nobody has gone on with for this long; returns how many.
    pub(super) fn drop_old_uploads(&self, age: Duration) -> Result<usize, StoreError> {
        let mut dropped = 0;
        for id in children(&self.uploads())? {
            let written = self.upload_written(&id);
            if written.is_none_or(|time| time.elapsed().unwrap_or_default() > age) {
                match fs_err::remove_dir_all(self.upload(&id)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => dropped += 1,
                }
            }
        }
        Ok(dropped)
    }
}

fn open(path: &Path, new: bool) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(new).mode(0o600);
    let file = fs_err::OpenOptions::from_options(options).open(path)?;
    Ok(file.into_parts().0)
}
