//! UDP: one host socket for each (program socket, destination), until it has been quiet for a while.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use runtime::EgressUdp;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::intercept::is_web;
use super::outbound::Outbound;
use super::{DNS_PORT, Guard, dns};

/// How long a quiet flow is kept.
const IDLE: Duration = Duration::from_secs(60);
/// Flows of one instance at once; datagrams of further ones are dropped, as a full router would.
const MOST_FLOWS: usize = 256;
/// Name lookups of one instance at once.
const MOST_LOOKUPS: usize = 256;
/// The longest datagram there is.
const DATAGRAM: usize = 65_535;

/// A program's socket and where it sends.
type Flow = (SocketAddrV4, SocketAddrV4);

/// Takes datagrams until dropped.
pub(super) async fn relay(program: EgressUdp, guard: Arc<Guard>) {
    let program = Arc::new(program);
    let lookups = Arc::new(Semaphore::new(MOST_LOOKUPS));
    let mut flows: HashMap<Flow, Arc<UdpSocket>> = HashMap::new();
    let mut tasks: JoinSet<Option<Flow>> = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let datagram = tokio::select! {
            received = program.recv(&mut buffer) => match received {
                Ok(datagram) => datagram,
                Err(error) => {
                    tracing::debug!(%error, "outbound datagrams cannot be received");
                    return;
                }
            },
            Some(ended) = tasks.join_next() => {
                if let Ok(Some(flow)) = ended {
                    flows.remove(&flow);
                }
                continue;
            }
        };
        let flow = (datagram.source, datagram.destination);
        let bytes = &buffer[..datagram.len];
        if let Some(socket) = flows.get(&flow) {
            // A full socket buffer drops, as the network would.
            let _ = socket.try_send(bytes);
            continue;
        }
        match route(&guard, datagram.destination) {
            Some(Route::Resolver(outbound)) => {
                if let Ok(permit) = Arc::clone(&lookups).try_acquire_owned() {
                    let (query, rules) = (bytes.to_vec(), Arc::clone(&guard.rules));
                    let program = Arc::clone(&program);
                    tasks.spawn(async move {
                        let answer = dns::resolve(&query, &outbound, &rules.resolvers).await;
                        if !answer.is_empty() {
                            let _ = program.send(&answer, flow.1, flow.0).await;
                        }
                        drop(permit);
                        None
                    });
                }
            }
            Some(Route::Direct) if flows.len() < MOST_FLOWS => {
                if let Some(socket) = open(flow.1).await {
                    let _ = socket.try_send(bytes);
                    flows.insert(flow, Arc::clone(&socket));
                    tasks.spawn(replies(socket, Arc::clone(&program), flow));
                }
            }
            _ => {}
        }
    }
}

/// Where datagrams go.
enum Route {
    /// To whom they are meant for.
    Direct,
    /// They are name lookups.
    Resolver(Outbound),
}

/// Where datagrams to `destination` go, if they may.
fn route(guard: &Guard, destination: SocketAddrV4) -> Option<Route> {
    let outbound = guard.outbound();
    if destination.port() == DNS_PORT {
        return outbound.wants_route().then_some(Route::Resolver(outbound));
    }
    let destination = SocketAddr::V4(destination);
    if let Err(reason) = guard.judge(&outbound, destination) {
        guard.tell(destination, reason);
        return None;
    }
    // HTTP/3 would pass by a Worker's handlers; clients fall back to TCP.
    (outbound.hosts.is_empty() || !is_web(destination.port())).then_some(Route::Direct)
}

async fn open(destination: SocketAddrV4) -> Option<Arc<UdpSocket>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect(destination).await.ok()?;
    // Writable from the start, so that the first datagram can be sent at once.
    socket.writable().await.ok()?;
    Some(Arc::new(socket))
}

/// Hands replies to the program until none has come for a while; the program's next datagram then
/// opens the flow again.
async fn replies(socket: Arc<UdpSocket>, program: Arc<EgressUdp>, flow: Flow) -> Option<Flow> {
    let mut buffer = vec![0; DATAGRAM];
    // An error here is an ICMP message about one datagram; the flow may go on.
    while let Ok(received) = tokio::time::timeout(IDLE, socket.recv(&mut buffer)).await {
        if let Ok(length) = received {
            let _ = program.send(&buffer[..length], flow.1, flow.0).await;
        }
    }
    Some(flow)
}
