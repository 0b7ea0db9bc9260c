//! How a request came: from whom, by which protocol, and under which name it is known from here on.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue, Version};

/// Where requests are received, as Cloudflare names its locations; `request.cf.colo` says the same.
const LOCATION: &str = "LOC";

/// How a request came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'head> {
    /// Where the client is.
    pub client: IpAddr,
    /// By which scheme it came; behind a proxy that is trusted, to that.
    pub scheme: Scheme,
    /// The session of its connection, or of its proxy's; `None` without TLS.
    pub tls: Option<TlsSession>,
    /// The version of HTTP that the client speaks.
    pub version: Version,
    /// What the client sent.
    pub headers: &'head HeaderMap,
}

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Of a TLS session what its requests tell, in Cloudflare's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSession {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// Such as `AEAD-AES128-GCM-SHA256`: OpenSSL's names, and `AEAD-…` for those of TLS 1.3.
    pub cipher: &'static str,
}

/// Who sends a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Who is connected.
    pub(crate) address: IpAddr,
    /// Where the client is: the same, if that is no proxy that is trusted.
    pub(crate) client: IpAddr,
    /// By which scheme the client came.
    pub(crate) scheme: Scheme,
    /// The session of the connection.
    pub(crate) tls: Option<TlsSession>,
}

impl Peer {
    /// A client that is connected from there.
    pub(crate) fn new(address: IpAddr, tls: Option<TlsSession>) -> Self {
        let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
        Self { address, client: address, scheme, tls }
    }

    /// Another Worker of this machine.
    pub(crate) fn inside() -> Self {
        Self::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None)
    }
}

/// What a request is known by: `CF-Ray`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ray(u64);

impl Ray {
    /// A new one. It is no secret, and any two differ for all that matters.
    pub(crate) fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).expect("digits and letters")
    }
}

impl std::fmt::Display for Ray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{LOCATION}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ray_has_sixteen_digits_and_a_location_and_no_two_are_alike() {
        let (one, other) = (Ray::new(), Ray::new());
        assert_ne!(one, other);
        let text = one.to_string();
        assert_eq!(text.len(), 20);
        assert!(text.ends_with("-LOC") && text[..16].bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
