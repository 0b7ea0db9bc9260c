//! HTTPS to the ACME server: a connection for each request, for there are few.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Acme, AcmeError};

/// One request may take this long.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of an answer: a chain of certificates is the longest.
const LONGEST: usize = 1 << 20;

/// Speaks to one ACME server.
#[derive(Clone)]
pub(super) struct Http(Arc<ClientConfig>);

type Failure = Box<dyn Error + Send + Sync>;

impl Http {
    pub(super) fn new(acme: &Acme) -> Result<Self, AcmeError> {
        let wrong = |reason: String| {
            let directory = acme.directory.clone();
            AcmeError::Configuration { directory, reason }
        };
        let uri: Uri = acme.directory.parse().map_err(|_| wrong("it is no URL".to_owned()))?;
        if uri.scheme_str() != Some("https") || uri.host().is_none() {
            return Err(wrong("it is no https URL".to_owned()));
        }
        let mut roots = RootCertStore::empty();
        match &acme.authority {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let unusable =
                    |error: &dyn Error| wrong(format!("its authority {}: {error}", path.display()));
                let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
                let read: Vec<_> = read.map_err(|error| unusable(&error))?;
                for certificate in read {
                    roots.add(certificate).map_err(|error| unusable(&error))?;
                }
                if roots.is_empty() {
                    return Err(wrong(format!("its authority {}: no PEM", path.display())));
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    async fn exchange(
        self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Failure> {
        let uri = std::mem::take(request.uri_mut());
        let authority = uri.authority().ok_or("the ACME server names a URL without a host")?;
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(443));
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        let stream = TlsConnector::from(self.0).connect(name, stream).await?;
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
        let path = uri.path_and_query().cloned().ok_or("the ACME server names no path")?;
        *request.uri_mut() = Uri::from(path);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            let done = tokio::time::timeout(DEADLINE, http.exchange(request)).await;
            let done = done.map_err(Failure::from).flatten();
            done.map(BytesResponse::from).map_err(instant_acme::Error::Other)
        })
    }
}
