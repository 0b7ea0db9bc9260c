//! Kept-alive connections to the current process's socket.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::body::Upload;

/// How long a connection may be idle. workerd closes one after 5 s, and a request must not meet
/// that moment.
const IDLE: Duration = Duration::from_secs(3);

/// The idle connections to one process; those of earlier processes are dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Idle>>);

#[derive(Debug, Default)]
struct Idle {
    path: PathBuf,
    /// Oldest first.
    connections: VecDeque<(Instant, SendRequest<Upload>)>,
}

/// A connection in use by one request; closed when dropped, unless given back.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Pool,
    path: PathBuf,
    pub(crate) sender: SendRequest<Upload>,
    /// Whether it has served a request before.
    pub(crate) reused: bool,
}

impl Pool {
    /// An idle connection to the socket at `path`, or a new one.
    pub(crate) async fn lease(&self, path: &Path) -> io::Result<Lease> {
        while let Some(mut sender) = self.pop(path) {
            // Given back at the last byte of an answer, it may need a moment to notice; a closed one
            // is an error.
            if sender.ready().await.is_ok() {
                return Ok(Lease {
                    pool: self.clone(),
                    path: path.to_owned(),
                    sender,
                    reused: true,
                });
            }
        }
        self.connect(path).await
    }

    /// A new connection.
    pub(crate) async fn connect(&self, path: &Path) -> io::Result<Lease> {
        let stream = UnixStream::connect(path).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Ends when its sender and its last body are dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to the process");
            }
        });
        Ok(Lease { pool: self.clone(), path: path.to_owned(), sender, reused: false })
    }

    fn pop(&self, path: &Path) -> Option<SendRequest<Upload>> {
        let mut idle = self.idle();
        if idle.path != path {
            return None;
        }
        let (since, sender) = idle.connections.pop_back()?;
        if since.elapsed() > IDLE {
            // Then all others are older.
            idle.connections.clear();
            return None;
        }
        Some(sender)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        // No code that could panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The answer is whole: the next request may use the connection.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle();
        if idle.path != self.path {
            idle.connections.clear();
            idle.path.clone_from(&self.path);
        }
        while idle.connections.front().is_some_and(|(since, _)| since.elapsed() > IDLE) {
            idle.connections.pop_front();
        }
        idle.connections.push_back((Instant::now(), self.sender));
    }
}
