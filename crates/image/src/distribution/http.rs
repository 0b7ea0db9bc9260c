//! HTTP itself: connections, certificates, and what a URL says.

use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a registry may think about what it was sent: it may copy a whole layer meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Where distributions keep the certificates they trust.
const CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What to ask a URL with, if it is one that we ask: http or https, without a password. It trusts the
/// certificates this machine trusts, and takes a proxy of the environment for other machines.
#[must_use]
pub fn agent_for(url: &str) -> Option<Agent> {
    host(url).map(|host| agent(!is_loopback(host), root_certificates()))
}

pub(super) fn agent(proxied: bool, certificates: RootCerts) -> Agent {
    let proxy = if proxied { ureq::Proxy::try_from_env() } else { None };
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(proxy)
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(certificates).build())
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .timeout_per_write(Some(SILENCE_TIMEOUT))
        .build()
        .new_agent()
}

/// The certificates this machine trusts (`SSL_CERT_FILE`, or its distribution's), so that a
/// company's own authority works; Mozilla's when there are none.
pub(super) fn root_certificates() -> RootCerts {
    let certificates = trusted();
    if certificates.is_empty() {
        return RootCerts::WebPki;
    }
    RootCerts::new_with_certs(&certificates)
}

/// The certificates this machine trusts, as DER: for connections that are no requests.
#[must_use]
pub fn trusted_certificates() -> Vec<Vec<u8>> {
    trusted().iter().map(|certificate| certificate.der().to_vec()).collect()
}

fn trusted() -> Vec<Certificate<'static>> {
    let chosen = std::env::var("SSL_CERT_FILE").ok();
    let files = chosen.iter().map(String::as_str).chain(CERTIFICATES);
    for file in files {
        let Ok(pem) = fs_err::read(file) else { continue };
        let certificates: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if !certificates.is_empty() {
            return certificates;
        }
    }
    Vec::new()
}

/// Host and port of an http(s) URL.
pub(super) fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // A password in a URL would end in messages.
    (!host.is_empty() && !host.contains('@') && !host.contains(char::is_whitespace)).then_some(host)
}

/// Scheme, host and port of an http(s) URL.
pub(super) fn origin(url: &str) -> Option<&str> {
    let host = host(url)?;
    let end = url.find(host)? + host.len();
    Some(&url[..end])
}

/// Where `location`, as an answer of `base` says it, is: it may leave out the host.
pub(crate) fn join(base: &str, location: &str) -> Option<String> {
    if host(location).is_some() {
        return Some(location.to_owned());
    }
    let origin = origin(base)?;
    location.starts_with('/').then(|| format!("{origin}{location}"))
}

/// Whether a host (with or without port) is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls_and_without_proxy() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "a.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.com", "10.0.0.1:80", "localhost.example.com", "[2001:db8::1]:80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_location_may_leave_out_its_host() {
        let base = "http://localhost:5000/v2/a/b/blobs/uploads/";
        assert_eq!(join(base, "/v2/x?y=1").unwrap(), "http://localhost:5000/v2/x?y=1");
        assert_eq!(join(base, "https://other/x").unwrap(), "https://other/x");
        for bad in ["x", "", "//other/x/../", "ftp://x"] {
            let joined = join(base, bad);
            assert!(joined.is_none_or(|url| url.starts_with("http://localhost:5000/")), "{bad}");
        }
    }

    #[test]
    fn a_mirror_must_be_a_url_without_a_password() {
        assert_eq!(host("https://m.example:5000/prefix?x"), Some("m.example:5000"));
        for bad in ["m.example", "ftp://x", "https://", "https://u:p@h", "https:// x"] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }
}
