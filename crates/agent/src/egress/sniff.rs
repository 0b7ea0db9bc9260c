//! What a program's first bytes on a connection say: whom it wants to speak to, and how.
//!
//! Pure. The bytes are hostile; nothing here decides what the program may do, only what its Worker
//! is asked about.

use std::net::IpAddr;

use rustls::server::Acceptor;

use super::outbound::MOST_HOST_BYTES;

/// Longest beginning that is looked at. A head or a handshake that is longer counts as neither.
pub(super) const MOST_BYTES: usize = 16 * 1024;
/// Most headers of a request's head.
const MOST_HEADERS: usize = 128;
/// First byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What the bytes are the beginning of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// It cannot be told yet.
    Incomplete,
    /// An HTTP/1 request for that host.
    Http(Option<String>),
    /// A TLS handshake with a server of that name.
    Tls(Option<String>),
    /// Anything else.
    Other,
}

/// Looks at everything that has arrived.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    let sniffed = match bytes.first() {
        None => Sniffed::Incomplete,
        Some(&TLS_HANDSHAKE) => tls(bytes),
        Some(_) => http(bytes),
    };
    match sniffed {
        Sniffed::Incomplete if bytes.len() >= MOST_BYTES => Sniffed::Other,
        sniffed => sniffed,
    }
}

fn http(bytes: &[u8]) -> Sniffed {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {
            let host = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("host"));
            Sniffed::Http(host.and_then(|header| host_of(header.value)))
        }
        Ok(httparse::Status::Partial) => Sniffed::Incomplete,
        Err(_) => Sniffed::Other,
    }
}

fn tls(bytes: &[u8]) -> Sniffed {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        // It reads from memory: the only error is about a buffer that is full.
        if !matches!(acceptor.read_tls(&mut rest), Ok(read) if read > 0) {
            return Sniffed::Other;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                return Sniffed::Tls(hello.server_name().and_then(|name| host_of(name.as_bytes())));
            }
            Ok(None) => {}
            Err(_) => return Sniffed::Other,
        }
    }
    Sniffed::Incomplete
}

/// The host of a `Host` header or of a handshake: lower case, without port and root's dot. `None`
/// when it is neither a name nor an address.
fn host_of(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Some((address, _)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return matches!(address.parse(), Ok(IpAddr::V6(_))).then(|| format!("[{address}]"));
    }
    let host = text.split_once(':').map_or(text, |(host, _)| host);
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fine = !host.is_empty() && host.len() <= MOST_HOST_BYTES && host.bytes().all(plain);
    fine.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's first flight, as rustls sends it.
    pub(crate) fn client_hello(name: &str) -> Vec<u8> {
        let config = crate::certificate::tests::client(&[]);
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(config, name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn named(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn the_host_of_a_request_is_its_host_header() {
        for (value, host) in [
            ("api.Example.com", named("api.example.com")),
            ("my.kv:8080", named("my.kv")),
            ("my.kv.", named("my.kv")),
            ("1.2.3.4:80", named("1.2.3.4")),
            ("[::1]:80", named("[::1]")),
            ("[nothing]", None),
            ("a b", None),
            ("", None),
            ("evil.com\u{e4}", None),
        ] {
            let head = format!("GET / HTTP/1.1\r\nX: y\r\nhOsT: {value}\r\n\r\n");
            assert_eq!(sniff(head.as_bytes()), Sniffed::Http(host), "{value}");
        }
        assert_eq!(sniff(b"GET / HTTP/1.0\r\n\r\n"), Sniffed::Http(None));
    }

    #[test]
    fn the_name_of_a_handshake_is_its_sni() {
        let hello = client_hello("api.example.com");
        assert_eq!(sniff(&hello), Sniffed::Tls(named("api.example.com")));
        assert_eq!(sniff(&client_hello("1.2.3.4")), Sniffed::Tls(None));
    }

    #[test]
    fn other_protocols_are_told_at_their_first_bytes() {
        for bytes in [&b"SSH-2.0-x\r\n"[..], b"\0\0\0\x08\x04\xd2\x16\x2f", b"*1\r\n$4\r\nPING\r\n"]
        {
            assert_eq!(sniff(bytes), Sniffed::Other, "{bytes:?}");
        }
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Sniffed::Other);
        assert_eq!(sniff(b"\x16\x03\x01\0\x04nope"), Sniffed::Other);
    }

    #[test]
    fn a_beginning_without_end_is_not_waited_for() {
        let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
        assert_eq!(sniff(&head), Sniffed::Incomplete);
        head.resize(MOST_BYTES, b'x');
        assert_eq!(sniff(&head), Sniffed::Other);
    }

    proptest! {
        #[test]
        fn a_handshake_in_pieces_is_incomplete_until_it_is_whole(part in 0.0..1.0_f64) {
            let hello = client_hello("api.example.com");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
            let length = (hello.len() as f64 * part) as usize;
            prop_assert_eq!(sniff(&hello[..length]), Sniffed::Incomplete);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = sniff(&bytes);
            let _ = sniff(&[&[TLS_HANDSHAKE, 3, 1, 0, 80, 1], &bytes[..]].concat());
        }

        #[test]
        fn what_comes_out_is_a_plain_name_or_address(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(host) = host_of(&value) {
                prop_assert!(host.len() <= MOST_HOST_BYTES + 2);
                prop_assert!(host.bytes().all(|b| b.is_ascii_graphic()) && !host.contains('/'));
            }
        }
    }
}
