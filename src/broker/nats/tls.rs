//! The cryptography of TLS, in Rust alone.

/// Makes graviola the cryptography of this process's TLS, unless something else already is.
/// Without a provider the NATS client would panic on its first TLS connection.
pub fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was faster: there is a provider.
        let _ = rustls_graviola::default_provider().install_default();
    }
}
