//! The agent's certificate authority: what instances will trust when their HTTPS is intercepted.
//!
//! One key pair for each agent process, made when first asked for and never written to disk.

use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// Makes the certificate once and gives it out as PEM.
#[derive(Debug, Default)]
pub(crate) struct CertificateAuthority(OnceLock<String>);

impl CertificateAuthority {
    /// The self-signed certificate.
    pub(crate) fn pem(&self) -> Result<&str, rcgen::Error> {
        if let Some(pem) = self.0.get() {
            return Ok(pem);
        }
        let pem = make()?;
        Ok(self.0.get_or_init(|| pem))
    }
}

fn make() -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Berth egress interception");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.self_signed(&KeyPair::generate()?)?.pem())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_pem_and_stays_the_same() {
        let authority = CertificateAuthority::default();
        let pem = authority.pem().unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");
        assert_eq!(authority.pem().unwrap(), pem);
    }
}
