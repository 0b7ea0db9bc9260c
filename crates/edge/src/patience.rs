//! How long a client is waited for: one that takes no bytes, or sends no more of its body, or has
//! nothing to ask, is let go.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A client that takes not one byte for this long is gone (nginx's `send_timeout`).
const WRITE: Duration = Duration::from_secs(60);

/// Ends what waits for too long, once polled in vain.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Duration,
    /// Made when there is something to wait for.
    sleep: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, waits: false }
    }

    /// What was waited for came.
    pub(crate) fn over(&mut self) {
        self.waits = false;
    }

    /// It has not come: is ready once that is so for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !self.waits {
            sleep.as_mut().reset(deadline);
            self.waits = true;
        }
        sleep.as_mut().poll(cx)
    }
}

/// A client's connection that fails once the client takes nothing for too long.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    stall: Stall,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, stall: Stall::new(WRITE) }
    }

    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall.over();
            return polled;
        }
        ready!(self.stall.poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, polled)
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    began: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    pub(crate) fn begin(&self) {
        self.began.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there has been none.
    pub(crate) fn is_new(&self) -> bool {
        self.began.load(Ordering::Relaxed) == 0
    }

    /// Resolves when there has been none for `limit`, and at the latest after twice that.
    pub(crate) async fn idle(&self, limit: Duration) {
        let mut seen = None;
        loop {
            let (began, ended) =
                (self.began.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed));
            if began == ended && seen == Some(began) {
                return;
            }
            seen = Some(began);
            sleep(limit).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go_and_a_slow_one_is_not() {
        let (client, server) = tokio::io::duplex(8);
        let mut server = Patient::new(server);
        let mut client = client;
        let slow = tokio::spawn(async move {
            let mut taken = [0; 8];
            for _ in 0..3 {
                sleep(WRITE / 2).await;
                tokio::io::AsyncReadExt::read_exact(&mut client, &mut taken).await.expect("bytes");
            }
            client
        });
        server.write_all(&[1; 32]).await.expect("half the limit is not too long");
        let _client = slow.await.expect("no panic");
        let error = server.write_all(&[1; 32]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_it_has_asked_nothing_for_a_while() {
        let limit = Duration::from_secs(10);
        let activity = Activity::default();
        activity.begin();
        let busy = tokio::time::timeout(limit * 5, activity.idle(limit)).await;
        assert!(busy.is_err(), "a request that takes long is no idleness");
        activity.end();
        let began = Instant::now();
        activity.idle(limit).await;
        assert_eq!(began.elapsed(), limit);
    }
}
