//! Proxies in front of the edge: what those that are trusted say of a client is believed. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;

use crate::arrival::{Peer, Scheme};
use crate::headers::{X_FORWARDED_FOR, X_FORWARDED_PROTO};

/// Whether a proxy at this address is believed.
pub type Trust = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Who sends a request, when the headers of trusted proxies count. What anybody else says does not.
pub(crate) fn believed(
    peer: Peer,
    headers: &HeaderMap,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Peer {
    if !is_trusted(peer.address) {
        return peer;
    }
    Peer {
        client: client(peer.address, headers, is_trusted),
        scheme: scheme(headers).unwrap_or(peer.scheme),
        ..peer
    }
}

/// The client of the trusted proxy at `last`. Each proxy adds the address that it was reached from at
/// the end, so the first one from there that is no trusted proxy is the client. What stands before it
/// is the client's own word.
fn client(last: IpAddr, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    let hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
    let mut known = last;
    for hop in hops {
        // Whatever is before something that nobody can read is nobody's word.
        let Some(address) = address(hop) else { return known };
        known = address;
        if !is_trusted(address) {
            return known;
        }
    }
    known
}

/// An address as proxies write it: with a port or without, and IPv6 in brackets or without.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse::<IpAddr>().ok();
    alone.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The scheme that the nearest proxy says; `None` if it says none that there is.
fn scheme(headers: &HeaderMap) -> Option<Scheme> {
    let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?.as_bytes();
    let last = last.rsplit(|&byte| byte == b',').next()?.trim_ascii();
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|scheme| last.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: http::HeaderName, lines: &[&[u8]]) -> HeaderMap {
        let value = |line: &&[u8]| HeaderValue::from_bytes(line).unwrap();
        lines.iter().map(|line| (name.clone(), value(line))).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Proxies stand in 10.0.0.0/8, at 192.0.2.1 and at 2001:db8::1.
    fn is_trusted(address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => v4.octets()[0] == 10 || v4.octets() == [192, 0, 2, 1],
            v6 @ IpAddr::V6(_) => v6 == ip("2001:db8::1"),
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxys() {
        let cases: &[(&str, &[&[u8]], &str)] = &[
            // Nobody but a trusted proxy is believed.
            ("203.0.113.9", &[b"198.51.100.7"], "203.0.113.9"),
            ("2001:db8::2", &[b"198.51.100.7"], "2001:db8::2"),
            // One proxy, several, and what a client has made up before them.
            ("10.0.0.1", &[b"198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &[b"198.51.100.7"], "198.51.100.7"),
            ("2001:db8::1", &[b"2001:db8::77"], "2001:db8::77"),
            ("10.0.0.1", &[b"198.51.100.7, 10.9.9.9,192.0.2.1"], "198.51.100.7"),
            ("10.0.0.1", &[b"6.6.6.6", b"198.51.100.7, 2001:db8::1"], "198.51.100.7"),
            ("10.0.0.1", &[b"10.6.6.6, 198.51.100.7", b"10.0.0.2"], "198.51.100.7"),
            // With ports, in brackets, with empty parts.
            ("10.0.0.1", &[b"198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &[b"[2001:db8::77]:4711, [2001:db8::1]"], "2001:db8::77"),
            ("10.0.0.1", &[b"198.51.100.7, , ,"], "198.51.100.7"),
            // Proxies alone: the farthest one. Nothing at all: the one that is there.
            ("10.0.0.1", &[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[b""], "10.0.0.1"),
            // What cannot be read ends it.
            ("10.0.0.1", &[b"unknown"], "10.0.0.1"),
            ("10.0.0.1", &[b"198.51.100.7, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[b"198.51.100.7, \xff\xfe"], "10.0.0.1"),
            ("10.0.0.1", &[b"198.51.100.7, 300.1.1.1"], "10.0.0.1"),
        ];
        for (address, lines, client) in cases {
            let peer = Peer::new(ip(address), None);
            let found = believed(peer, &headers(X_FORWARDED_FOR, lines), is_trusted);
            assert_eq!(found.client, ip(client), "{address} {lines:?}");
            assert_eq!(found.address, ip(address), "it is still who is connected");
        }
    }

    #[test]
    fn the_scheme_is_the_nearest_trusted_proxys_word() {
        let cases: &[(&str, &[&[u8]], Scheme)] = &[
            ("10.0.0.1", &[b"https"], Scheme::Https),
            ("10.0.0.1", &[b"HTTPS"], Scheme::Https),
            ("10.0.0.1", &[b"https, http"], Scheme::Http),
            ("10.0.0.1", &[b"http", b"https"], Scheme::Https),
            ("10.0.0.1", &[b"gopher"], Scheme::Http),
            ("10.0.0.1", &[b"\xff"], Scheme::Http),
            ("10.0.0.1", &[], Scheme::Http),
            ("203.0.113.9", &[b"https"], Scheme::Http),
        ];
        for (address, lines, scheme) in cases {
            let peer = Peer::new(ip(address), None);
            let found = believed(peer, &headers(X_FORWARDED_PROTO, lines), is_trusted);
            assert_eq!(found.scheme, *scheme, "{address} {lines:?}");
        }
    }
}
