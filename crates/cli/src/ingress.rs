//! Between the edge and the Worker host: what a Worker is told of a request that came.

use std::sync::Arc;

use edge::{Headers, Scheme};
use http::header::ACCEPT_ENCODING;
use http::{HeaderName, HeaderValue, Version};
use workers::{Ingress, ingress_headers};

/// What workerd wants to be told of each request: what becomes `request.cf`, and the scheme.
pub(crate) fn headers() -> Headers {
    Arc::new(|arrival| {
        let encoding = arrival.headers.get(ACCEPT_ENCODING);
        let ingress = Ingress {
            http: protocol(arrival.version),
            https: arrival.scheme == Scheme::Https,
            tls: arrival.tls.map(|session| (session.version, session.cipher)),
            accept_encoding: encoding.and_then(|value| value.to_str().ok()),
        };
        let header = |(name, value): (&'static str, String)| {
            let value = HeaderValue::try_from(value).expect("JSON of visible ASCII is such");
            (HeaderName::from_static(name), value)
        };
        ingress_headers(&ingress).into_iter().map(header).collect()
    })
}

/// A version of HTTP as Cloudflare writes it.
pub(crate) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}
