//! Name lookups: a query is handed to the host's resolvers one after the other, unread.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

/// How long one resolver may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of a DNS message's header.
const HEADER: usize = 12;

/// The answer to a query; "server failure" when no resolver gives one, so that programs fail at once
/// instead of waiting for nothing.
pub(super) async fn resolve(query: &[u8], resolvers: &[SocketAddr]) -> Vec<u8> {
    for resolver in resolvers {
        match tokio::time::timeout(PATIENCE, ask(query, *resolver)).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => tracing::debug!(%resolver, %error, "a resolver cannot be asked"),
            Err(_) => tracing::debug!(%resolver, "a resolver does not answer"),
        }
    }
    server_failure(query)
}

async fn ask(query: &[u8], resolver: SocketAddr) -> std::io::Result<Vec<u8>> {
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

/// The query as an answer that says SERVFAIL; nothing when it is no query.
fn server_failure(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    if answer.len() < HEADER {
        return Vec::new();
    }
    answer[2] |= 0x80; // QR: an answer
    answer[3] = 0x82; // RA, RCODE 2
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `example.com A`, id 0x1234, recursion desired.
    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";

    async fn resolver(answer: Option<&'static [u8]>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = answer {
                    socket.send_to(answer, from).await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn the_first_resolver_that_answers_is_believed() {
        let dead = "127.0.0.1:1".parse().unwrap();
        let good = resolver(Some(b"\x12\x34 the answer")).await;
        assert_eq!(resolve(QUERY, &[dead, good]).await, b"\x12\x34 the answer");
    }

    #[tokio::test]
    async fn without_a_resolver_the_program_is_told_at_once() {
        let answer = resolve(QUERY, &["127.0.0.1:1".parse().unwrap()]).await;
        assert_eq!(answer[..2], QUERY[..2]);
        assert_eq!((answer[2] & 0x80, answer[3] & 0x0f), (0x80, 2));
        assert_eq!(answer[HEADER..], QUERY[HEADER..]);
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        assert!(server_failure(b"short").is_empty());
    }
}
