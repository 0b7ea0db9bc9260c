//! Bodies in both directions, never whole in memory.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use image::{StoreError, UploadSession};
use tokio::task::JoinHandle;
use tokio_util::io::poll_read_buf;

use crate::error::{ApiError, Code};
use crate::quota::Room;
use crate::reply::Body;

/// Bytes that are read or written at once.
const PIECE: usize = 512 * 1024;
/// What came is written when nothing more comes for this long: it is there should this process die.
const PAUSE: Duration = Duration::from_millis(50);
/// Who is refused may go on sending for so long, and so much: many clients read the answer only when
/// they have said all.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_BYTES: usize = 256 * 1024 * 1024;
/// A client that sends nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(5 * 60);

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    ApiError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(ApiError::from),
        Err(panicked) => Err(ApiError::internal(&panicked)),
    }
}

/// A part of a file as an answer's body.
pub(crate) async fn part(mut file: File, start: u64, length: u64) -> Result<Body, ApiError> {
    let seek = move || file.seek(SeekFrom::Start(start)).map(|_| file).map_err(StoreError::from);
    let file = tokio::fs::File::from_std(blocking(seek).await?);
    Ok(Part { file, left: length, buffer: BytesMut::new() }.boxed())
}

/// A part of a file on its way out. No thread waits for a slow client.
struct Part {
    file: tokio::fs::File,
    left: u64,
    buffer: BytesMut,
}

impl hyper::body::Body for Part {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Self { file, left, buffer } = &mut *self;
        buffer.reserve(PIECE.min(usize::try_from(*left).unwrap_or(PIECE)));
        match ready!(poll_read_buf(Pin::new(file), context, buffer)) {
            // The length was told already: a file that is shorter breaks the connection.
            Ok(0) => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let piece = buffer.split_to(most).freeze();
                buffer.clear();
                *left -= piece.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A small body as a whole.
///
/// # Errors
/// It is larger than `limit`, or breaks off.
pub(crate) async fn small(mut body: Incoming, limit: usize) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, message)
    };
    if body.size_hint().lower() > limit as u64 {
        linger(&mut body).await;
        return Err(too_large());
    }
    match tokio::time::timeout(SILENCE, Limited::new(body, limit).collect()).await {
        Err(_) => Err(broken("the client sent nothing for too long")),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(broken(&format!("the body broke off: {error}"))),
    }
}

/// Takes off the wire what still comes of a request that is refused.
pub(crate) async fn linger(body: &mut Incoming) {
    let discard = async {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(bytes) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(LINGER, discard).await;
}

/// Adds a request's body to an upload: while one piece is written, the next one comes in. Returns the
/// upload with all that came of it, and what went wrong.
pub(crate) async fn receive(
    session: UploadSession,
    body: &mut Incoming,
    room: Room,
    renew: impl Fn(),
) -> (Option<UploadSession>, Result<(), ApiError>) {
    let mut came = 0;
    let mut writing = Writing::Idle(session);
    loop {
        let (pieces, end) = pieces(body).await;
        came += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let session = match writing.done().await {
            Ok(session) => session,
            Err((session, error)) => return (session, Err(error)),
        };
        renew();
        if came > room.bytes {
            return (Some(session), Err(room.exceeded()));
        }
        writing = Writing::write(session, pieces);
        match end {
            None => {}
            Some(result) => {
                return match writing.done().await {
                    Ok(session) => (Some(session), result),
                    Err((session, error)) => (session, Err(error)),
                };
            }
        }
    }
}

/// The next pieces of a body, and how it ended, if it did.
async fn pieces(body: &mut Incoming) -> (Vec<Bytes>, Option<Result<(), ApiError>>) {
    let (mut pieces, mut size) = (Vec::new(), 0);
    while size < PIECE {
        let patience = if pieces.is_empty() { SILENCE } else { PAUSE };
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) if !pieces.is_empty() => break,
            Err(_) => return (pieces, Some(Err(broken("the client sent nothing for too long")))),
            Ok(None) => return (pieces, Some(Ok(()))),
            Ok(Some(Err(error))) => {
                return (pieces, Some(Err(broken(&format!("the body broke off: {error}")))));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(piece) = frame.into_data() {
                    size += piece.len();
                    pieces.push(piece);
                }
            }
        }
    }
    (pieces, None)
}

/// An upload, and what is just written to it.
enum Writing {
    Idle(UploadSession),
    Busy(JoinHandle<(UploadSession, Result<(), StoreError>)>),
}

impl Writing {
    fn write(mut session: UploadSession, pieces: Vec<Bytes>) -> Self {
        if pieces.is_empty() {
            return Self::Idle(session);
        }
        Self::Busy(tokio::task::spawn_blocking(move || {
            let written = pieces.iter().try_for_each(|piece| session.append(piece));
            (session, written)
        }))
    }

    async fn done(self) -> Result<UploadSession, (Option<UploadSession>, ApiError)> {
        match self {
            Self::Idle(session) => Ok(session),
            Self::Busy(task) => match task.await {
                Ok((session, Ok(()))) => Ok(session),
                Ok((session, Err(error))) => Err((Some(session), error.into())),
                Err(panicked) => Err((None, ApiError::internal(&panicked))),
            },
        }
    }
}

fn broken(message: &str) -> ApiError {
    ApiError::bad_request(Code::BlobUploadInvalid, message)
}
