//! A WebSocket of the platform's, over TLS where the platform has it.

use std::sync::Arc;

use http::{HeaderValue, Uri, header};
use project::config::Secret;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open WebSocket.
pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("{url} is no address of a WebSocket")]
    Url { url: String },
    #[error("could not connect to {host}:{port}")]
    Connect {
        host: String,
        port: u16,
        #[source]
        source: std::io::Error,
    },
    #[error("could not agree on TLS")]
    Tls(#[from] rustls::Error),
    #[error("the token is none: it has characters that no header may have")]
    Token,
    /// The API says no.
    #[error("{message} [code: {code}]")]
    Refused { status: u16, code: u64, message: String },
    #[error("the WebSocket was not opened")]
    Handshake(#[source] Box<Error>),
}

/// Opens a WebSocket that speaks `protocol`, or bytes without one.
///
/// # Errors
/// The address is none, nobody answers there, or not so.
pub(crate) async fn open(
    url: &str,
    protocol: Option<&'static str>,
    token: Option<&Secret>,
) -> Result<Socket, SocketError> {
    let wrong = || SocketError::Url { url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let is_tls = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(wrong()),
    };
    let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let connect = |source| SocketError::Connect { host: host.clone(), port, source };
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(connect)?;
    let stream: Box<dyn Stream> = if is_tls {
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let connector = TlsConnector::from(tls()?);
        Box::new(connector.connect(name, stream).await.map_err(connect)?)
    } else {
        Box::new(stream)
    };
    let failed = |error| match said(&error) {
        Some(refused) => refused,
        None => SocketError::Handshake(Box::new(error)),
    };
    let mut request = url.into_client_request().map_err(failed)?;
    if let Some(protocol) = protocol.map(HeaderValue::from_static) {
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(token) = token {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let bearer = bearer.map_err(|_| SocketError::Token)?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
    }
    let (socket, _) = client_async(request, stream).await.map_err(failed)?;
    Ok(socket)
}

/// What the API says in the place of a WebSocket.
fn said(error: &Error) -> Option<SocketError> {
    let Error::Http(response) = error else { return None };
    let envelope: Value = serde_json::from_slice(response.body().as_deref()?).ok()?;
    let said = &envelope["errors"][0];
    Some(SocketError::Refused {
        status: response.status().as_u16(),
        code: said["code"].as_u64()?,
        message: said["message"].as_str()?.to_owned(),
    })
}

/// Trusts whom this machine trusts, as all requests of ours do.
fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let trusted = image::trusted_certificates().into_iter().map(CertificateDer::from);
    roots.add_parsable_certificates(trusted);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
