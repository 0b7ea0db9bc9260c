//! Downloads one blob: from the endpoint that has it, going on where a broken connection or an
//! earlier process left it.

use std::io::Read;

use ureq::Body;
use ureq::http::{Method, Response, StatusCode, header};

use super::source::Source;
use crate::distribution::{ATTEMPTS, Endpoint, Failure, Request, pause};
use crate::document::Descriptor;
use crate::error::{PullError, StoreError};
use crate::ingest::Ingest;
use crate::layout::Layout;
use crate::progress::{Outcome, Progress, Task, TaskId, TaskKind, next_task};

impl Source<'_> {
    /// Puts the blob into the store unless it is there.
    pub(super) fn blob(
        &self,
        layout: &Layout,
        blob: &Descriptor,
        kind: &str,
        progress: &dyn Progress,
    ) -> Result<(), PullError> {
        let id = next_task();
        let label = format!("{} {}", kind, blob.digest.short());
        progress.begin(&Task { id, kind: TaskKind::Download, label, total: Some(blob.size) });
        let result = self.blob_unless_here(layout, blob, kind, id, progress);
        progress.finish(id, *result.as_ref().unwrap_or(&Outcome::Failed));
        result.map(drop)
    }

    fn blob_unless_here(
        &self,
        layout: &Layout,
        blob: &Descriptor,
        kind: &str,
        task: TaskId,
        progress: &dyn Progress,
    ) -> Result<Outcome, PullError> {
        let here = || layout.blob_size(&blob.digest) == Some(blob.size);
        if here() {
            return Ok(Outcome::Cached);
        }
        // Another thread or process may be bringing it: that is this one's progress too, and what it
        // leaves when it fails is gone on with here.
        let waiting = || {
            progress.advance(task, layout.ingested(&blob.digest));
            progress.cancelled()
        };
        let _lock = layout
            .lock(&format!("blob-{}", blob.digest.hex()), &waiting)
            .map_err(|source| self.store_error(source))?;
        if here() {
            return Ok(Outcome::Cached);
        }
        self.each_endpoint(&format!("{kind} {}", blob.digest), |endpoint| {
            let mut ingest = layout.ingest(&blob.digest).map_err(Failure::Store)?;
            let download = Download { source: self, endpoint, blob, task, progress };
            let result = download.run(&mut ingest);
            // A full disk wants the space back.
            let full = matches!(result, Err(Failure::Store(StoreError::DiskFull(_))));
            if full || (result.is_err() && ingest.size() == 0) {
                ingest.discard();
            }
            result
        })?;
        Ok(Outcome::Done)
    }
}

/// One blob from one endpoint.
struct Download<'a> {
    source: &'a Source<'a>,
    endpoint: &'a Endpoint,
    blob: &'a Descriptor,
    task: TaskId,
    progress: &'a dyn Progress,
}

impl Download<'_> {
    fn path(&self) -> String {
        format!("blobs/{}", self.blob.digest)
    }

    fn failure(&self, outcome: String) -> Failure {
        self.source.client.failure(self.endpoint, &self.path(), outcome)
    }

    /// Downloads and puts in place. What somebody else began is not to blame on this endpoint: when
    /// the whole is damaged, it begins anew once.
    fn run(&self, ingest: &mut Ingest<'_>) -> Result<(), Failure> {
        let mut begun = ingest.size() > 0;
        loop {
            self.receive_all(ingest)?;
            match ingest.commit(Layout::expected(self.blob)) {
                Ok(()) => return Ok(()),
                Err(error @ (StoreError::Digest { .. } | StoreError::Size { .. })) => {
                    ingest.restart().map_err(Failure::Store)?;
                    if !begun {
                        return Err(self.failure(format!("what came is damaged: {error}")));
                    }
                    begun = false;
                }
                Err(error) => return Err(Failure::Store(error)),
            }
        }
    }

    /// Asks for what is missing until nothing is.
    fn receive_all(&self, ingest: &mut Ingest<'_>) -> Result<(), Failure> {
        let size = self.blob.size;
        if ingest.size() > size {
            ingest.restart().map_err(Failure::Store)?;
        }
        let mut failures = 0;
        while ingest.size() < size || (size == 0 && failures == 0) {
            let before = ingest.size();
            let end = self.receive(ingest)?;
            let got = ingest.size();
            if got > size {
                ingest.restart().map_err(Failure::Store)?;
                return Err(self.failure(format!("more than the announced {size} bytes came")));
            }
            failures = if got > before { 1 } else { failures + 1 };
            if got == size {
                break;
            }
            let outcome = format!("the connection ended after {got} of {size} bytes{end}");
            if failures == ATTEMPTS {
                return Err(self.failure(outcome));
            }
            self.progress.log(&format!("{}: {outcome}; going on", self.blob.digest.short()));
            pause(failures, None, self.progress)?;
        }
        Ok(())
    }

    /// One answer, until it ends, breaks off or is too much. Returns how it broke off, for people.
    fn receive(&self, ingest: &mut Ingest<'_>) -> Result<String, Failure> {
        let (path, got) = (self.path(), ingest.size());
        let range = format!("bytes={got}-");
        let ranged = [(header::RANGE.as_str(), range.as_str())];
        let mut request = Request::new(&Method::GET, &path);
        if got > 0 {
            request.headers = &ranged;
            // What is here may be more than this endpoint has.
            request.also = Some(StatusCode::RANGE_NOT_SATISFIABLE);
        }
        let response = self.source.client.request(self.endpoint, &request, self.progress)?;
        if !continues(&response, got) {
            ingest.restart().map_err(Failure::Store)?;
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok(String::new());
            }
        }
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if self.progress.cancelled() {
                return Err(Failure::Store(StoreError::Cancelled));
            }
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(String::new()),
                Ok(count) => count,
                Err(error) => return Ok(format!(" ({error})")),
            };
            ingest.write(&buffer[..count]).map_err(Failure::Store)?;
            if ingest.size() > self.blob.size {
                return Ok(String::new());
            }
            self.progress.advance(self.task, ingest.size());
        }
    }
}

/// Whether the answer begins at this byte.
fn continues(response: &Response<Body>, position: u64) -> bool {
    if position == 0 {
        return true;
    }
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {position}-")))
}
