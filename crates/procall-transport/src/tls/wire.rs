//! What TLS says about a failure, in our words; and the socket as it wants to write to it.

use std::io::{self, IoSlice, Write};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::TlsError;

/// A socket that takes what fits and never waits.
#[derive(Debug)]
pub(super) struct Wire<'a>(pub(super) BorrowedFd<'a>);

const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

impl Wire<'_> {
    fn again(mut sending: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
        loop {
            match sending() {
                Err(Errno::INTR) => {}
                sent => return Ok(sent?),
            }
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::again(|| send(self.0, bytes, FLAGS))
    }

    /// All records that are ready in one system call.
    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::again(|| sendmsg(self.0, bytes, &mut SendAncillaryBuffer::default(), FLAGS))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an error of a session with `peer` means; `settled` when the handshake was over before.
pub(super) fn explain(error: Error, peer: &str, settled: bool) -> TlsError {
    let peer = || peer.to_owned();
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => TlsError::UnknownAuthority { peer: peer() },
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsError::Expired { peer: peer() }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsError::NotYetValid { peer: peer() }
            }
            CertificateError::NotValidForName => {
                TlsError::WrongName { expected: peer(), presented: Vec::new() }
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                TlsError::WrongName { expected: peer(), presented: plain(presented) }
            }
            error => TlsError::BadCertificate { peer: peer(), why: error.to_string() },
        },
        Error::NoCertificatesPresented => TlsError::BadCertificate {
            peer: peer(),
            why: "a certificate is wanted, and none was shown".to_owned(),
        },
        Error::AlertReceived(alert) => alerted(alert),
        // The first bytes are no record of TLS at all.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) if !settled => TlsError::PeerIsPlain,
        error => TlsError::Failed { why: error.to_string() },
    }
}

/// What the other side has against this one.
fn alerted(alert: AlertDescription) -> TlsError {
    let why = || format!("{alert:?}");
    match alert {
        AlertDescription::CertificateRequired => TlsError::CertificateRequired,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => TlsError::CertificateRefused { why: why() },
        _ => TlsError::Failed { why: format!("the other side said {alert:?}") },
    }
}

/// The names of a certificate, without the words of the library around them.
fn plain(presented: Vec<String>) -> Vec<String> {
    let bare = |name: &str| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    // A certificate can have any number of names; a few tell whose it is.
    presented.iter().take(8).map(|name| bare(name)).collect()
}
