//! Uploads one blob: not at all where the registry has it, from another repository where it has it
//! there, in one piece or in several otherwise, and from where a broken connection left it.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek as _};

use ureq::Body;
use ureq::http::{Method, Response, StatusCode, header};

use super::Push;
use crate::digest::Digest;
use crate::distribution::{ATTEMPTS, Failure, Payload, Request, join, pause};
use crate::document::Descriptor;
use crate::error::{PushError, StoreError};
use crate::progress::{Outcome, Progress, Task, TaskId, TaskKind, next_task};

/// How large pieces may be, as a registry says it.
const CHUNK_MAX: &str = "oci-chunk-max-length";
const CHUNK_MIN: &str = "oci-chunk-min-length";
const BYTES: (&str, &str) = ("content-type", "application/octet-stream");

/// An upload that the registry has begun.
struct Session {
    /// Where it goes on; each answer may change it.
    url: String,
    /// Bytes the registry has.
    offset: u64,
    /// Largest and smallest piece it takes.
    most: Option<u64>,
    least: u64,
}

/// What became of a request to begin an upload.
enum Begun {
    /// The registry took the blob from another repository.
    Mounted,
    Session(Session),
}

impl Push<'_> {
    /// Sees to it that the registry has the blob.
    pub(super) fn blob(
        &self,
        kind: &str,
        blob: &Descriptor,
        sources: &[(String, BTreeSet<Digest>)],
        progress: &dyn Progress,
    ) -> Result<(), PushError> {
        let (id, label) = (next_task(), format!("{kind} {}", blob.digest.short()));
        progress.begin(&Task { id, kind: TaskKind::Upload, label, total: Some(blob.size) });
        let upload = Upload { push: self, blob, task: id, progress };
        let result = upload.run(sources);
        progress.finish(id, *result.as_ref().unwrap_or(&Outcome::Failed));
        result.map(drop).map_err(|failure| self.error(&format!("{kind} {}", blob.digest), failure))
    }
}

struct Upload<'a> {
    push: &'a Push<'a>,
    blob: &'a Descriptor,
    task: TaskId,
    progress: &'a dyn Progress,
}

impl Upload<'_> {
    fn request(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let client = &self.push.client;
        client.request(client.registry(), request, self.progress)
    }

    fn run(&self, sources: &[(String, BTreeSet<Digest>)]) -> Result<Outcome, Failure> {
        if self.is_there()? {
            return Ok(Outcome::Cached);
        }
        let layout = self.push.layout;
        if layout.blob_size(&self.blob.digest) != Some(self.blob.size) {
            let digest = self.blob.digest.clone();
            return Err(Failure::Store(StoreError::MissingBlob { digest }));
        }
        let source = sources.iter().find(|(_, digests)| digests.contains(&self.blob.digest));
        let mut from = source.map(|(repository, _)| repository.as_str());
        let mut failures = 0;
        loop {
            let mut session = match self.begin(from.take())? {
                Begun::Mounted => return Ok(Outcome::Cached),
                Begun::Session(session) => session,
            };
            let Err((failure, transient)) = self.send_all(&mut session) else {
                return Ok(Outcome::Done);
            };
            failures += 1;
            if !transient || failures == ATTEMPTS {
                return Err(failure);
            }
            // The answer may be all that was lost.
            if self.is_there()? {
                return Ok(Outcome::Done);
            }
            self.progress.log(&format!("{}: uploading it anew", self.blob.digest.short()));
            pause(failures, None, self.progress)?;
        }
    }

    fn is_there(&self) -> Result<bool, Failure> {
        let target = format!("blobs/{}", self.blob.digest);
        let also = Some(StatusCode::NOT_FOUND);
        let answer = self.request(&Request { also, ..Request::new(&Method::HEAD, &target) })?;
        Ok(answer.status().is_success())
    }

    /// Asks for a place to upload to, or that the blob be taken from the repository `from`.
    fn begin(&self, from: Option<&str>) -> Result<Begun, Failure> {
        let target = match from {
            Some(from) => format!("blobs/uploads/?mount={}&from={from}", self.blob.digest),
            None => "blobs/uploads/".to_owned(),
        };
        let payload = Payload::Bytes(b"");
        let answer = self.request(&Request { payload, ..Request::new(&Method::POST, &target) })?;
        if answer.status() == StatusCode::CREATED {
            return Ok(Begun::Mounted);
        }
        let number = |name| answer.headers().get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let most = [number(CHUNK_MAX), self.push.options.chunk].into_iter().flatten().min();
        let least = number(CHUNK_MIN).unwrap_or(0);
        let url = self.location(&answer, &target)?;
        Ok(Begun::Session(Session { url, offset: 0, most: most.filter(|most| *most > 0), least }))
    }

    /// Where the upload goes on.
    fn location(&self, answer: &Response<Body>, target: &str) -> Result<String, Failure> {
        let client = &self.push.client;
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let base = client.url(client.registry(), target);
        location.and_then(|location| join(&base, location)).ok_or_else(|| {
            let outcome = format!("{} without a usable Location", answer.status());
            client.failure(client.registry(), target, outcome)
        })
    }

    /// Sends everything, going on where a broken connection left it. An error says whether a new
    /// upload may do better.
    fn send_all(&self, session: &mut Session) -> Result<(), (Failure, bool)> {
        let size = self.blob.size;
        let mut failures = 0;
        loop {
            let left = size - session.offset;
            // A piece that is not the last one must not be too small.
            let piece = session.most.map_or(left, |most| most.max(session.least).min(left));
            let sent = self.piece(session, piece);
            let failure = match sent {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    failures = 0;
                    continue;
                }
                Err(failure) => failure,
            };
            let Failure::Endpoint(attempt) = &failure else { return Err((failure, false)) };
            let transient = attempt.status.is_none_or(|status| status >= 500 || status == 416);
            failures += 1;
            if !transient || failures == ATTEMPTS {
                return Err((failure, transient));
            }
            let outcome = &attempt.outcome;
            self.progress.log(&format!("{}: {outcome}; going on", self.blob.digest.short()));
            pause(failures, None, self.progress).map_err(|failure| (failure, false))?;
            let before = session.offset;
            match self.ask(session) {
                Ok(()) if session.offset > before => failures = 0,
                Ok(()) => {}
                // The upload is gone: begin another.
                Err(Failure::Store(error)) => return Err((Failure::Store(error), false)),
                Err(failure) => return Err((failure, true)),
            }
        }
    }

    /// Sends so many bytes; returns whether the blob is complete. The last piece closes the upload
    /// unless it follows others, as not every registry takes bytes with the end.
    fn piece(&self, session: &mut Session, length: u64) -> Result<bool, Failure> {
        let whole = session.offset == 0 && length == self.blob.size;
        if !whole && length > 0 {
            let (first, last) = (session.offset, session.offset + length - 1);
            let range = format!("{first}-{last}");
            let headers = [BYTES, (header::CONTENT_RANGE.as_str(), range.as_str())];
            let answer =
                self.send(&Method::PATCH, &session.url, &headers, session.offset, length)?;
            session.url = self.location(&answer, &session.url)?;
            session.offset += length;
            return Ok(false);
        }
        let separator = if session.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}digest={}", session.url, self.blob.digest);
        self.send(&Method::PUT, &url, &[BYTES], session.offset, length)?;
        Ok(true)
    }

    fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        offset: u64,
        length: u64,
    ) -> Result<Response<Body>, Failure> {
        let open = || {
            let mut file = fs_err::File::open(self.push.layout.blob(&self.blob.digest))?;
            file.seek(io::SeekFrom::Start(offset))?;
            Ok(Box::new(Piece { inner: file.take(length), upload: self, sent: offset }) as _)
        };
        // Bytes are not sent twice without asking the registry how many it has.
        let payload = Payload::Stream { open: &open, length };
        self.request(&Request { headers, payload, attempts: 1, ..Request::new(method, url) })
    }

    /// Asks how many bytes the registry has.
    fn ask(&self, session: &mut Session) -> Result<(), Failure> {
        let answer = self.request(&Request::new(&Method::GET, &session.url))?;
        let range = answer.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
        let last = range.and_then(|range| range.rsplit_once('-')?.1.trim().parse::<u64>().ok());
        // `0-0` may mean one byte or none: taken for none.
        let has = last.filter(|last| *last > 0).map_or(0, |last| last + 1);
        if has > self.blob.size {
            let outcome = format!("it says it has {has} bytes of {}", self.blob.size);
            let client = &self.push.client;
            return Err(client.failure(client.registry(), &session.url, outcome));
        }
        session.offset = has;
        if answer.headers().contains_key(header::LOCATION) {
            session.url = self.location(&answer, &session.url)?;
        }
        Ok(())
    }
}

/// A part of a blob on its way out.
struct Piece<'a> {
    inner: io::Take<fs_err::File>,
    upload: &'a Upload<'a>,
    /// Bytes of the blob that are out.
    sent: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.upload.progress.cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let count = self.inner.read(buffer)?;
        self.sent += count as u64;
        self.upload.progress.advance(self.upload.task, self.sent);
        Ok(count)
    }
}
