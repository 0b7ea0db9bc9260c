//! Which headers pass a proxy (RFC 9110, 7.6.1) and which it adds.

use std::net::IpAddr;

use http::header::{
    CONNECTION, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;

use crate::arrival::{Peer, Ray, Scheme};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
const CF_VISITOR: HeaderName = HeaderName::from_static("cf-visitor");
/// What Cloudflare tells of a client under these names nobody here knows; a client must not.
const NOT_KNOWN: [HeaderName; 3] = [
    HeaderName::from_static("cf-connecting-ipv6"),
    HeaderName::from_static("cf-ipcountry"),
    HeaderName::from_static("true-client-ip"),
];
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");

/// Removes what is between two neighbours only. Framing headers among them are made anew by hyper
/// from the body that it has parsed, so a smuggled length cannot pass.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // A client must not make us drop what the next hop relies on.
        .filter(|name| *name != HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// The protocol a message wants to change to, if it does.
pub(crate) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| wanted).cloned()
}

/// Asks for the change of protocol, or agrees to it.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Makes the headers of a request those of one that is passed on as it is.
pub(crate) fn passed(headers: &mut HeaderMap, authority: Option<&Authority>) {
    remove_hop_by_hop(headers);
    // hyper has answered it.
    headers.remove(EXPECT);
    if let Some(authority) = authority
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    headers.entry(HOST).or_insert(HeaderValue::from_static("localhost"));
}

/// Makes the headers of a request those of a forwarded request.
///
/// `authority` is that of an absolute request target, which wins over `Host` (RFC 9112, 3.2.2).
pub(crate) fn forwarded(
    headers: &mut HeaderMap,
    peer: Peer,
    ray: Ray,
    authority: Option<&Authority>,
    own: Vec<(HeaderName, HeaderValue)>,
) {
    passed(headers, authority);
    let (client, hop) = (address(peer.client), address(peer.address));
    let chain: Vec<&[u8]> =
        headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let chain = match chain.is_empty() {
        true => hop,
        false => {
            HeaderValue::from_bytes(&[&chain.join(&b", "[..]), hop.as_bytes()].join(&b", "[..]))
                .unwrap_or(hop)
        }
    };
    let visitor = match peer.scheme {
        Scheme::Https => r#"{"scheme":"https"}"#,
        Scheme::Http => r#"{"scheme":"http"}"#,
    };
    headers.insert(X_FORWARDED_FOR, chain);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(peer.scheme.as_str()));
    headers.insert(CF_CONNECTING_IP, client);
    headers.insert(CF_RAY, ray.header());
    headers.insert(CF_VISITOR, HeaderValue::from_static(visitor));
    for name in &NOT_KNOWN {
        headers.remove(name);
    }
    for (name, value) in own {
        headers.insert(name, value);
    }
}

fn address(address: IpAddr) -> HeaderValue {
    let text = address.to_canonical().to_string();
    HeaderValue::from_str(&text).expect("an address is plain ASCII")
}

/// Tells the client by which name its request is known.
pub(crate) fn set_ray(headers: &mut HeaderMap, ray: Ray) {
    headers.insert(CF_RAY, ray.header());
}

/// HTTP/2 sends a cookie in as many lines as it likes; HTTP/1.1 has one (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Asks for a WebSocket as HTTP/1.1 does, for a client that asked by an extended `CONNECT` (RFC 8441).
pub(crate) fn ask_for_websocket(headers: &mut HeaderMap) {
    set_upgrade(headers, HeaderValue::from_static("websocket"));
    // It only keeps caches between the two ends from answering, and between these there is none.
    headers.insert(WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
}

/// What agrees to that, without what only HTTP/1.1 says.
pub(crate) fn agree_to_websocket(headers: &mut HeaderMap) {
    headers.remove(WEBSOCKET_ACCEPT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
            })
            .collect()
    }

    #[test]
    fn what_belongs_to_one_connection_does_not_pass() {
        let mut headers = map(&[
            ("connection", "close, X-Private, host"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("host", "a"),
            ("x-public", "2"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "a"), ("x-public", "2")]));
    }

    #[test]
    fn a_client_cannot_choose_its_address_or_our_headers() {
        let mut headers = map(&[
            ("cf-connecting-ip", "6.6.6.6"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-own", "client"),
            ("cf-ipcountry", "ZZ"),
            ("cf-ray", "mine"),
            ("cf-visitor", "{}"),
        ]);
        let own = [(HeaderName::from_static("x-own"), HeaderValue::from_static("edge"))];
        let client = "::ffff:1.2.3.4".parse().expect("an address");
        forwarded(&mut headers, Peer::new(client, None), Ray::new(), None, own.to_vec());
        assert_eq!(headers["cf-connecting-ip"], "1.2.3.4");
        assert_eq!(headers["x-forwarded-for"], "6.6.6.6, 7.7.7.7, 1.2.3.4");
        assert_eq!(headers["cf-visitor"], r#"{"scheme":"http"}"#);
        assert!(headers["cf-ray"] != "mine" && !headers.contains_key("cf-ipcountry"));
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(
            (&headers["x-own"], &headers["host"]),
            (&own[0].1, &"localhost".parse().expect(""))
        );
    }

    #[test]
    fn a_client_behind_a_proxy_is_named_and_the_proxy_too() {
        let mut headers = map(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]);
        let peer = Peer {
            client: "1.2.3.4".parse().expect("an address"),
            scheme: Scheme::Https,
            ..Peer::new("10.0.0.1".parse().expect("an address"), None)
        };
        forwarded(&mut headers, peer, Ray::new(), None, Vec::new());
        assert_eq!(headers["cf-connecting-ip"], "1.2.3.4");
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 10.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["cf-visitor"], r#"{"scheme":"https"}"#);
    }

    #[test]
    fn the_lines_of_a_cookie_become_one() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("x", "y")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2"), ("x", "y")]));
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        assert_eq!(upgrade_of(&map(&[("upgrade", "websocket")])), None);
        let both = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade_of(&both), Some(HeaderValue::from_static("websocket")));
    }
}
