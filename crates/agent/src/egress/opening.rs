//! The first moments of a connection whose destination a Worker may handle: who speaks first, and
//! what the program says.
//!
//! A program that speaks HTTP or TLS speaks first. On ports where that is not certain the destination
//! is dialled meanwhile, if the program may reach it: when the server is first, it is no such
//! protocol, and nobody has waited for a program that had nothing to say.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::intercept::is_web;
use super::sniff::{Sniffed, sniff};
use super::tcp::dial;

/// How long a program may take to say whom it wants to speak to.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take once its destination is known to be out of reach.
const PATIENCE_ALONE: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Debug)]
pub(super) struct Opening {
    /// Everything the program has said.
    pub(super) said: Vec<u8>,
    /// What that is.
    pub(super) sniffed: Sniffed,
    /// The destination, if it was dialled.
    pub(super) world: Option<TcpStream>,
    /// Whether the destination has spoken first.
    pub(super) server_first: bool,
}

impl Opening {
    /// Of a connection that nobody listened to.
    pub(super) fn none() -> Self {
        let (said, sniffed) = (Vec::new(), Sniffed::Incomplete);
        Self { said, sniffed, world: None, server_first: false }
    }
}

/// Waits for the first bytes; `None` when the program goes away or says too little for too long.
/// `direct` is where it may be connected to.
pub(super) async fn listen(
    program: &mut TcpStream,
    destination: SocketAddr,
    direct: Option<SocketAddr>,
) -> Option<Opening> {
    let mut opening = Opening::none();
    let ahead = direct.filter(|_| !is_web(destination.port()));
    let mut deadline = tokio::time::Instant::now() + PATIENCE;
    let dialling = async {
        match ahead {
            Some(address) => dial(&[address]).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(dialling);
    let mut dialled = false;
    loop {
        tokio::select! {
            biased;
            read = program.read_buf(&mut opening.said) => {
                if read.ok()? == 0 {
                    // All it wanted to say, without an answer yet.
                    let over = !opening.said.is_empty();
                    opening.sniffed = Sniffed::Other;
                    return over.then_some(opening);
                }
                opening.sniffed = sniff(&opening.said);
                if opening.sniffed != Sniffed::Incomplete {
                    return Some(opening);
                }
            }
            world = &mut dialling, if !dialled => {
                dialled = true;
                if world.is_none() {
                    deadline = deadline.min(tokio::time::Instant::now() + PATIENCE_ALONE);
                }
                opening.world = world;
            }
            () = speaks(opening.world.as_ref()) => {
                opening.server_first = true;
                opening.sniffed = Sniffed::Other;
                return Some(opening);
            }
            () = tokio::time::sleep_until(deadline) => return None,
        }
    }
}

/// Until the destination says something or ends.
async fn speaks(world: Option<&TcpStream>) {
    match world {
        Some(world) => _ = world.peek(&mut [0]).await,
        None => std::future::pending().await,
    }
}
