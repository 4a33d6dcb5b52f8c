//! TLS, as far as people have to do with it: which files, and what to do when it fails.

use std::path::{Path, PathBuf};

use procall_proto::ErrorCode;
use procall_transport::TlsError;
#[cfg(feature = "tls")]
use procall_transport::TlsSetupError;

use crate::error::Error;

/// Names the file with the certificates of the authorities whose signature on a peer's certificate counts, instead of those that this machine
/// trusts.
pub const CA: &str = "PROCALL_TLS_CA";
/// Names the file with this process's own certificate, and those between it and its authority.
pub const CERT: &str = "PROCALL_TLS_CERT";
/// Names the file with the key that belongs to [`CERT`].
pub const KEY: &str = "PROCALL_TLS_KEY";
/// Names the file with the authorities of which one must have signed the certificate of whoever connects to this process.
pub const CLIENT_CA: &str = "PROCALL_TLS_CLIENT_CA";

/// How a side that connects over TLS checks the other, and what it shows of itself. All are files in PEM, and all are optional.
///
/// ```no_run
/// # async fn f() -> Result<(), procall::Error> {
/// use procall::{Client, ConnectOptions, TlsFiles};
///
/// let tls = TlsFiles { ca: Some("ca.pem".into()), ..TlsFiles::default() };
/// let options = ConnectOptions { tls, ..ConnectOptions::default() };
/// let client = Client::connect_with("tls:engine.example:8443", options).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities whose signature counts. Without it those of `PROCALL_TLS_CA`, else those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show to a side that asks for one, with those between it and its authority. Without it that of `PROCALL_TLS_CERT`.
    pub cert: Option<PathBuf>,
    /// The key that belongs to it, which nobody else may be able to read. Without it that of `PROCALL_TLS_KEY`.
    pub key: Option<PathBuf>,
}

/// Who a side is that listens for TLS. Both files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServing {
    /// The certificate, with those between it and its authority. It is for the names and addresses that others connect to.
    pub cert: PathBuf,
    /// The key that belongs to it, which nobody else may be able to read.
    pub key: PathBuf,
    /// The authorities of which one must have signed the certificate of whoever connects. Without it nobody has to show one.
    pub client_ca: Option<PathBuf>,
}

impl TlsServing {
    /// What `PROCALL_TLS_CERT`, `PROCALL_TLS_KEY` and `PROCALL_TLS_CLIENT_CA` say.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT when there is no certificate or no key.
    pub fn of_environment() -> Result<Self, Error> {
        Self::of_files(&TlsFiles::default(), None)
    }

    /// The certificate and key of `own`, and these authorities for others; what is absent is what the environment says.
    pub(crate) fn of_files(own: &TlsFiles, client_ca: Option<&Path>) -> Result<Self, Error> {
        let cert = own.cert.clone().or_else(|| variable(CERT));
        let key = own.key.clone().or_else(|| variable(KEY));
        match (cert, key) {
            (Some(cert), Some(key)) => {
                let client_ca = client_ca.map(Path::to_owned).or_else(|| variable(CLIENT_CA));
                Ok(Self { cert, key, client_ca })
            }
            _ => Err(Error::invalid(format!(
                "whoever listens for TLS needs a certificate and its key: {CERT}=FILE and {KEY}=FILE, or the options `cert` and `key`"
            ))),
        }
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What is wrong with a connection, and what helps.
pub(crate) fn fault(error: &TlsError) -> (ErrorCode, String) {
    let (code, advice) = match error {
        TlsError::UnknownAuthority { .. } => (
            ErrorCode::Unauthenticated,
            "give the certificate of its authority: PROCALL_TLS_CA=FILE, or the option `ca`",
        ),
        TlsError::WrongName { .. } => (
            ErrorCode::Unauthenticated,
            "connect to a name that it has, or give it a certificate for this one",
        ),
        TlsError::Expired { .. } => (ErrorCode::Unauthenticated, "renew it on the other side"),
        TlsError::NotYetValid { .. } => (ErrorCode::Unauthenticated, "compare both clocks"),
        TlsError::BadCertificate { .. } => {
            (ErrorCode::Unauthenticated, "give the other side another certificate")
        }
        TlsError::CertificateRequired => (
            ErrorCode::Unauthenticated,
            "give one: PROCALL_TLS_CERT=FILE and PROCALL_TLS_KEY=FILE, or the options `cert` and `key`",
        ),
        TlsError::CertificateRefused { .. } => (
            ErrorCode::Unauthenticated,
            "give one that is in its time and signed by an authority that the other side trusts",
        ),
        TlsError::PeerIsPlain => (
            ErrorCode::ProtocolError,
            "connect with tcp: instead of tls:, or have it listen with tls:",
        ),
        TlsError::PeerSpeaksTls => (ErrorCode::ProtocolError, "connect with tls: instead of tcp:"),
        TlsError::HungUp => (
            ErrorCode::ConnectionLost,
            "it is stopping or full, or speaks no TLS: then connect with tcp: instead of tls:",
        ),
        _ => return (ErrorCode::ConnectionLost, format!("the connection broke: {error}")),
    };
    (code, format!("{error}; {advice}"))
}

/// What is said where there is no TLS.
#[cfg(not(feature = "tls"))]
pub(crate) fn missing() -> Error {
    Error::invalid("this program was built without TLS; build it with the feature `tls` of procall")
}

#[cfg(feature = "tls")]
fn unusable(path: &Path) -> impl Fn(TlsSetupError) -> Error {
    move |error| Error::invalid(format!("{}: {error}", path.display()))
}

#[cfg(feature = "tls")]
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        Error::invalid(format!("the certificate in {} cannot be read: {error}", path.display()))
            .with_source(error)
    })
}

#[cfg(feature = "tls")]
mod loading {
    use procall_transport::tls::{Authorities, ClientTls, Identity, ServerTls};

    use super::*;
    use crate::surroundings;

    impl TlsFiles {
        /// Reads the files.
        ///
        /// # Errors
        ///
        /// PERMISSION_DENIED when others than this user may read the key, INVALID_ARGUMENT for what cannot be read or does not fit together.
        pub fn load(&self) -> Result<ClientTls, Error> {
            let ca = self.ca.clone().or_else(|| variable(CA));
            let trusted = match &ca {
                Some(path) => Authorities::from_pem(&read(path)?).map_err(unusable(path))?,
                None => Authorities::of_the_system().map_err(|error| {
                    Error::invalid(format!("{error}; name a file with {CA}=FILE"))
                })?,
            };
            // Those of the environment belong together, and so do those that were given.
            let (cert, key) = match (&self.cert, &self.key) {
                (None, None) => (variable(CERT), variable(KEY)),
                given => (given.0.clone(), given.1.clone()),
            };
            let own = match (cert, key) {
                (Some(cert), Some(key)) => Some((identity(&cert, &key)?, cert)),
                (None, None) => None,
                _ => {
                    return Err(Error::invalid(format!(
                        "a certificate and its key are given together: {CERT}=FILE and {KEY}=FILE, or the options `cert` and `key`"
                    )));
                }
            };
            match own {
                Some((own, cert)) => ClientTls::new(&trusted, Some(own)).map_err(unusable(&cert)),
                None => ClientTls::new(&trusted, None)
                    .map_err(|error| Error::invalid(error.to_string())),
            }
        }
    }

    impl TlsServing {
        /// Reads the files.
        ///
        /// # Errors
        ///
        /// PERMISSION_DENIED when others than this user may read the key, INVALID_ARGUMENT for what cannot be read or does not fit together.
        pub fn load(&self) -> Result<ServerTls, Error> {
            let clients = match &self.client_ca {
                Some(path) => Some(Authorities::from_pem(&read(path)?).map_err(unusable(path))?),
                None => None,
            };
            ServerTls::new(identity(&self.cert, &self.key)?, clients.as_ref())
                .map_err(unusable(&self.cert))
        }
    }

    fn identity(cert: &Path, key: &Path) -> Result<Identity, Error> {
        let secret = surroundings::read_secret(key)?;
        let chain = read(cert)?;
        Identity::from_pem(&chain, &secret).map_err(|error| {
            Error::invalid(format!("{} and {}: {error}", cert.display(), key.display()))
        })
    }
}

/// A link on its way to a host: its name is looked up, then each of its addresses is tried.
#[cfg(feature = "tls")]
pub(crate) mod dial {
    use std::collections::VecDeque;
    use std::io;
    use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

    use procall_transport::tls::{ClientTls, TlsDial};
    use procall_transport::{Link, LinkOptions};

    use super::TlsFiles;
    use crate::error::Error;

    #[derive(Debug)]
    pub(crate) struct SecureDial {
        tls: ClientTls,
        host: String,
        stage: Stage,
    }

    #[derive(Debug)]
    enum Stage {
        LookingUp(Receiver<io::Result<Vec<SocketAddr>>>),
        Dialling(Option<TlsDial>, VecDeque<SocketAddr>),
    }

    impl SecureDial {
        pub(crate) fn start(host: &str, port: u16, files: &TlsFiles) -> Result<Self, Error> {
            let tls = files.load()?;
            let stage = match host.parse::<IpAddr>() {
                Ok(ip) => Stage::Dialling(None, [(ip, port).into()].into()),
                Err(_) => {
                    let (found, finding) = sync_channel(1);
                    let name = host.to_owned();
                    // The system's own look-up waits, so it gets a thread, which ends with it.
                    crate::lookout::thread("procall-lookup", move || {
                        let all = (&*name, port).to_socket_addrs().map(Iterator::collect);
                        // Nobody may want it any more.
                        let _ = found.send(all);
                    })?;
                    Stage::LookingUp(finding)
                }
            };
            Ok(Self { tls, host: host.to_owned(), stage })
        }

        /// The link, or `None` while there is nothing to tell. To be asked no more after anything but `None`.
        pub(crate) fn finish(&mut self) -> io::Result<Option<Box<dyn Link>>> {
            if let Stage::LookingUp(finding) = &self.stage {
                let found = match finding.try_recv() {
                    Ok(found) => found?,
                    Err(TryRecvError::Empty) => return Ok(None),
                    Err(TryRecvError::Disconnected) => {
                        return Err(io::Error::other("the look-up of the name has ended"));
                    }
                };
                self.stage = Stage::Dialling(None, found.into());
            }
            let Stage::Dialling(dial, left) = &mut self.stage else { return Ok(None) };
            let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            loop {
                let tried = match dial.take() {
                    Some(dial) => Ok(dial),
                    None => match left.pop_front() {
                        Some(address) => TlsDial::start(address, &self.host, &self.tls),
                        None => return Err(refused),
                    },
                };
                match tried.and_then(|tried| Ok((tried.finish(&LinkOptions::default())?, tried))) {
                    Ok((Some(link), _)) => return Ok(Some(Box::new(link))),
                    Ok((None, tried)) => {
                        *dial = Some(tried);
                        return Ok(None);
                    }
                    Err(error) => refused = error,
                }
            }
        }

        /// What becomes writable when there is something to tell; `None` while a name is looked up.
        pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            match &self.stage {
                Stage::Dialling(Some(dial), _) => Some(dial.as_fd()),
                _ => None,
            }
        }
    }
}
