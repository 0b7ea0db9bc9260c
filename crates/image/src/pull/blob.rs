//! Downloads one blob: from the endpoint that has it, going on where a broken connection left it.

use std::io::{Read, Write};

use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::client::{ATTEMPTS, Client, Endpoint, Failure, pause};
use crate::content::BlobWriter;
use crate::document::Descriptor;
use crate::error::{PullError, StoreError};
use crate::layout::Layout;
use crate::progress::{Outcome, Progress, Task, TaskId, TaskKind, next_task};

impl Client {
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
        let _lock = layout
            .lock(&format!("blob-{}", blob.digest.hex()), &|| progress.cancelled())
            .map_err(|source| self.store_error(source))?;
        // Another thread or process may just have brought it.
        if here() {
            return Ok(Outcome::Cached);
        }
        self.each_endpoint(&format!("{kind} {}", blob.digest), |endpoint| {
            self.download(layout, endpoint, blob, task, progress)
        })?;
        Ok(Outcome::Done)
    }

    fn download(
        &self,
        layout: &Layout,
        endpoint: &Endpoint,
        blob: &Descriptor,
        task: TaskId,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let path = format!("blobs/{}", blob.digest);
        let mut writer = layout.blob_writer().map_err(Failure::Store)?;
        let mut got = 0;
        let mut failures = 0;
        loop {
            let range = format!("bytes={got}-");
            let headers: &[(&str, &str)] =
                if got > 0 { &[(header::RANGE.as_str(), range.as_str())] } else { &[] };
            let response = self.get(endpoint, &path, headers, progress)?;
            if !continues(&response, got) {
                writer = layout.blob_writer().map_err(Failure::Store)?;
                got = 0;
            }
            let before = got;
            let end = receive(response, &mut writer, &mut got, blob.size, task, progress)?;
            if got > blob.size {
                let outcome = format!("more than the announced {} bytes came", blob.size);
                return Err(self.failure(endpoint, &path, outcome));
            }
            if got == blob.size {
                break;
            }
            failures = if got > before { 1 } else { failures + 1 };
            let outcome = format!("the connection ended after {got} of {} bytes{end}", blob.size);
            if failures == ATTEMPTS {
                return Err(self.failure(endpoint, &path, outcome));
            }
            progress.log(&format!("{}: {outcome}; going on", blob.digest.short()));
            pause(failures, None, progress)?;
        }
        match writer.commit(Some(Layout::expected(blob))) {
            Ok(_) => Ok(()),
            Err(error @ (StoreError::Digest { .. } | StoreError::Size { .. })) => {
                Err(self.failure(endpoint, &path, format!("what came is damaged: {error}")))
            }
            Err(error) => Err(Failure::Store(error)),
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

/// Writes what comes until it ends, breaks off or is too much. Returns how it broke off, for people.
fn receive(
    response: Response<Body>,
    writer: &mut BlobWriter<'_>,
    got: &mut u64,
    size: u64,
    task: TaskId,
    progress: &dyn Progress,
) -> Result<String, Failure> {
    let mut reader = response.into_body().into_reader();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if progress.cancelled() {
            return Err(Failure::Store(StoreError::Cancelled));
        }
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(String::new()),
            Ok(count) => count,
            Err(error) => return Ok(format!(" ({error})")),
        };
        *got += count as u64;
        if *got > size {
            return Ok(String::new());
        }
        writer
            .write_all(&buffer[..count])
            .map_err(|source| Failure::Store(StoreError::at(writer.path(), source)))?;
        progress.advance(task, *got);
    }
}
