//! Engine sockets: one for each workerd process, so that the agent knows who calls.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::docker_api::{self, Api};
use crate::peer::{EngineProcess, Peer};

/// Longest path a unix socket can have, its final zero left out.
const MOST_PATH_BYTES: usize = 107;

/// An engine socket could not be made. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Its directory could not be made or trusted.
    #[error("make the directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket could not be bound.
    #[error("listen on {path}: {source}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The Docker API for one workerd process. Dropping it closes the socket and removes its file.
#[derive(Debug)]
pub struct EngineSocket {
    path: PathBuf,
    process: Arc<EngineProcess>,
    _task: AbortOnDropHandle<()>,
}

impl EngineSocket {
    pub(crate) fn open(directory: &Path, name: &str, api: Arc<Api>) -> Result<Self, SocketError> {
        let path = place(directory, name)?;
        let listener = listen(&path)?;
        let process = Arc::default();
        let serve = move |stream, peer| docker_api::serve(stream, Arc::clone(&api), peer);
        let task = tokio::spawn(accept(listener, Arc::clone(&process), serve));
        Ok(Self { path, process, _task: AbortOnDropHandle::new(task) })
    }

    /// The socket's path; in workerd's configuration it stands behind `unix:`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process is about to be stopped: what it deletes on its way out goes on running, for
    /// `model::limits::DETACH_WINDOW`, until the next process asks for it.
    pub fn drain(&self) {
        self.process.drain(true);
    }

    /// Where the process serves requests. One that no longer listens there counts as draining: it
    /// was told to end by somebody else.
    pub fn serves_at(&self, ingress: impl Fn() -> Option<PathBuf> + Send + Sync + 'static) {
        self.process.serves_at(Box::new(ingress));
    }

    /// The process stays after all.
    pub fn undrain(&self) {
        self.process.drain(false);
    }

    /// Closes the socket; calls under way are broken off.
    pub fn close(self) {}
}

impl Drop for EngineSocket {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(&self.path);
    }
}

/// Listens at that path, for its owner alone, in the place of whatever was there.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let listen = || {
        match fs_err::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    listen().map_err(|source| SocketError::Listen { path: path.to_owned(), source })
}

/// Serves every connection, until this is dropped.
pub(crate) async fn accept<S: Future<Output = ()> + Send + 'static>(
    listener: UnixListener,
    process: Arc<EngineProcess>,
    serve: impl Fn(UnixStream, Peer) -> S,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted.and_then(|(s, _)| Ok((Peer::of(&s, &process)?, s))) {
                Ok((peer, stream)) => {
                    connections.spawn(serve(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "the engine socket cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// `<directory>/<name>.sock`, or, where that is too long for a socket, a private directory below the
/// system's one for temporary files.
fn place(directory: &Path, name: &str) -> Result<PathBuf, SocketError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| SocketError::Directory { path, source }
    };
    let file = format!("{name}.sock");
    let path = directory.join(&file);
    if path.as_os_str().len() <= MOST_PATH_BYTES {
        fs_err::create_dir_all(directory).map_err(error(directory))?;
        return Ok(path);
    }
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let short = std::env::temp_dir().join(format!("berth-{digest}"));
    private_directory(&short).map_err(error(&short))?;
    Ok(short.join(file))
}

/// Makes a directory that is ours alone, or makes sure that the one there is: in a directory others
/// can write to, they might have been first.
fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs_err::symlink_metadata(path)?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.is_dir() && ours && metadata.mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to somebody else"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_long_for_a_socket_is_replaced_by_a_private_short_one() {
        let long = Path::new("/tmp").join("x".repeat(120));
        let path = place(&long, "w").unwrap();
        assert!(path.as_os_str().len() <= MOST_PATH_BYTES);
        let directory = path.parent().unwrap();
        assert_eq!(fs_err::metadata(directory).unwrap().mode() & 0o777, 0o700);
        fs_err::remove_dir(directory).unwrap();
    }

    #[test]
    fn a_directory_others_can_enter_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        fs_err::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(private_directory(directory.path()).is_err());
    }
}
