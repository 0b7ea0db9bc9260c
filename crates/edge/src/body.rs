//! Bodies in both directions, and what happens when one ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::HOST;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::arrival::{Peer, Ray};
use crate::config::{Observe, RequestEvent};
use crate::in_flight::Guard;
use crate::patience::Stall;
use crate::pool::Lease;

/// A client that sends not one byte more of a body for this long has gone (nginx's
/// `client_body_timeout`).
const READ: Duration = Duration::from_secs(60);

/// A request's body on its way to a process.
#[derive(Debug)]
pub(crate) enum Upload {
    /// The client's.
    Client {
        /// What is left of it.
        body: Incoming,
        /// How long the client has not sent more.
        stall: Stall,
    },
    /// None; a request with this body can be sent again.
    Empty,
}

/// A request's body did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client went away or sent a broken body")]
    Broken,
    #[error("the client sent no more of its body for {} s", READ.as_secs())]
    Stalled,
}

impl Upload {
    pub(crate) fn of(body: Incoming) -> Self {
        match body.is_end_stream() {
            true => Self::Empty,
            false => Self::Client { body, stall: Stall::new(READ) },
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Client { body, stall } => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    stall.over();
                    Poll::Ready(frame.map(|frame| frame.map_err(|_| UploadError::Broken)))
                }
                Poll::Pending => stall.poll(cx).map(|()| Some(Err(UploadError::Stalled))),
            },
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client { body, .. } => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client { body, .. } => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub(crate) struct Download {
    source: Source,
    /// The request's record, told when this body ends or is dropped.
    record: Record,
}

#[derive(Debug)]
enum Source {
    /// Our own text.
    Text(Full<Bytes>),
    /// A process's answer.
    Process(Box<FromProcess>),
    Ended,
}

/// What an answer holds on to until its last byte.
#[derive(Debug)]
pub(crate) struct FromProcess {
    pub(crate) body: Incoming,
    /// The connection, given back for the next request once the answer is whole.
    pub(crate) lease: Lease,
    /// The process is busy with this request until this is dropped.
    pub(crate) _guard: Guard,
}

impl Download {
    pub(crate) fn text(text: Full<Bytes>, record: Record) -> Self {
        Self { source: Source::Text(text), record }
    }

    pub(crate) fn process(from: FromProcess, record: Record) -> Self {
        let mut body = Self { source: Source::Process(Box::new(from)), record };
        // hyper does not poll a body that has ended before it began.
        if body.is_end_stream() {
            body.finish();
        }
        body
    }

    /// No body: what follows is no HTTP any more.
    pub(crate) fn tunnel(mut record: Record) -> Self {
        record.upgraded();
        Self { source: Source::Ended, record }
    }

    /// The answer is whole.
    fn finish(&mut self) {
        if let Source::Process(from) = std::mem::replace(&mut self.source, Source::Ended) {
            from.lease.give_back();
        }
        self.record.end();
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Text(text) => Pin::new(text).poll_frame(cx).map_err(|never| match never {}),
            Source::Process(from) => Pin::new(&mut from.body).poll_frame(cx),
            Source::Ended => return Poll::Ready(None),
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.record.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        match &polled {
            Poll::Ready(None) => this.finish(),
            Poll::Ready(Some(Err(error))) => this.record.fail(error.to_string()),
            // hyper asks no more once it has as many bytes as announced.
            Poll::Ready(Some(Ok(_))) if this.is_end_stream() => this.finish(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Text(text) => text.is_end_stream(),
            Source::Process(from) => from.body.is_end_stream(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Text(text) => text.size_hint(),
            Source::Process(from) => from.body.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}

/// What is known of a request so far; becomes its event when it is over.
pub(crate) struct Record {
    observe: Option<Observe>,
    began: Instant,
    event: Option<Box<RequestEvent>>,
    /// Whether the answer is whole.
    ended: bool,
    /// It is one of those that its Worker may work on at once, until this is dropped.
    admitted: Option<Guard>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Record").field(&self.event).finish()
    }
}

/// nginx's status for clients that went away; it is never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Record {
    pub(crate) fn new(observe: Option<&Observe>, head: &Parts, peer: Peer, ray: Ray) -> Self {
        let event = observe.map(|_| {
            let authority = head.uri.authority().map(|authority| authority.as_str());
            let header = || head.headers.get(HOST).and_then(|host| host.to_str().ok());
            Box::new(RequestEvent {
                ray,
                client: peer.client,
                scheme: peer.scheme.as_str(),
                version: head.version,
                method: head.method.clone(),
                host: authority.or_else(header).map(str::to_owned),
                path: head
                    .uri
                    .path_and_query()
                    .map_or_else(|| head.uri.to_string(), ToString::to_string),
                status: StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("a valid number"),
                sent: 0,
                duration: Duration::ZERO,
                upgraded: false,
                error: None,
            })
        });
        let observe = observe.cloned();
        Self { observe, began: Instant::now(), event, ended: false, admitted: None }
    }

    /// Of a request that nobody is told of.
    pub(crate) fn none() -> Self {
        Self { observe: None, began: Instant::now(), event: None, ended: false, admitted: None }
    }

    /// Its Worker has one request more until it is over.
    pub(crate) fn admit(&mut self, guard: Guard) {
        self.admitted = Some(guard);
    }

    /// The answer's head is known.
    pub(crate) fn status(&mut self, status: StatusCode) {
        if let Some(event) = &mut self.event {
            event.status = status;
        }
    }

    /// So many bytes more of the answer's body.
    fn sent(&mut self, bytes: usize) {
        if let Some(event) = &mut self.event {
            event.sent += bytes as u64;
        }
    }

    /// The request became a tunnel, which is its end as a request.
    fn upgraded(&mut self) {
        if let Some(event) = &mut self.event {
            event.upgraded = true;
        }
        self.end();
    }

    /// It failed on its way.
    pub(crate) fn fail(&mut self, error: String) {
        if let Some(event) = &mut self.event {
            event.error.get_or_insert(error);
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.admitted = None;
        self.tell();
    }

    fn tell(&mut self) {
        if let (Some(observe), Some(mut event)) = (self.observe.take(), self.event.take()) {
            event.duration = self.began.elapsed();
            observe(*event);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.fail("the client went away".to_owned());
        }
        self.tell();
    }
}
