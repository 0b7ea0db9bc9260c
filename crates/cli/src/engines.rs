//! The agent's sockets of one Worker: each of its processes has its own, so that the agent knows the
//! old one's calls from the new one's.

use std::path::PathBuf;

use agent::{Agent, EngineSocket};
use tokio::sync::watch;

use crate::error::CliError;

/// The socket of the process that serves, and that of the one that is to.
#[derive(Debug)]
pub(crate) struct Engines {
    /// What the sockets' files begin with.
    name: String,
    count: u32,
    current: Option<EngineSocket>,
    next: Option<EngineSocket>,
}

impl Engines {
    /// None yet; their files' names begin with `name`.
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), count: 0, current: None, next: None }
    }

    /// The socket for the next workerd process. What the current one deletes from now on only
    /// detaches, so that its instances live on under the next.
    ///
    /// `upstream` says where the process serves requests: so the agent sees when somebody else ends
    /// it, which must not end its instances either.
    pub(crate) fn next(
        &mut self,
        agent: &Agent,
        upstream: watch::Receiver<Option<PathBuf>>,
    ) -> Result<PathBuf, CliError> {
        self.count += 1;
        let socket = agent
            .engine_socket(&format!("{}{}", self.name, self.count))
            .map_err(|error| CliError::failure("open the container engine's socket", error))?;
        socket.serves_at(move || upstream.borrow().clone());
        let path = socket.path().to_owned();
        self.drain();
        self.next = Some(socket);
        Ok(path)
    }

    /// Whether the process that [`Self::next`] was for serves; otherwise the one before it does.
    pub(crate) fn deployed(&mut self, serves: bool) {
        let next = self.next.take();
        match &self.current {
            Some(current) if !serves => current.undrain(),
            _ => self.current = next,
        }
    }

    /// From now on what workerd deletes only detaches.
    pub(crate) fn drain(&self) {
        if let Some(current) = &self.current {
            current.drain();
        }
    }
}
