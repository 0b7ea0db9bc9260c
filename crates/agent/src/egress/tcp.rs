//! TCP: each connection of the instance is dialled again from the host and copied.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::EGRESS_PORT;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Guard, Route};

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
    let direct = destination.ip().is_loopback() && destination.port() == EGRESS_PORT;
    let route = if direct { None } else { guard.route(destination) };
    let world = match route {
        Some(Route::Direct(destination)) => dial(&[destination]).await,
        Some(Route::Resolver) => dial(&guard.rules.resolvers).await,
        None => None,
    };
    let Some(mut world) = world else { return refuse(&program) };
    let _ = (program.set_nodelay(true), world.set_nodelay(true));
    match copy_bidirectional_with_sizes(&mut program, &mut world, BUFFER, BUFFER).await {
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

async fn dial(addresses: &[SocketAddr]) -> Option<TcpStream> {
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
