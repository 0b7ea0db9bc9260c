//! TLS with certificates from files, chosen by the name that a client asks for, and read anew when
//! their files change: a renewed certificate needs no restart.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};
use tokio_util::task::AbortOnDropHandle;

use crate::acme;
use crate::arrival::TlsSession;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// A certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file is not there, or has no PEM of the kind.
    #[error("read {what} from {}", path.display())]
    Pem {
        /// `the certificate` or `the key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// They do not belong together, or are not understood.
    #[error("use the certificate in {} with the key in {}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// TLS itself cannot be set up.
    #[error("set up TLS")]
    Setup(#[source] rustls::Error),
}

/// A certificate's file (PEM, its chain below it) and its key's (PEM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The certificates of a machine; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    provider: Arc<CryptoProvider>,
    /// In the order they were given.
    given: RwLock<Vec<Given>>,
    /// Those that an ACME server issued, by their names.
    issued: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    /// What proves to an ACME server that a name is ours.
    proofs: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

/// One that was given as files.
#[derive(Debug, Clone)]
struct Given {
    files: CertificateFiles,
    /// The files' state when they were read.
    stamps: Option<[Stamp; 2]>,
    key: Arc<CertifiedKey>,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Certificates {
    /// Reads them. A client whose name none is for, or that names none, gets the first.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn read(files: &[CertificateFiles]) -> Result<Self, CertificateError> {
        let provider = Arc::new(default_provider());
        let given = files.iter().map(|files| Given::read(files, &provider));
        let given = RwLock::new(given.collect::<Result<_, _>>()?);
        let (issued, proofs) = Default::default();
        Ok(Self(Arc::new(Inner { provider, given, issued, proofs })))
    }

    /// What a listener needs that offers these protocols (ALPN), the best first.
    ///
    /// # Errors
    /// The machine has no source of randomness.
    pub fn server(&self, protocols: &[&str]) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.0.provider))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.0) as _);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        // A client that comes again goes on with its session, whatever number of others came.
        config.ticketer = Ticketer::new().map_err(CertificateError::Setup)?;
        Ok(Arc::new(config))
    }

    /// Reads the files anew whenever they have changed, until what this returns is dropped. What
    /// cannot be read or used (such as a new certificate whose key is still to come) changes nothing;
    /// `failed` is told, once for each reason.
    pub fn follow(
        &self,
        failed: impl Fn(CertificateError) + Send + 'static,
    ) -> AbortOnDropHandle<()> {
        let certificates = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut said = None;
            loop {
                tokio::time::sleep(LOOK).await;
                let certificates = certificates.clone();
                let looked = tokio::task::spawn_blocking(move || certificates.look()).await;
                let error = looked.ok().and_then(Result::err);
                let text = error.as_ref().map(|error| format!("{error:?}"));
                if let Some(error) = error.filter(|_| text != said) {
                    failed(error);
                }
                said = text;
            }
        }))
    }

    /// Whether one was given that is for this name.
    pub(crate) fn are_given_for(&self, name: &str) -> bool {
        self.0.given_for(name).is_some()
    }

    /// From now on clients that ask for this name get this one, unless one was given for it.
    pub(crate) fn issued(&self, name: &str, key: Arc<CertifiedKey>) {
        let mut issued = self.0.issued.write().unwrap_or_else(PoisonError::into_inner);
        issued.insert(name.to_owned(), key);
    }

    /// Proves that a name is ours to an ACME server that asks, until [`Self::proved`]; `digest` is
    /// that of the key authorization.
    pub(crate) fn prove(&self, name: &str, digest: &[u8]) -> Result<(), String> {
        let made = || -> Result<CertifiedKey, rcgen::Error> {
            let mut params = rcgen::CertificateParams::new([name.to_owned()])?;
            params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
            let key = rcgen::KeyPair::generate()?;
            let certificate = params.self_signed(&key)?.der().clone();
            let key = PrivateKeyDer::try_from(key.serialize_der())
                .map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
            let key = self.0.provider.key_provider.load_private_key(key);
            let key = key.map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
            // Not compared with the certificate: no parser takes the critical extension that it has.
            Ok(CertifiedKey::new(vec![certificate], key))
        };
        let key = made().map_err(|error| error.to_string())?;
        let mut proofs = self.0.proofs.write().unwrap_or_else(PoisonError::into_inner);
        proofs.insert(name.to_owned(), Arc::new(key));
        Ok(())
    }

    /// Nobody asks for the proof any more.
    pub(crate) fn proved(&self, name: &str) {
        self.0.proofs.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Reads what has changed.
    fn look(&self) -> Result<(), CertificateError> {
        let given = self.0.given.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut outcome = Ok(());
        for (place, old) in given.into_iter().enumerate() {
            if old.stamps == stamps(&old.files) && old.stamps.is_some() {
                continue;
            }
            match Given::read(&old.files, &self.0.provider) {
                Ok(new) => {
                    tracing::info!(file = %old.files.certificate.display(), "a new certificate");
                    let mut given = self.0.given.write().unwrap_or_else(PoisonError::into_inner);
                    given[place] = new;
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}

impl Inner {
    fn given_for(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = ServerName::try_from(name).ok()?;
        let given = self.given.read().unwrap_or_else(PoisonError::into_inner);
        given.iter().find(|given| is_for(&given.key, &name)).map(|given| Arc::clone(&given.key))
    }

    fn named(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let issued = || {
            let issued = self.issued.read().unwrap_or_else(PoisonError::into_inner);
            issued.get(name).cloned()
        };
        self.given_for(name).or_else(issued)
    }
}

impl ResolvesServerCert for Inner {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.any(|protocol| protocol == acme::PROTOCOL.as_bytes()) {
            let proofs = self.proofs.read().unwrap_or_else(PoisonError::into_inner);
            return proofs.get(&name?).cloned();
        }
        name.and_then(|name| self.named(&name)).or_else(|| {
            let given = self.given.read().unwrap_or_else(PoisonError::into_inner);
            given.first().map(|given| Arc::clone(&given.key))
        })
    }
}

impl Given {
    fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, CertificateError> {
        // Taken first: what changes while it is read is read again.
        let stamps = stamps(files);
        let CertificateFiles { certificate, key } = files;
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| CertificateError::Pem { what, path, source }
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(failed("the certificate", certificate))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(failed("the key", key))?;
        let unusable = |source| CertificateError::Unusable {
            certificate: certificate.clone(),
            key: key.clone(),
            source,
        };
        let key = match chain.is_empty() {
            true => Err(unusable(rustls::Error::NoCertificatesPresented))?,
            false => CertifiedKey::from_der(chain, secret, provider).map_err(unusable)?,
        };
        Ok(Self { files: files.clone(), stamps, key: Arc::new(key) })
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}

/// `None` where one of them is not there.
fn stamps(files: &CertificateFiles) -> Option<[Stamp; 2]> {
    let stamp = |path: &Path| -> io::Result<Stamp> {
        let found = fs::metadata(path)?;
        Ok(Stamp { modified: found.modified()?, length: found.len(), inode: found.ino() })
    };
    Some([stamp(&files.certificate).ok()?, stamp(&files.key).ok()?])
}

/// What a connection's requests tell of its session.
pub(crate) fn session(connection: &ServerConnection) -> TlsSession {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    TlsSession { version, cipher: suite.map_or("", cipher) }
}

/// Cloudflare's name of a cipher suite: all those that rustls has.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "AEAD-AES128-GCM-SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "AEAD-AES256-GCM-SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "AEAD-CHACHA20-POLY1305-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}
