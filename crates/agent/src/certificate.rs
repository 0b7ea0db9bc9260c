//! The agent's certificate authority: what instances trust when their HTTPS is intercepted.
//!
//! Made when first asked for. Its key lies in the agent's directory, readable by its owner alone, so
//! that instances which outlive an agent can go on trusting the next one; it is removed with the last
//! of them and never gets into an instance.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::private_file;

/// How far the clock on the wall may be from the making of a server's certificate for it to be used; it is
/// valid for longer.
const USED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// From when and until when a server's certificate is valid, seen from its making. Clients take
/// offence at long times.
const VALID: (SignedDuration, SignedDuration) =
    (SignedDuration::from_hours(-24), SignedDuration::from_hours(24 * 30));
/// Servers whose certificates are kept.
const MOST_SERVERS: usize = 1024;
/// What Workers' handlers speak.
const PROTOCOL: &[u8] = b"http/1.1";

/// Makes the authority once, gives out its certificate and signs for servers.
#[derive(Debug)]
pub(crate) struct CertificateAuthority {
    file: PathBuf,
    made: OnceLock<Authority>,
    making: Mutex<()>,
}

/// It, or one of its certificates, could not be made. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("use a certificate: {0}")]
    Use(#[from] rustls::Error),
    #[error("keep the authority's key: {0}")]
    Keep(#[from] io::Error),
}

#[derive(Debug)]
struct Authority {
    /// The certificate.
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// The key of every server.
    server_key: KeyPair,
    servers: Mutex<HashMap<String, (Timestamp, Arc<ServerConfig>)>>,
}

impl CertificateAuthority {
    /// The authority that lies, or will lie, in the agent's directory.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            file: directory.join("egress-ca.pem"),
            made: OnceLock::new(),
            making: Mutex::default(),
        }
    }

    /// The self-signed certificate.
    pub(crate) fn pem(&self) -> Result<&str, CertificateError> {
        Ok(&self.authority()?.pem)
    }

    /// What a TLS server of that name or address is configured with.
    pub(crate) fn server(&self, name: &str) -> Result<Arc<ServerConfig>, CertificateError> {
        self.authority()?.server(name)
    }

    /// Forgets it for good: nobody is left who trusts it.
    pub(crate) fn remove(&self) {
        let _ = fs_err::remove_file(&self.file);
    }

    fn authority(&self) -> Result<&Authority, CertificateError> {
        let _turn = self.making.lock().expect("no holder of this lock panics");
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = match Authority::read(&self.file) {
            Some(kept) => kept,
            None => Authority::make(&self.file)?,
        };
        Ok(self.made.get_or_init(|| made))
    }
}

impl Authority {
    /// The one of an earlier agent.
    fn read(file: &Path) -> Option<Self> {
        let text = fs_err::read_to_string(file).ok()?;
        let at = text.find("-----BEGIN CERTIFICATE-----")?;
        let (key, pem) = text.split_at(at);
        Self::new(KeyPair::from_pem(key).ok()?, pem.to_owned()).ok()
    }

    fn make(file: &Path) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let pem = params().self_signed(&key)?.pem();
        private_file::write(file, (key.serialize_pem() + &pem).as_bytes())?;
        Self::new(key, pem)
    }

    fn new(key: KeyPair, pem: String) -> Result<Self, CertificateError> {
        let (issuer, server_key) = (Issuer::new(params(), key), KeyPair::generate()?);
        Ok(Self { pem, issuer, server_key, servers: Mutex::default() })
    }

    fn server(&self, name: &str) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut servers = self.servers.lock().expect("no holder of this lock panics");
        if let Some((made, config)) = servers.get(name)
            && is_used(*made, Timestamp::now())
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.certify(name)?);
        if servers.len() >= MOST_SERVERS {
            servers.clear();
        }
        servers.insert(name.to_owned(), (Timestamp::now(), Arc::clone(&config)));
        Ok(config)
    }

    fn certify(&self, name: &str) -> Result<ServerConfig, CertificateError> {
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let midnight = |from_now| {
            let now = Timestamp::now();
            let date = TimeZone::UTC.to_datetime(now.saturating_add(from_now).unwrap_or(now));
            let part = |number: i8| u8::try_from(number).expect("months and days are positive");
            rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
        };
        (params.not_before, params.not_after) = (midnight(VALID.0), midnight(VALID.1));
        let certificate = params.signed_by(&self.server_key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(self.server_key.serialize_der());
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key.into())?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }
}

/// Whether a certificate that was made then is used now, which is before where the clock was set back.
fn is_used(made: Timestamp, now: Timestamp) -> bool {
    now.duration_since(made).abs() < USED_FOR
}

/// The authority's own certificate but for its key; the same for every one.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Berth egress interception");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rustls::pki_types::ServerName;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    /// A client that trusts those authorities.
    pub(crate) fn client(authorities: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for pem in authorities {
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Whether a client that trusts `pem` takes the authority's server for `name`.
    fn handshake(authority: &CertificateAuthority, pem: &str, name: &str) -> bool {
        let server_name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(client(&[pem]), server_name).unwrap();
        let mut server = ServerConnection::new(authority.server(name).unwrap()).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets().unwrap();
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        true
    }

    #[test]
    fn who_trusts_the_authority_trusts_its_servers() {
        let directory = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::in_directory(directory.path());
        let pem = authority.pem().unwrap().to_owned();
        for name in ["api.example.com", "9.9.9.9", &format!("{}com", "a.".repeat(60))] {
            assert!(handshake(&authority, &pem, name), "{name}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let other = CertificateAuthority::in_directory(elsewhere.path());
        assert!(!handshake(&authority, other.pem().unwrap(), "api.example.com"));
    }

    #[test]
    fn the_next_agent_has_the_same_authority_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let first = CertificateAuthority::in_directory(directory.path());
        let pem = first.pem().unwrap().to_owned();
        assert_eq!(first.pem().unwrap(), pem);
        let mode = fs_err::metadata(&first.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let next = CertificateAuthority::in_directory(directory.path());
        assert_eq!(next.pem().unwrap(), pem);
        assert!(handshake(&next, &pem, "api.example.com"));
        next.remove();
        let last = CertificateAuthority::in_directory(directory.path());
        assert_ne!(last.pem().unwrap(), pem);
    }

    #[test]
    fn a_torn_file_is_no_authority() {
        let directory = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::in_directory(directory.path());
        fs_err::write(&authority.file, "-----BEGIN CERTIFICATE-----").unwrap();
        assert!(authority.pem().unwrap().ends_with("-----END CERTIFICATE-----\n"));
    }

    #[test]
    fn a_servers_certificate_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::in_directory(directory.path());
        let first = authority.server("a.b").unwrap();
        assert!(Arc::ptr_eq(&first, &authority.server("a.b").unwrap()));
        assert!(!Arc::ptr_eq(&first, &authority.server("b.a").unwrap()));
    }

    #[test]
    fn a_servers_certificate_is_made_anew_where_the_clock_was_set_to_another_day() {
        let made = Timestamp::UNIX_EPOCH;
        for hours in [-23, 0, 23] {
            assert!(is_used(made, made + SignedDuration::from_hours(hours)), "{hours}");
        }
        for hours in [-25, 25] {
            assert!(!is_used(made, made + SignedDuration::from_hours(hours)), "{hours}");
        }
    }
}
