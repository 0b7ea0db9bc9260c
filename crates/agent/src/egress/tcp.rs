//! TCP: each connection of the instance goes to its Worker, or is dialled again from the host, or
//! is refused.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::EGRESS_PORT;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::intercept::{Answer, Hint, Question};
use super::opening::{self, Opening};
use super::{DNS_PORT, Guard, dns, tls};

/// How long dialling may take: about as long as the kernel tries a few times.
const DIAL_PATIENCE: Duration = Duration::from_secs(15);
/// Connections of one instance at once.
const MOST_CONNECTIONS: usize = 4096;
/// Bytes buffered in each direction.
const BUFFER: usize = 16 * 1024;

/// Takes connections until dropped.
pub(super) async fn relay(listener: TcpListener, guard: Arc<Guard>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(carry(stream, Arc::clone(&guard)));
                }
                Err(error) => {
                    tracing::debug!(%error, "an outbound connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection. Its local address is where the program wanted to go.
async fn carry(mut program: TcpStream, guard: Arc<Guard>) {
    let Ok(destination) = program.local_addr() else { return };
    let outbound = guard.outbound();
    let direct = destination.ip().is_loopback() && destination.port() == EGRESS_PORT;
    if direct || !outbound.wants_route() {
        return refuse(&program);
    }
    let _ = program.set_nodelay(true);
    if destination.port() == DNS_PORT {
        return dns::serve(program, &guard).await;
    }
    if outbound.hosts.is_empty() {
        return pass(program, destination, &guard, Opening::none()).await;
    }
    let reachable = guard.judge(&outbound, destination).is_ok().then_some(destination);
    // Boxed: most connections have no handlers and should not carry this state.
    let opened = Box::pin(opening::listen(&mut program, destination, reachable)).await;
    let Some(opening) = opened else { return refuse(&program) };
    let sniffed = opening.sniffed.clone();
    let question = Question::about(destination, sniffed, &outbound, reachable.is_none())
        .filter(|_| !opening.server_first);
    let Some(question) = question else { return pass(program, destination, &guard, opening).await };
    let tls_name = match &question.hint {
        Hint::Tls(name) => Some(name.clone()),
        Hint::Http(_) | Hint::None => None,
    };
    match guard.ask(question).await {
        Ok(Answer::Handled(tunnel)) => {
            handled(program, tunnel, opening.said, tls_name, &guard).await
        }
        Ok(Answer::Passed) => pass(program, destination, &guard, opening).await,
        Err(error) => {
            tracing::warn!(%destination, %error, "a Worker could not be asked about a connection");
            refuse(&program);
        }
    }
}

/// A connection that no Worker handles.
async fn pass(mut program: TcpStream, destination: SocketAddr, guard: &Guard, opening: Opening) {
    if let Err(reason) = guard.judge(&guard.outbound(), destination) {
        guard.tell(destination, reason);
        return refuse(&program);
    }
    let world = match opening.world {
        Some(world) => Some(world),
        None => dial(&[destination]).await,
    };
    let Some(mut world) = world else { return refuse(&program) };
    let _ = world.set_nodelay(true);
    let copied = copy(&mut program, &mut world, &opening.said).await;
    match copied {
        Ok((sent, received)) => {
            let instance = guard.reports.as_ref().map(|(subject, _)| subject.instance.to_string());
            tracing::debug!(instance, %destination, sent, received, "egress");
        }
        // Whatever broke one side, the other must not take it for a regular end.
        Err(_) => {
            refuse(&program);
            refuse(&world);
        }
    }
}

/// A connection that a Worker handles: HTTP/1.1 in plain text on the tunnel.
async fn handled(
    mut program: TcpStream,
    mut tunnel: TcpStream,
    said: Vec<u8>,
    tls_name: Option<String>,
    guard: &Guard,
) {
    let copied = match tls_name {
        None => copy(&mut program, &mut tunnel, &said).await.map(drop),
        Some(name) => tls::terminate(&mut program, &mut tunnel, said, &name, guard).await,
    };
    if let Err(error) = copied {
        tracing::debug!(%error, "a handled connection broke");
        refuse(&program);
        refuse(&tunnel);
    }
}

/// Copies in both directions, beginning with what the near side has said already.
pub(super) async fn copy<N, F>(near: &mut N, far: &mut F, said: &[u8]) -> io::Result<(u64, u64)>
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    far.write_all(said).await?;
    copy_bidirectional_with_sizes(near, far, BUFFER, BUFFER).await
}

pub(super) async fn dial(addresses: &[SocketAddr]) -> Option<TcpStream> {
    for address in addresses {
        let dialled = tokio::time::timeout(DIAL_PATIENCE, TcpStream::connect(address)).await;
        if let Ok(Ok(stream)) = dialled {
            return Some(stream);
        }
    }
    None
}

/// Makes the coming close a reset, so that the program sees a failure and not an empty answer.
fn refuse(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
