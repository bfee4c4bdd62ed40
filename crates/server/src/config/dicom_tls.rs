//! TLS for associations: who we are, and whose word we take for who others are [PS3.15 B.12].

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// TLS as the files of an operator settle it. TLS 1.2 and 1.3 with the suites of BCP 195, and nothing older.
#[derive(Clone)]
pub struct DicomTls {
    /// For associations that peers ask for. With an authority, only peers that have a certificate of it are let in.
    pub acceptor: Arc<ServerConfig>,
    /// For associations that we ask for; there is none without an authority, for anybody could answer.
    pub connector: Option<Arc<ClientConfig>>,
}

impl DicomTls {
    /// Reads certificate and key, and the certificates of the authorities, all PEM.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or everybody can read the key, or the key is not that of the certificate.
    pub fn load(certificate: &Path, key: &Path, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let chain = certificates(certificate)?;
        let own_key = private_key(key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = authorities.map(roots).transpose()?.map(Arc::new);
        let server =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let server = match &roots {
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&provider));
                server.with_client_cert_verifier(verifier.build().context("the authorities cannot be used")?)
            }
            None => server.with_no_client_auth(),
        };
        let mismatch = || format!("{} is not the key of {}", key.display(), certificate.display());
        let acceptor = server.with_single_cert(chain.clone(), own_key.clone_key()).with_context(mismatch)?;
        let connector =
            roots.map(|roots| client(provider, roots, chain, own_key)).transpose().with_context(mismatch)?;
        Ok(Self { acceptor: Arc::new(acceptor), connector: connector.map(Arc::new) })
    }
}

fn client(
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<ClientConfig> {
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(client.with_root_certificates(roots).with_client_auth_cert(chain, key)?)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unreadable = || format!("no certificates can be read from {}", path.display());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>).with_context(unreadable)?;
    ensure!(!found.is_empty(), unreadable());
    Ok(found)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let unreadable = || format!("no key can be read from {}", path.display());
    let mode = fs::metadata(path).with_context(unreadable)?.permissions().mode();
    ensure!(mode & 0o007 == 0, "everybody can read the key {}: take that from the others (chmod o=)", path.display());
    PrivateKeyDer::from_pem_file(path).with_context(unreadable)
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| format!("{} holds what is no authority", path.display()))?;
    }
    Ok(roots)
}

/// Without what is in the files.
impl std::fmt::Debug for DicomTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DicomTls").field("calls", &self.connector.is_some()).finish_non_exhaustive()
    }
}

/// The same files read once.
impl PartialEq for DicomTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.acceptor, &other.acceptor)
    }
}

impl Eq for DicomTls {}
