//! Who is trusted, and who one is.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::TlsSetupError;

/// What the two sides agree to speak inside.
const PROTOCOL: &[u8] = b"procall/1";

/// The authorities whose signature on a certificate counts.
#[derive(Clone)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Those of a PEM text: one certificate or more.
    ///
    /// # Errors
    ///
    /// When it has none, or one that cannot be read.
    pub fn from_pem(text: &[u8]) -> Result<Self, TlsSetupError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(text)? {
            roots.add(certificate).map_err(|error| {
                TlsSetupError(format!("a certificate is no authority's that can be used: {error}"))
            })?;
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Those that this machine trusts. The variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name other places for them.
    ///
    /// # Errors
    ///
    /// When this machine has none.
    pub fn of_the_system() -> Result<Self, TlsSetupError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Machines have old certificates that nobody reads any more; only all of them together must not be wrong.
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        if usable == 0 {
            let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            return Err(TlsSetupError(format!(
                "this machine has no certificates of authorities{why}"
            )));
        }
        Ok(Self(Arc::new(roots)))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

/// A certificate, those of the authorities between it and one that is trusted, and the key that belongs to it.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both from PEM texts: the chain begins with the own certificate.
    ///
    /// # Errors
    ///
    /// When there is no certificate, or no key, or the key is encrypted.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsSetupError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            TlsSetupError(match error {
                pem::Error::NoItemsFound => {
                    "there is no unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)"
                        .to_owned()
                }
                error => format!("the private key cannot be read: {error}"),
            })
        })?;
        Ok(Self { chain: certificates(chain)?, key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Nothing of the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.chain.len())
    }
}

/// How the side that connects checks the other, and what it shows of itself.
#[derive(Clone)]
pub struct ClientTls(pub(crate) Arc<ClientConfig>);

impl ClientTls {
    /// Trusts these authorities; shows `identity` to a side that asks for it.
    ///
    /// # Errors
    ///
    /// When the key does not belong to the certificate.
    pub fn new(trusted: &Authorities, identity: Option<Identity>) -> Result<Self, TlsSetupError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_root_certificates(trusted.0.clone());
        let mut config = match identity {
            Some(Identity { chain, key }) => {
                builder.with_client_auth_cert(chain, key).map_err(mismatched)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Connections live long, and each is to be checked anew.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(..)")
    }
}

/// Who the side that listens is, and whether those who connect must be known.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Shows `identity`. With `clients`, whoever connects must show a certificate that one of these has signed.
    ///
    /// # Errors
    ///
    /// When the key does not belong to the certificate.
    pub fn new(identity: Identity, clients: Option<&Authorities>) -> Result<Self, TlsSetupError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?;
        let builder = match clients {
            Some(Authorities(roots)) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
                        .build()
                        .map_err(|error| TlsSetupError(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let Identity { chain, key } = identity;
        let mut config = builder.with_single_cert(chain, key).map_err(mismatched)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Connections live long, and each is to be checked anew.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config) })
    }

    /// The same for whoever joins it to a runtime by themselves, to speak `protocol` (`http/1.1`) inside.
    #[must_use]
    pub fn for_protocol(&self, protocol: &str) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(..)")
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unusable(error: rustls::Error) -> TlsSetupError {
    TlsSetupError(error.to_string())
}

fn mismatched(error: rustls::Error) -> TlsSetupError {
    TlsSetupError(match error {
        rustls::Error::InconsistentKeys(_) => {
            "the private key does not belong to the certificate".to_owned()
        }
        error => format!("the certificate or its key cannot be used: {error}"),
    })
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsSetupError(format!("a certificate cannot be read: {error}")))?;
    if certificates.is_empty() {
        let text = "there is no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        return Err(TlsSetupError(text.to_owned()));
    }
    Ok(certificates)
}
