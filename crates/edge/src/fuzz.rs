//! Entry points for `tests/fuzzing` alone. Each returns whatever comes, or a promise is broken.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue};

use crate::arrival::Peer;
use crate::headers::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::trust::believed;

/// What a trusted proxy says of its client: lines of `X-Forwarded-For`, and after an empty one lines
/// of `X-Forwarded-Proto`.
///
/// # Panics
/// A proxy that nobody trusts was believed.
pub fn forwarded(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut name = X_FORWARDED_FOR;
    for line in bytes.split(|&byte| byte == b'\n') {
        match HeaderValue::from_bytes(line) {
            _ if line.is_empty() => name = X_FORWARDED_PROTO,
            Ok(value) => _ = headers.append(&name, value),
            Err(_) => {}
        }
    }
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None);
    let _ = believed(peer, &headers, |address| address.is_loopback());
    let alone = believed(peer, &headers, |_| false);
    assert_eq!(alone.client, peer.address);
}
