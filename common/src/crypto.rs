//! IO. The cryptography that every encrypted connection of a process uses.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// Makes `ring` the cryptography of this process; libraries that open encrypted connections by
/// themselves need one to be chosen. To be called first in every `main`; again does no harm.
pub fn install_crypto_provider() {
    // An error means that one was installed before, which is as good.
    let _ = ring::default_provider().install_default();
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, RootCertStore};

    use super::*;

    /// Without a provider `ClientConfig::builder` panics.
    #[test]
    fn a_client_can_be_built_once_the_provider_is_installed() {
        install_crypto_provider();
        install_crypto_provider();
        let config = ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        assert!(!config.crypto_provider().cipher_suites.is_empty());
    }
}
