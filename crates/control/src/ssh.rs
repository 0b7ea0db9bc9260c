//! SSH into instances: `wrangler containers ssh`.
//!
//! A client asks the API for a ticket and an address (`api::ssh`), opens a WebSocket there, and speaks
//! SSH over its bytes. The server is here, in this process: instances need no sshd, and have none. Who
//! is let in is decided by the application's keys ([`keys`]) alone; what they get is a program that the
//! platform runs beside the instance's own ([`program`]). Nothing is forwarded.

mod host_key;
pub(crate) mod keys;
mod program;
mod server;
mod tickets;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use russh::keys::{HashAlg, PublicKey};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use crate::platform::Platform;
use crate::streams::{CHUNK, socket};
pub use host_key::{SshHostKey, SshHostKeyError};
use keys::Keys;
pub(crate) use tickets::Tickets;

/// The user that clients log in as, whatever the instance's program runs as: wrangler's.
const USER: &str = "cloudchamber";
/// How long a client may take to prove who it is.
const LOGIN_GRACE: Duration = Duration::from_secs(120);
/// Bytes on their way that nobody has taken yet.
const BUFFER: usize = 64 * 1024;

/// What it takes to let clients in; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Ssh {
    pub(crate) host_key: SshHostKey,
    pub(crate) tickets: Tickets,
}

impl Ssh {
    pub(crate) fn new(host_key: SshHostKey) -> Self {
        Self { host_key, tickets: Tickets::default() }
    }
}

/// Whom a connection may belong to, and what it leads to.
pub(crate) struct Entrance {
    pub(crate) platform: Arc<dyn Platform>,
    /// The instance's id.
    pub(crate) instance: String,
    pub(crate) keys: Keys,
    pub(crate) host_key: SshHostKey,
}

/// Serves one WebSocket, until either side ends it or nobody has logged in for too long.
pub(crate) async fn serve(connection: impl AsyncRead + AsyncWrite + Unpin, entrance: Entrance) {
    let (ours, servers) = tokio::io::duplex(BUFFER);
    let (known, is_known) = oneshot::channel();
    let instance = entrance.instance.clone();
    // It ends with its stream.
    tokio::spawn(server::serve(servers, entrance, known));
    let too_late = async {
        if tokio::time::timeout(LOGIN_GRACE, is_known).await.is_ok() {
            // It was in time, or the server has ended, and so do the bytes.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = carry(connection, ours) => {}
        () = too_late => tracing::info!(instance, "an SSH client did not log in in time"),
    }
}

/// Hands bytes between a WebSocket and the server until either is at its end.
async fn carry(connection: impl AsyncRead + AsyncWrite + Unpin, stream: DuplexStream) {
    let (mut to, mut from) = socket(connection).await.split();
    let (mut output, mut input) = tokio::io::split(stream);
    let sending = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = output.read(&mut buffer).await {
            if to.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
        // Who has gone already is told nothing.
        let _ = to.close().await;
    };
    let receiving = async {
        while let Some(Ok(message)) = from.next().await {
            match message {
                Message::Binary(bytes) if input.write_all(&bytes).await.is_err() => {
                    // What the server has still said is on its way.
                    std::future::pending::<()>().await;
                }
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
}

/// How a key is named in logs.
fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}
