//! `/containers/{name}/archive`: files into and out of a container, as tar archives.
//!
//! Before the start, what comes in becomes a layer of that instance alone; afterwards it is unpacked
//! where the program sees it.

use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use image::{
    Archived, Ids, ImageStore, LiveTree, Origin, PathStat, StoreError, UnpackLimits, Upload,
};
use model::instance::{Rejected, State};
use model::limits::ARCHIVE_BYTES;
use runtime::Sandbox;
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::Api;
use super::reply::{HttpReply, Reply};
use crate::instance::{Injection, Instance, Request};

/// Bytes that are read or written at once.
const PIECE: usize = 256 * 1024;
/// Pieces that may wait for a slow disk or a slow reader.
const PIECES_AHEAD: usize = 4;

/// Files of one archive; a tree with more is not what this is for.
const MOST_ENTRIES: u64 = 1_000_000;

/// Why an archive is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("failed to read the archive: {0}")]
    Body(#[source] hyper::Error),
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    #[error("failed to unpack the archive at {path}: {source}")]
    Unpack { path: String, source: image::UnpackError },
    #[error("failed to {step}: {source}")]
    Sandbox { step: &'static str, source: io::Error },
    #[error("the container is not running")]
    NotRunning,
    #[error("Could not find the file {0} in the container")]
    NotFound(String),
    #[error("{0} is on what is mounted in the container: no files go in or out there")]
    Mounted(String),
}

impl From<ArchiveError> for Reply {
    fn from(error: ArchiveError) -> Self {
        let status = match &error {
            ArchiveError::Body(_) | ArchiveError::Unpack { .. } | ArchiveError::Mounted(_) => {
                StatusCode::BAD_REQUEST
            }
            ArchiveError::Store(StoreError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            ArchiveError::NotFound(_) => StatusCode::NOT_FOUND,
            ArchiveError::NotRunning => StatusCode::CONFLICT,
            ArchiveError::Store(_) | ArchiveError::Sandbox { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::error(status, error.to_string())
    }
}

/// Bounds of what comes in.
pub(super) fn limits() -> UnpackLimits {
    UnpackLimits { bytes: 2 * ARCHIVE_BYTES, entries: MOST_ENTRIES }
}

/// Takes a request's body off the wire.
pub(crate) async fn receive(store: &ImageStore, body: Incoming) -> Result<Upload, Reply> {
    receive_up_to(store, body, ARCHIVE_BYTES).await
}

/// The same, of at most `limit` bytes.
pub(crate) async fn receive_up_to(
    store: &ImageStore,
    body: Incoming,
    limit: u64,
) -> Result<Upload, Reply> {
    receive_into(store, body, limit).await.map_err(Reply::from)
}

/// The same, for those who answer in words of their own.
pub(crate) async fn receive_into(
    store: &ImageStore,
    mut body: Incoming,
    limit: u64,
) -> Result<Upload, ArchiveError> {
    let (pieces, mut arriving) = mpsc::channel::<Bytes>(PIECES_AHEAD);
    let store = store.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut upload = store.upload(limit)?;
        while let Some(piece) = arriving.blocking_recv() {
            upload.write(&piece)?;
        }
        Ok::<_, StoreError>(upload)
    });
    let mut broken = None;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Ok(piece) = frame.into_data() else { continue };
                if pieces.send(piece).await.is_err() {
                    // The writer has given up, and says why.
                    break;
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(pieces);
    let upload = writing.await.map_err(|error| ArchiveError::Sandbox {
        step: "keep the archive",
        source: error.into(),
    })??;
    broken.map_or(Ok(upload), |error| Err(ArchiveError::Body(error)))
}

/// `PUT /containers/{name}/archive`
pub(crate) async fn put(instance: &Instance, path: String, upload: Upload) -> Reply {
    match unpack(instance, path, upload).await {
        Ok(()) => Reply::empty(StatusCode::OK),
        Err(error) => error.into(),
    }
}

/// Unpacks an archive into the directory at `path`.
pub(crate) async fn unpack(
    instance: &Instance,
    path: String,
    upload: Upload,
) -> Result<(), ArchiveError> {
    if instance.state() == State::Created {
        let injection = Injection { path, archive: Arc::new(upload) };
        let told = instance.tell(Request::Inject(injection)).await;
        return told.map_err(|_: Rejected| ArchiveError::NotRunning);
    }
    let sandbox = running(instance)?;
    blocking(move || {
        let failed = |step| move |source| ArchiveError::Sandbox { step, source };
        let tree = live_tree(&sandbox)?;
        let archive = upload.reader().map_err(failed("read the archive"))?;
        let unpack = || tree.unpack(archive, Path::new(&path), limits());
        let done = sandbox.as_root(unpack).map_err(failed("become the container's root"))?;
        done.map_err(|source| ArchiveError::Unpack { path, source })
    })
    .await
}

/// `GET /containers/{name}/archive`
pub(crate) async fn get(api: &Api, instance: &Instance, path: String) -> HttpReply {
    match pack(api.node.snapshots.store(), instance, path.clone()).await {
        Ok(archived) => {
            api.volumes.remember(archived.digest, origin(instance, &path));
            let mut reply = Response::new(FileBody::new(archived.file, archived.size).boxed());
            let kind = HeaderValue::from_static("application/x-tar");
            reply.headers_mut().insert(header::CONTENT_TYPE, kind);
            reply
        }
        Err(error) => Reply::from(error).into_http(),
    }
}

/// The files at a path, as they all are at one moment.
pub(crate) async fn pack(
    store: &ImageStore,
    instance: &Instance,
    path: String,
) -> Result<Archived, ArchiveError> {
    let store = store.clone();
    let sandbox = running(instance)?;
    blocking(move || {
        let failed = |step| move |source| ArchiveError::Sandbox { step, source };
        let tree = live_tree(&sandbox)?;
        let paused = sandbox.pause().map_err(failed("pause the container"))?;
        let archived = store.archive(&tree, &path, ARCHIVE_BYTES)?;
        drop(paused);
        archived.ok_or(ArchiveError::NotFound(path))
    })
    .await
}

/// What `X-Docker-Container-Path-Stat` says of a path: base64 of JSON, the mode in Go's bits.
pub(crate) async fn stat(instance: &Instance, path: &str) -> Result<String, Reply> {
    let found = look(instance, path).await.map_err(Reply::from)?;
    let found = found.ok_or_else(|| Reply::from(ArchiveError::NotFound(path.to_owned())))?;
    let name = Path::new(path).file_name().unwrap_or("/".as_ref()).to_string_lossy();
    let modified = jiff::Timestamp::from_second(found.modified).unwrap_or_default();
    let json = serde_json::json!({
        "name": name,
        "size": found.size,
        "mode": go_mode(found.mode),
        "mtime": modified.to_string(),
        "linkTarget": found.link.unwrap_or_default(),
    });
    Ok(STANDARD.encode(json.to_string()))
}

/// What is at a path, links not followed; `None` when nothing is.
pub(crate) async fn look(
    instance: &Instance,
    path: &str,
) -> Result<Option<PathStat>, ArchiveError> {
    let asked = path.to_owned();
    let sandbox = running(instance)?;
    blocking(move || {
        let tree = live_tree(&sandbox)?;
        tree.stat(Path::new(asked.trim_end_matches("/."))).map_err(|source| {
            if Errno::from_io_error(&source) == Some(Errno::XDEV) {
                return ArchiveError::Mounted(asked);
            }
            ArchiveError::Sandbox { step: "look into the container", source }
        })
    })
    .await
}

/// `st_mode` in the bits of Go's `fs.FileMode`.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let bit = |own: u32, go: u32| if mode & own != 0 { 1 << go } else { 0 };
    kind | bit(0o4000, 23) | bit(0o2000, 22) | bit(0o1000, 20) | mode & 0o777
}

/// Where an archive comes from, should it become a snapshot.
fn origin(instance: &Instance, path: &str) -> Origin {
    let directory = path.strip_suffix("/.").unwrap_or(path);
    let image = instance.published().running.map(|running| running.files.image.clone());
    Origin {
        application: Some(instance.key.to_string()),
        object: Some(instance.subject.object.to_string()),
        image,
        path: Some(if directory.is_empty() { "/" } else { directory }.to_owned()),
        created: 0,
    }
}

fn running(instance: &Instance) -> Result<Sandbox, ArchiveError> {
    let published = instance.published();
    let running = published.running.filter(|_| published.state.is_live());
    running.map(|running| running.sandbox).ok_or(ArchiveError::NotRunning)
}

fn live_tree(sandbox: &Sandbox) -> Result<LiveTree, ArchiveError> {
    let open = || {
        let [users, groups] = sandbox.id_maps()?;
        Ok(LiveTree::new(sandbox.root()?, Ids::parse(&users, &groups)))
    };
    open().map_err(|source| ArchiveError::Sandbox { step: "look into the container", source })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(ArchiveError::Sandbox { step: "finish the archive", source: error.into() })
    })
}

/// A file on its way out.
struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl FileBody {
    fn new(file: std::fs::File, size: u64) -> Self {
        Self { pieces: pieces(file, size), left: size }
    }
}

/// The first `size` bytes of a file, read a piece at a time.
pub(crate) fn pieces(file: std::fs::File, size: u64) -> mpsc::Receiver<io::Result<Bytes>> {
    let (send, pieces) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut file = file.take(size);
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
            let piece = match read {
                Ok(0) => return,
                read => read.map(|_| Bytes::from(piece)),
            };
            // The reader has had enough, or the disk has.
            if piece.is_err() | send.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    pieces
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| {
            piece.map(|piece| {
                let piece = piece?;
                self.left = self.left.saturating_sub(piece.len() as u64);
                Ok(Frame::data(piece))
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
