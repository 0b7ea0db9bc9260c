//! Files of a running instance as its owner reaches them from elsewhere: as archives, in and out.

use bytes::Bytes;
use hyper::body::Incoming;
use image::PathStat;
use model::InstanceId;
use model::limits::ARCHIVE_BYTES;
use tokio::sync::mpsc;

use crate::access::AccessError;
use crate::agent::Agent;
use crate::docker_api::archives::{self, ArchiveError};

/// An archive of files on its way out of an instance.
#[derive(Debug)]
pub struct OutgoingArchive {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes from the beginning, a piece at a time; an error is the last.
    pub pieces: mpsc::Receiver<std::io::Result<Bytes>>,
}

impl From<ArchiveError> for AccessError {
    fn from(error: ArchiveError) -> Self {
        Self::Rejected(error.to_string())
    }
}

impl Agent {
    /// What is at a path in a running instance, links not followed; `None` when nothing is.
    ///
    /// # Errors
    /// The instance is not there or does not run, or the path leads into what is mounted there.
    pub async fn look_at(
        &self,
        instance: InstanceId,
        path: &str,
    ) -> Result<Option<PathStat>, AccessError> {
        Ok(archives::look(&self.find(instance)?, path).await?)
    }

    /// Archives what is at a path in a running instance, as it all is at one moment: a directory under
    /// its own name, or what it has when the path ends in `/.`. `None` when nothing is there.
    ///
    /// # Errors
    /// The instance is not there or does not run, or its files cannot be read or are too many.
    pub async fn read_archive(
        &self,
        instance: InstanceId,
        path: &str,
    ) -> Result<Option<OutgoingArchive>, AccessError> {
        let found = self.find(instance)?;
        let store = self.api.node.snapshots.store();
        match archives::pack(store, &found, path.to_owned()).await {
            Ok(archived) => {
                let pieces = archives::pieces(archived.file, archived.size);
                Ok(Some(OutgoingArchive { size: archived.size, pieces }))
            }
            Err(ArchiveError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Unpacks an archive into the directory at a path in a running instance; it is made if it is
    /// missing. Nothing is unpacked before the archive is there as a whole.
    ///
    /// # Errors
    /// The instance is not there or does not run, the archive is damaged or too large, or its files
    /// cannot be written there.
    pub async fn write_archive(
        &self,
        instance: InstanceId,
        path: &str,
        archive: Incoming,
    ) -> Result<(), AccessError> {
        let found = self.find(instance)?;
        let store = self.api.node.snapshots.store();
        let upload = archives::receive_into(store, archive, ARCHIVE_BYTES).await?;
        Ok(archives::unpack(&found, path.to_owned(), upload).await?)
    }
}
