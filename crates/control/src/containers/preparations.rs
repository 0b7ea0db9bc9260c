//! Images that are got before somebody starts them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Containers;

/// How long a request waits for an image. Clients ask again and again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// It is being got.
    Pending,
    /// It is here: its digest.
    Ready(String),
    /// It cannot be had.
    Failed(String),
}

/// Images that were asked for, by their references; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Preparations(Arc<Mutex<HashMap<String, Preparation>>>);

impl Preparations {
    /// How far an image is; one that could not be had may be asked for again.
    fn take(&self, image: &str) -> Option<Preparation> {
        let mut all = self.0.lock().expect("no holder of this lock panics");
        match all.get(image)? {
            Preparation::Pending => Some(Preparation::Pending),
            _ => all.remove(image),
        }
    }

    fn set(&self, image: &str, preparation: Preparation) {
        let mut all = self.0.lock().expect("no holder of this lock panics");
        all.insert(image.to_owned(), preparation);
    }
}

impl Containers {
    /// Gets an image; how far it is after a moment.
    pub(crate) async fn prepare(&self, image: &str) -> Preparation {
        if let Some(known) = self.preparations.take(image) {
            return known;
        }
        self.preparations.set(image, Preparation::Pending);
        let (containers, reference) = (self.clone(), image.to_owned());
        let got = tokio::spawn(async move {
            let preparation = match containers.platform.prepare_image(&reference).await {
                Ok(digest) => Preparation::Ready(digest),
                Err(error) => Preparation::Failed(error.to_string()),
            };
            containers.preparations.set(&reference, preparation);
        });
        let _ = tokio::time::timeout(PATIENCE, got).await;
        self.preparations.take(image).unwrap_or(Preparation::Pending)
    }
}
