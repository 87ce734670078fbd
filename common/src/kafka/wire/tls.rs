//! IO. Encrypted connections: whom we trust, and who we are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use thiserror::Error;

use crate::crypto;
use crate::kafka::security::{TlsIdentity, TlsSettings};

#[derive(Debug, Error)]
pub enum TlsError {
    #[error("failed to read the certificates in {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} holds no PEM of {what}", path.display())]
    Pem {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: pem::Error,
    },
    #[error("{} holds no certificate of an authority that can be used", path.display())]
    NoAuthority { path: PathBuf },
    #[error("the system has no certificates of authorities: set `ssl.ca.location`")]
    NoSystemAuthorities,
    #[error("the certificate and key of this client cannot be used")]
    Identity {
        #[source]
        source: rustls::Error,
    },
    #[error("TLS cannot be set up")]
    Setup {
        #[source]
        source: rustls::Error,
    },
}

/// What connections are encrypted with, for as many of them as one likes.
///
/// # Errors
/// If a file cannot be read or does not hold what it should.
pub(crate) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match &settings.ca_location {
        Some(path) => authorities(path)?,
        None => system_authorities()?,
    };
    let builder = builder()?.with_root_certificates(roots);
    let config = match &settings.identity {
        Some(identity) => with_identity(builder, identity)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })
}

fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: &TlsIdentity,
) -> Result<ClientConfig, TlsError> {
    let chain = certificates(&identity.certificate_location)?;
    let path = &identity.key_location;
    let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| TlsError::Pem {
        path: path.clone(),
        what: "an unencrypted private key",
        source,
    })?;
    builder.with_client_auth_cert(chain, key).map_err(|source| TlsError::Identity { source })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(path)?);
    if roots.is_empty() {
        return Err(TlsError::NoAuthority { path: path.into() });
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoSystemAuthorities) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { path: path.into(), what: "certificates", source })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::*;

    fn settings(ca: &Path) -> TlsSettings {
        TlsSettings { ca_location: Some(ca.into()), identity: None }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(b"not a certificate\n").unwrap();
        let error = client_config(&settings(file.path())).unwrap_err().to_string();
        let path = file.path().display();
        assert_eq!(error, format!("{path} holds no certificate of an authority that can be used"));
        let error = client_config(&settings(Path::new("/nonexistent"))).unwrap_err().to_string();
        assert_eq!(error, "failed to read the certificates in /nonexistent");
    }
}
