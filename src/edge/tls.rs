//! TLS of a listener: an own rustls configuration.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, a certificate that can be replaced while connections are served. Every fault in the
//! files is an error with the file's name; nothing panics.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use pingora::listeners::tls::Acceptor;
use pingora_rustls::{
    ClientHello, CryptoProvider, ResolvesServerCert, RusTlsError, ServerConfig, install_default_crypto_provider,
    load_certs_and_key_files, load_pem_file_ca, load_pem_file_private_key, sign::CertifiedKey, version,
};
use thiserror::Error;

use crate::config::TlsFiles;

/// Why a certificate cannot be served.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate file has no PEM certificate.
    #[error("`{path}` holds no certificate in PEM form")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file has no PEM private key.
    #[error("`{path}` holds no unencrypted private key in PEM form")]
    NoPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are not a pair, or of a kind that is not supported.
    #[error("the private key `{private_key}` does not serve the certificate `{certificate}`")]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
        /// What rustls says.
        source: RusTlsError,
    },
    /// No cryptography is installed, or it lacks what TLS 1.2 and 1.3 need.
    #[error("TLS cannot be set up")]
    Unsupported {
        /// What rustls says.
        source: RusTlsError,
    },
}

/// The certificate of a listener; the next handshake after a replacement uses the new one.
#[derive(Debug)]
pub struct ServerCertificate {
    current: ArcSwap<CertifiedKey>,
}

impl ServerCertificate {
    /// Reads a certificate chain and its key.
    pub fn read(files: &TlsFiles) -> Result<ServerCertificate, TlsError> {
        Ok(ServerCertificate { current: ArcSwap::new(pair(files)?) })
    }

    /// Reads again; on an error the old one goes on serving.
    pub fn replace(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.current.store(pair(files)?);
        Ok(())
    }

    /// What accepts TLS connections with this certificate.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<Acceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider()?)
            .with_protocol_versions(&[&version::TLS12, &version::TLS13])
            .map_err(|source| TlsError::Unsupported { source })?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Acceptor::from_server_config(Arc::new(config)))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    install_default_crypto_provider();
    let missing = || TlsError::Unsupported { source: RusTlsError::General("no cryptography is installed".to_owned()) };
    CryptoProvider::get_default().cloned().ok_or_else(missing)
}

fn pair(files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let TlsFiles { certificate, private_key } = files;
    let certificate_name = readable(certificate)?;
    let key_name = readable(private_key)?;
    if load_pem_file_ca(&certificate_name).unwrap_or_default().is_empty() {
        return Err(TlsError::NoCertificate { path: certificate.clone() });
    }
    if load_pem_file_private_key(&key_name).unwrap_or_default().is_empty() {
        return Err(TlsError::NoPrivateKey { path: private_key.clone() });
    }
    let Ok(Some((chain, key))) = load_certs_and_key_files(&certificate_name, &key_name) else {
        return Err(TlsError::NoCertificate { path: certificate.clone() });
    };
    let provider = provider()?;
    CertifiedKey::from_der(chain, key, &provider).map(Arc::new).map_err(|source| TlsError::Mismatch {
        certificate: certificate.clone(),
        private_key: private_key.clone(),
        source,
    })
}

/// The name of a file that can be read: the loaders below do not tell why they fail.
fn readable(path: &Path) -> Result<String, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    std::fs::read(path).map_err(unreadable)?;
    let not_text = || unreadable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not UTF-8"));
    path.to_str().map(str::to_owned).ok_or_else(not_text)
}
