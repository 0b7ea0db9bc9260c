//! TLS that ends here, with a certificate of our own authority, so that a Worker sees the request.

use std::io::{self, Cursor};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Guard, tcp};

/// How long a program may take over its part of the handshake.
const PATIENCE: Duration = Duration::from_secs(30);

/// Speaks TLS with the program as the server `name` and hands on what it says. `said` is the
/// beginning of its handshake.
pub(super) async fn terminate(
    program: &mut TcpStream,
    tunnel: &mut TcpStream,
    said: Vec<u8>,
    name: &str,
    guard: &Guard,
) -> io::Result<()> {
    let authority = guard.authority.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    let config = authority.server(name).map_err(io::Error::other)?;
    let (read, write) = program.split();
    let whole = tokio::io::join(Cursor::new(said).chain(read), write);
    let handshake = TlsAcceptor::from(config).accept(whole);
    let mut stream = tokio::time::timeout(PATIENCE, handshake).await??;
    tcp::copy(&mut stream, tunnel, &[]).await.map(drop)
}
