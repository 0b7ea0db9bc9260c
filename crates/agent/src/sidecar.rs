//! The sidecar workerd believes in: a listener of the agent's own for each instance, speaking the
//! port protocol of `workerd.md` §1.1. No process, no image, no network of its own.

mod hold;
mod http;
mod peer;
mod tunnel;

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use http::fuzz;
pub(crate) use peer::PeerLookup;

use crate::egress::outbound::Outbound;
use crate::node::Node;
use crate::slot::Current;

/// A listening sidecar. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub(crate) struct Sidecar {
    port: u16,
    owner: Arc<AtomicU32>,
    _task: AbortOnDropHandle<()>,
}

/// What a connection needs to know.
#[derive(Debug, Clone)]
struct Shared {
    node: Arc<Node>,
    current: Current,
    outbound: watch::Sender<Outbound>,
    /// The user whose workerd process may connect.
    owner: Arc<AtomicU32>,
}

impl Sidecar {
    /// Begins to listen on a free port of 127.0.0.1 for processes of the user `owner`. It listens
    /// when this returns: workerd would otherwise wait 200 ms and try again.
    ///
    /// # Errors
    /// No port could be had.
    pub(crate) fn start(
        node: Arc<Node>,
        current: Current,
        outbound: watch::Sender<Outbound>,
        owner: u32,
    ) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let port = listener.local_addr()?.port();
        let owner = Arc::new(AtomicU32::new(owner));
        let shared = Shared { node, current, outbound, owner: Arc::clone(&owner) };
        let task = AbortOnDropHandle::new(tokio::spawn(accept(listener, shared)));
        Ok(Self { port, owner, _task: task })
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on processes of that user may connect.
    pub(crate) fn set_owner(&self, owner: u32) {
        self.owner.store(owner, Ordering::Release);
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if is_owners(&stream, &shared) => {
                    connections.spawn(http::serve(stream, shared.clone()));
                }
                Ok((_, peer)) => tracing::warn!(%peer, "another user's connection to an instance refused"),
                Err(error) => {
                    tracing::warn!(%error, "an instance's port cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Whether the other end belongs to the workerd process: the port stands on the host's loopback,
/// but is for the instance's Worker alone.
fn is_owners(stream: &TcpStream, shared: &Shared) -> bool {
    let owner = || {
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        shared.node.peers.owner(peer, local)
    };
    match owner() {
        Ok(owner) => owner == Some(shared.owner.load(Ordering::Acquire)),
        Err(error) => {
            tracing::warn!(%error, "the owner of a connection could not be found out");
            false
        }
    }
}
