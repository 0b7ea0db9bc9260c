//! Where an image is pulled from: its registry, and a mirror asked first.

use std::io::Read;

use ureq::http::{Method, header};

use crate::content::DOCUMENT_BYTES;
use crate::digest::Digest;
use crate::distribution::{Client, Endpoint, Failure, Request};
use crate::document::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::error::{PullError, StoreError};
use crate::options::PullOptions;
use crate::progress::Progress;
use crate::reference::Reference;

pub(super) struct Source<'a> {
    pub(super) client: Client,
    reference: &'a Reference,
}

impl<'a> Source<'a> {
    pub(super) fn new(reference: &'a Reference, options: &PullOptions) -> Result<Self, PullError> {
        let client = Client::new(reference, &options.access()).map_err(|reason| {
            PullError::Settings { reference: Box::new(reference.clone()), reason }
        })?;
        Ok(Self { client, reference })
    }

    /// The manifest of a tag or digest; what comes for a digest has that digest.
    pub(super) fn manifest(
        &self,
        version: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<u8>, PullError> {
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");
        let path = format!("manifests/{version}");
        self.each_endpoint(&format!("its manifest {version}"), |endpoint| {
            let headers = [(header::ACCEPT.as_str(), accept.as_str())];
            let request = Request { headers: &headers, ..Request::new(&Method::GET, &path) };
            let response = self.client.request(endpoint, &request, progress)?;
            let mut bytes = Vec::new();
            let failure = |outcome| self.client.failure(endpoint, &path, outcome);
            response
                .into_body()
                .into_reader()
                .take(DOCUMENT_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| failure(error.to_string()))?;
            if bytes.len() as u64 > DOCUMENT_BYTES {
                return Err(failure("it is larger than 4 MiB".to_owned()));
            }
            match version.parse::<Digest>() {
                Ok(digest) if Digest::of(&bytes) != digest => {
                    Err(failure("what came has another digest".to_owned()))
                }
                _ => Ok(bytes),
            }
        })
    }

    /// Asks one endpoint after the other.
    pub(super) fn each_endpoint<T>(
        &self,
        what: &str,
        request: impl Fn(&Endpoint) -> Result<T, Failure>,
    ) -> Result<T, PullError> {
        let mut attempts = Vec::new();
        for endpoint in self.client.endpoints() {
            match request(endpoint) {
                Ok(value) => return Ok(value),
                Err(Failure::Endpoint(attempt)) => attempts.push(attempt),
                Err(Failure::Store(source)) => return Err(self.store_error(source)),
            }
        }
        let reference = Box::new(self.reference.clone());
        Err(PullError::Unavailable { reference, what: what.to_owned(), attempts })
    }

    pub(super) fn store_error(&self, source: StoreError) -> PullError {
        let reference = Box::new(self.reference.clone());
        if source.is_cancelled() {
            PullError::Cancelled { reference }
        } else {
            PullError::Store { reference, source }
        }
    }
}
