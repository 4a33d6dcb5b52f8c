//! Why two peers could not speak to each other in secret.

/// Why two peers could not speak to each other over TLS.
///
/// It is there without the feature `tls` too: a plain link that meets TLS says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The other side's certificate is signed by nobody who is trusted here.
    #[error("the certificate of {peer} is signed by nobody who is trusted here")]
    UnknownAuthority {
        /// Whose certificate it is to be.
        peer: String,
    },
    /// The other side's certificate is for other names.
    #[error("the certificate is for {}, not for {expected}", names(presented))]
    WrongName {
        /// The name that was asked for.
        expected: String,
        /// The names that it has.
        presented: Vec<String>,
    },
    /// The other side's certificate has expired.
    #[error("the certificate of {peer} has expired")]
    Expired {
        /// Whose certificate it is to be.
        peer: String,
    },
    /// The other side's certificate is not valid yet, or the clock of this machine is wrong.
    #[error("the certificate of {peer} is not valid yet, or the clock of this machine is wrong")]
    NotYetValid {
        /// Whose certificate it is to be.
        peer: String,
    },
    /// The other side's certificate is no good for another reason.
    #[error("the certificate of {peer} is not accepted: {why}")]
    BadCertificate {
        /// Whose certificate it is to be.
        peer: String,
        /// The reason.
        why: String,
    },
    /// The other side wants a certificate of this side, which has shown none.
    #[error("the other side wants to see a certificate, and was shown none")]
    CertificateRequired,
    /// The other side does not accept this side's certificate.
    #[error("the other side does not accept the certificate that it was shown: {why}")]
    CertificateRefused {
        /// The alert that it sent.
        why: String,
    },
    /// The other side does not speak TLS.
    #[error("the other side does not speak TLS")]
    PeerIsPlain,
    /// The other side speaks TLS, and this side does not.
    #[error("the other side speaks TLS, and this side does not")]
    PeerSpeaksTls,
    /// The other side hung up before the handshake was over.
    #[error("the other side hung up before the TLS handshake was over")]
    HungUp,
    /// What the other side sent, or that there is nothing that both sides support.
    #[error("TLS failed: {why}")]
    Failed {
        /// The reason.
        why: String,
    },
}

/// A certificate, key or set of authorities that cannot be used.
///
/// ```
/// # #[cfg(feature = "tls")] {
/// use procall_transport::tls::Authorities;
///
/// let error = Authorities::from_pem(b"no certificate").unwrap_err();
/// assert!(error.to_string().contains("PEM"));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsSetupError(pub(crate) String);

fn names(presented: &[String]) -> String {
    if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") }
}
