//! Uploads that are open in this process: one request at a time works on each.
//!
//! What is not open is opened from the store, where every upload lies that began in any process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use image::{Repositories, RepositoryName, UploadSession};
use tokio::sync::OwnedMutexGuard;

use crate::body::blocking;
use crate::error::ApiError;

/// An upload that nobody has worked on for this long is closed; it stays in the store.
const OPEN: Duration = Duration::from_secs(10 * 60);

type Place = Arc<tokio::sync::Mutex<Option<UploadSession>>>;

/// Open uploads by id.
#[derive(Debug, Default)]
pub(crate) struct LiveUploads(Mutex<HashMap<String, (Place, Instant)>>);

/// An upload that one request works on. Dropped, it waits for the next request.
#[derive(Debug)]
pub(crate) struct Working(OwnedMutexGuard<Option<UploadSession>>);

impl LiveUploads {
    /// Takes in an upload that has just begun.
    pub(crate) fn add(&self, session: UploadSession) {
        let id = session.id().to_owned();
        let place = Arc::new(tokio::sync::Mutex::new(Some(session)));
        self.open().insert(id, (place, Instant::now()));
    }

    /// The upload of that id in that repository, once no other request works on it.
    ///
    /// # Errors
    /// There is none, or the store cannot be read.
    pub(crate) async fn work_on(
        &self,
        repositories: &Repositories,
        name: &RepositoryName,
        id: &str,
    ) -> Result<Working, ApiError> {
        let place = self.place(id);
        let mut place = place.lock_owned().await;
        if place.is_none() {
            let (repositories, name, id) = (repositories.clone(), name.clone(), id.to_owned());
            *place = blocking(move || repositories.resume_upload(&name, &id)).await?;
        }
        match &*place {
            Some(session) if session.repository() == name => Ok(Working(place)),
            _ => {
                self.forget(id);
                Err(ApiError::no_upload(id))
            }
        }
    }

    /// The upload is over.
    pub(crate) fn forget(&self, id: &str) {
        self.open().remove(id);
    }

    fn place(&self, id: &str) -> Place {
        let mut open = self.open();
        let now = Instant::now();
        open.retain(|_, (place, used)| {
            Arc::strong_count(place) > 1 || now.duration_since(*used) < OPEN
        });
        let (place, used) = open.entry(id.to_owned()).or_insert_with(|| (Place::default(), now));
        *used = now;
        Arc::clone(place)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Place, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Working {
    pub(crate) fn size(&self) -> u64 {
        self.0.as_ref().map_or(0, UploadSession::size)
    }

    /// Takes the upload out; give it back unless it is over.
    pub(crate) fn take(&mut self) -> Option<UploadSession> {
        self.0.take()
    }

    pub(crate) fn give_back(&mut self, session: Option<UploadSession>) {
        *self.0 = session;
    }
}
