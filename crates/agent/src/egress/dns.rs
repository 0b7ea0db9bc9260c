//! Name lookups: answered by the host's resolvers, and for hosts that a Worker handles by us where
//! those know nothing. Without internet, nothing but those hosts has an address.

mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use self::message::{A, AAAA, HTTPS, NAME_ERROR, NO_ERROR, Question, SERVER_FAILURE, SVCB};
use super::Guard;
use super::outbound::Outbound;
use super::tcp::dial;

/// Stands for every name that exists for a Worker's handler alone: an address of TEST-NET-1, so
/// never a real host; a connection that no handler takes is refused at once.
pub(super) const PLACEHOLDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);

/// How long one resolver may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a program may say nothing on a TCP connection.
const IDLE: Duration = Duration::from_secs(10);

/// What becomes of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// A resolver is asked. `handled`: a Worker may handle the name, so it exists in any case.
    Forward { handled: bool },
    /// The name exists, for the Worker's handler.
    Placeholder,
    /// It has no such record.
    NoData,
    /// It does not exist.
    NoName,
    /// No answer.
    Drop,
}

/// Decides about a query. Outbound connections are IPv4's, so that no name has an IPv6 address:
/// programs then lose no time on it.
fn decide(question: Option<&Question>, outbound: &Outbound) -> Decision {
    let Some(question) = question else {
        let open = outbound.internet && outbound.hosts.is_empty();
        return if open { Decision::Forward { handled: false } } else { Decision::Drop };
    };
    let handled = question.name.as_deref().is_some_and(|name| outbound.hosts.contains(name));
    match (question.kind, outbound.internet) {
        (_, false) if !handled => Decision::NoName,
        (A, false) => Decision::Placeholder,
        (AAAA, _) | (_, false) => Decision::NoData,
        // They may hide the server's name from a handler.
        (SVCB | HTTPS, true) if handled => Decision::NoData,
        (_, true) => Decision::Forward { handled },
    }
}

/// The answer to a query that came as a datagram; empty when there is none.
pub(super) async fn resolve(
    query: &[u8],
    outbound: &Outbound,
    resolvers: &[SocketAddr],
) -> Vec<u8> {
    let question = message::question(query);
    match decide(question.as_ref(), outbound) {
        Decision::Forward { handled } => {
            let answer = forward(query, resolvers).await;
            complete(query, question.as_ref(), handled, answer)
        }
        decision => ours(query, question.as_ref(), decision),
    }
}

/// A TCP connection to a name server: queries with their lengths in front, one after the other.
pub(super) async fn serve(mut program: TcpStream, guard: &Guard) {
    loop {
        let next = tokio::time::timeout(IDLE, read_message(&mut program)).await;
        let Ok(Ok(query)) = next else { return };
        let question = message::question(&query);
        let answer = match decide(question.as_ref(), &guard.outbound()) {
            Decision::Forward { handled } => {
                let answer = forward_stream(&query, &guard.rules.resolvers).await;
                complete(&query, question.as_ref(), handled, answer)
            }
            decision => ours(&query, question.as_ref(), decision),
        };
        if answer.is_empty() || write_message(&mut program, &answer).await.is_err() {
            return;
        }
    }
}

/// An answer that needs no resolver.
fn ours(query: &[u8], question: Option<&Question>, decision: Decision) -> Vec<u8> {
    let Some(question) = question else { return Vec::new() };
    match decision {
        Decision::Placeholder => message::address(query, question, PLACEHOLDER),
        Decision::NoData => message::empty(query, question, NO_ERROR),
        Decision::NoName => message::empty(query, question, NAME_ERROR),
        Decision::Forward { .. } | Decision::Drop => Vec::new(),
    }
}

/// A resolver's answer, unless it knows nothing of a name that a Worker handles. "Server failure"
/// when no resolver gives one, so that programs fail at once instead of waiting for nothing.
fn complete(
    query: &[u8],
    question: Option<&Question>,
    handled: bool,
    answer: Option<Vec<u8>>,
) -> Vec<u8> {
    let answer = answer.unwrap_or_else(|| message::failure(query, SERVER_FAILURE));
    let unknown = matches!(message::code(&answer), Some(NAME_ERROR | SERVER_FAILURE));
    match question {
        Some(question) if handled && unknown && question.kind == A => {
            message::address(query, question, PLACEHOLDER)
        }
        Some(question) if handled && unknown => message::empty(query, question, NO_ERROR),
        _ => answer,
    }
}

async fn forward(query: &[u8], resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    for resolver in resolvers {
        match tokio::time::timeout(PATIENCE, ask(query, *resolver)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%resolver, %error, "a resolver cannot be asked"),
            Err(_) => tracing::debug!(%resolver, "a resolver does not answer"),
        }
    }
    None
}

async fn ask(query: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(query).await?;
    let mut answer = vec![0; 65_535];
    loop {
        let length = socket.recv(&mut answer).await?;
        // A late answer to another query's id is not ours.
        if answer.get(..2) == query.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn forward_stream(query: &[u8], resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    let exchange = async {
        let mut resolver = dial(resolvers).await?;
        write_message(&mut resolver, query).await.ok()?;
        read_message(&mut resolver).await.ok()
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok().flatten()
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

#[cfg(test)]
mod tests {
    use super::message::tests::query;
    use super::*;

    async fn resolver(code: Option<u8>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(code) = code {
                    let answer = message::failure(&buffer[..length], code);
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        address
    }

    fn outbound(hosts: &str, internet: bool) -> Outbound {
        let mut outbound = Outbound::default();
        let body = format!(
            r#"{{"port":1,"dns":{{"allowHostnames":{hosts}}},"internet":{{"enabled":{internet}}}}}"#
        );
        outbound.apply(serde_json::from_str(&body).unwrap());
        outbound
    }

    fn decision(name: &str, kind: u16, outbound: &Outbound) -> Decision {
        decide(message::question(&query(name, kind)).as_ref(), outbound)
    }

    #[test]
    fn bg5_without_internet_only_handled_hosts_have_an_address() {
        let off = outbound(r#"["my.kv","*.example.com"]"#, false);
        assert_eq!(decision("my.kv", A, &off), Decision::Placeholder);
        assert_eq!(decision("a.example.com", A, &off), Decision::Placeholder);
        assert_eq!(decision("my.kv", AAAA, &off), Decision::NoData);
        assert_eq!(decision("my.kv", 16, &off), Decision::NoData);
        for kind in [A, AAAA, 16] {
            assert_eq!(decision("secrets.attacker.net", kind, &off), Decision::NoName);
        }
        assert_eq!(decide(None, &off), Decision::Drop);
    }

    #[test]
    fn with_internet_resolvers_are_asked_but_not_for_ipv6() {
        let on = outbound(r#"["my.kv"]"#, true);
        assert_eq!(decision("example.org", A, &on), Decision::Forward { handled: false });
        assert_eq!(decision("my.kv", A, &on), Decision::Forward { handled: true });
        assert_eq!(decision("example.org", AAAA, &on), Decision::NoData);
        assert_eq!(decision("example.org", HTTPS, &on), Decision::Forward { handled: false });
        assert_eq!(decision("my.kv", HTTPS, &on), Decision::NoData);
    }

    #[tokio::test]
    async fn the_first_resolver_that_answers_is_believed() {
        let (query, open) = (query("example.com", A), Outbound::open());
        let dead = "127.0.0.1:1".parse().unwrap();
        let good = resolver(Some(NO_ERROR)).await;
        let answer = resolve(&query, &open, &[dead, good]).await;
        assert_eq!((&answer[..2], message::code(&answer)), (&query[..2], Some(NO_ERROR)));
    }

    #[tokio::test]
    async fn without_a_resolver_the_program_is_told_at_once() {
        let query = query("example.com", A);
        let answer = resolve(&query, &Outbound::open(), &["127.0.0.1:1".parse().unwrap()]).await;
        assert_eq!((answer[2] & 0x80, message::code(&answer)), (0x80, Some(SERVER_FAILURE)));
        assert_eq!(answer[12..], query[12..]);
        assert!(resolve(b"short", &Outbound::open(), &[]).await.is_empty());
    }

    #[tokio::test]
    async fn bg6_a_name_that_no_resolver_knows_exists_for_its_handler() {
        let on = outbound(r#"["my.kv"]"#, true);
        let knows_nothing = resolver(Some(NAME_ERROR)).await;
        let answer = resolve(&query("my.kv", A), &on, &[knows_nothing]).await;
        assert!(answer.ends_with(&PLACEHOLDER.octets()), "{answer:?}");
        let answer = resolve(&query("my.kv", 16), &on, &[knows_nothing]).await;
        assert_eq!(message::code(&answer), Some(NO_ERROR));
        let answer = resolve(&query("other.kv", A), &on, &[knows_nothing]).await;
        assert_eq!(message::code(&answer), Some(NAME_ERROR));
    }
}
