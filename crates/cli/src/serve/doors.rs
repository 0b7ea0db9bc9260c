//! How Workers reach each other: each has a door, and one for each entry point that others bind.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use edge::{Door, Inside, Site};
use workers::spec::{EntrypointSocket, RPC_SOCKET};

/// The doors of one Worker, by its entry points; `None` is its default export.
#[derive(Debug, Default)]
pub(crate) struct Doors(BTreeMap<Option<String>, Door>);

/// Where a Worker's door is, whether it is open or not. Names are as long as their owners like, and
/// paths of sockets are short, so a hash stands for them.
pub(crate) fn path(folder: &Path, script: &str, entrypoint: Option<&str>) -> PathBuf {
    let name = match entrypoint {
        None => hashed(&[script]),
        Some(entrypoint) => format!("{}-{}", hashed(&[script]), hashed(&[entrypoint])),
    };
    folder.join(name)
}

/// The sockets that a Worker's process is to have for its entry points.
pub(crate) fn sockets(entrypoints: &[String]) -> Vec<EntrypointSocket> {
    let socket = |entrypoint: &String| EntrypointSocket {
        entrypoint: entrypoint.clone(),
        socket: socket(entrypoint),
    };
    entrypoints.iter().map(socket).collect()
}

fn socket(entrypoint: &str) -> String {
    format!("e-{}.sock", hashed(&[entrypoint]))
}

fn hashed(words: &[&str]) -> String {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

impl Doors {
    /// Opens those that are missing: of the Worker itself and of these entry points.
    pub(crate) fn open(
        &mut self,
        folder: &Path,
        script: &str,
        entrypoints: &[String],
        config: impl Fn() -> edge::Config,
    ) -> std::io::Result<()> {
        for entrypoint in std::iter::once(None).chain(entrypoints.iter().cloned().map(Some)) {
            if self.0.contains_key(&entrypoint) {
                continue;
            }
            let sockets = match &entrypoint {
                None => Inside { http: None, rpc: RPC_SOCKET.to_owned() },
                Some(name) => Inside { http: Some(socket(name)), rpc: socket(name) },
            };
            let path = path(folder, script, entrypoint.as_deref());
            let door = Door::open(&path, Site::inside(config(), sockets))?;
            self.0.insert(entrypoint, door);
        }
        Ok(())
    }

    /// Resolves as soon as no process works on a request that came through one of them.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let all: Vec<_> = self.0.values().map(|door| door.site().drained()).collect();
        async move {
            for drained in all {
                drained.await;
            }
        }
    }
}
