//! How other Workers of this machine reach one: a unix socket that stays where it is, whatever process
//! serves the Worker, and waits while none does.
//!
//! Requests go to the Worker as at the edge, but as they are: they come from a Worker, not from a
//! client. A `CONNECT` becomes a tunnel in which two workerd processes speak to each other: calls of
//! methods. A tunnel ends with its process, and its other end makes the next one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::arrival::Peer;
use crate::site::{Lifecycle, Site};

/// Pause after an accept that failed, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The sockets of a process by which other Workers reach it, beside the one it is known by.
#[derive(Debug, Clone)]
pub struct Inside {
    /// Takes requests; `None` for the one it is known by.
    pub http: Option<String>,
    /// Takes `CONNECT`s.
    pub rpc: String,
}

/// A door that is open; closed when dropped.
#[derive(Debug)]
pub struct Door {
    task: AbortHandle,
    path: PathBuf,
    site: Site,
}

impl Door {
    /// Opens one at `path`, in place of what is there, to a site made by [`Site::inside`].
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open(path: &Path, site: Site) -> std::io::Result<Self> {
        match fs_err::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let task = tokio::spawn(accept(listener, site.clone())).abort_handle();
        Ok(Self { task, path: path.to_owned(), site })
    }

    /// What it leads to.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
        // Another may have been opened there, or the folder be gone.
        let _ = fs_err::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, site: Site) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    let lifecycle = Lifecycle::default();
    let _end = lifecycle.cut.clone().drop_guard();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, site.clone(), lifecycle.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept from a Worker");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: UnixStream, site: Site, lifecycle: Lifecycle) {
    let service = service_fn(|request: Request<Incoming>| {
        let (site, lifecycle) = (site.clone(), lifecycle.clone());
        async move {
            match *request.method() == Method::CONNECT {
                true => site.0.connect(request, &lifecycle).await,
                false => site.0.serve(request, Peer::inside(), &lifecycle).await,
            }
        }
    });
    let served =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection of a Worker");
    }
}
