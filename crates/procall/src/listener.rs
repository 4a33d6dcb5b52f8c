//! Where clients arrive: a socket that listens at an address.

use std::io;
#[cfg(feature = "tls")]
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use procall_proto::ErrorCode;
use procall_transport::tcp::TcpListener;
#[cfg(feature = "tls")]
use procall_transport::tls::TlsListener;
use procall_transport::unix::UnixListener;
use procall_transport::{Address, Link, LinkOptions};

use crate::error::Error;
use crate::lock::Lock;
use crate::surroundings::may_call;
use crate::tls::{TlsFiles, TlsServing};

/// A socket that listens at an address; it never waits.
///
/// A [`Server`](crate::Server) has one; event loops that are not ours watch its descriptor and accept for themselves.
///
/// ```
/// use procall::Listener;
///
/// let listener = Listener::bind(&"tcp:127.0.0.1:0".parse()?)?;
/// assert!(listener.accept()?.is_none(), "nobody there yet");
/// let _client = procall::open(&listener.address().to_string())?;
/// assert!(listener.accept()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    // Goes before the lock: once that is free, the socket file is another's.
    socket: Socket,
    address: Address,
    /// The user that this process acts as, the only one beside root whose connections to a socket file are taken.
    own: u32,
    /// `None` over TCP, where the kernel knows who has a port.
    _lock: Option<Lock>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
    #[cfg(feature = "tls")]
    Tls(TlsListener),
}

impl Listener {
    /// Listens at an address. For TLS, the certificate and key are those that [`TlsServing::of_environment`] names.
    ///
    /// A socket file has a lock file beside it, its name with `.lock` behind it, which is locked for as long as this lives. A socket file
    /// that was left by a process that is gone is replaced; dropping this removes both files.
    ///
    /// # Errors
    ///
    /// NAME_TAKEN when another listens there, PERMISSION_DENIED and UNAVAILABLE with what the kernel says otherwise. For TLS also those of
    /// [`TlsServing`].
    pub fn bind(address: &Address) -> Result<Self, Error> {
        match address {
            Address::Tls { .. } => Self::bind_secured(address, &TlsServing::of_environment()?),
            _ => Self::bind_plain(address),
        }
    }

    /// The same for TLS with files of the caller's own, instead of those of the environment; they mean nothing at other addresses.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), and INVALID_ARGUMENT for the name of a host: whoever listens does so at an address of this machine.
    pub fn bind_secured(address: &Address, tls: &TlsServing) -> Result<Self, Error> {
        match address {
            Address::Tls { host, port } => Self::bind_tls(host, *port, tls),
            _ => Self::bind_plain(address),
        }
    }

    /// The same for what a user has said of TLS, or not: each file that is absent is the one that the environment names.
    ///
    /// ```no_run
    /// use procall::{Listener, TlsFiles};
    ///
    /// let own = TlsFiles { cert: Some("calc.pem".into()), key: Some("calc.key".into()), ..TlsFiles::default() };
    /// let listener = Listener::bind_files(&"tls:127.0.0.1:8443".parse()?, &own, None)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`bind_secured`](Self::bind_secured), and INVALID_ARGUMENT for files at an address without TLS: nobody is to believe that they
    /// protect anything there.
    pub fn bind_files(
        address: &Address,
        own: &TlsFiles,
        client_ca: Option<&Path>,
    ) -> Result<Self, Error> {
        if let Address::Tls { .. } = address {
            return Self::bind_secured(address, &TlsServing::of_files(own, client_ca)?);
        }
        if own.cert.is_some() || own.key.is_some() || client_ca.is_some() {
            return Err(Error::invalid(format!(
                "a certificate is for TLS: listen at an address such as tls:127.0.0.1:8443 instead of {address}"
            )));
        }
        Self::bind_plain(address)
    }

    #[cfg(feature = "tls")]
    fn bind_tls(host: &str, port: u16, tls: &TlsServing) -> Result<Self, Error> {
        let ip: IpAddr = host.parse().map_err(|_| {
            Error::invalid(format!(
                "cannot listen at tls:{host}:{port}: give an IP address of this machine instead of a name, such as tls:127.0.0.1:{port}, or tls:0.0.0.0:{port} for all"
            ))
        })?;
        let address = Address::Tls { host: host.to_owned(), port };
        let failed = |error| refused(&address, error);
        let listener = TlsListener::bind((ip, port).into(), &tls.load()?).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let address = Address::Tls { host: host.to_owned(), port };
        let own = rustix::process::geteuid().as_raw();
        Ok(Self { socket: Socket::Tls(listener), address, own, _lock: None })
    }

    #[cfg(not(feature = "tls"))]
    fn bind_tls(_: &str, _: u16, _: &TlsServing) -> Result<Self, Error> {
        Err(crate::tls::missing())
    }

    fn bind_plain(address: &Address) -> Result<Self, Error> {
        let failed = |error| refused(address, error);
        let own = rustix::process::geteuid().as_raw();
        match address {
            Address::Unix(path) => {
                let lock = Lock::take(path)?;
                lock.clear(path)?;
                let socket = Socket::Unix(UnixListener::bind(path).map_err(failed)?);
                Ok(Self { socket, address: address.clone(), own, _lock: Some(lock) })
            }
            Address::Tcp(socket) => {
                let listener = TcpListener::bind(*socket).map_err(failed)?;
                let address = Address::Tcp(listener.local_addr().map_err(failed)?);
                Ok(Self { socket: Socket::Tcp(listener), address, own, _lock: None })
            }
            other => Err(Error::invalid(format!("cannot listen at {other}"))),
        }
    }

    /// Where it listens; a port that was given as 0 is the real one here.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next peer that connected, or `None` when nobody is there now.
    ///
    /// On a Unix socket that is a process of this user or of root; those of others are hung up on.
    pub fn accept(&self) -> io::Result<Option<Box<dyn Link>>> {
        self.accept_with(&LinkOptions::default())
    }

    /// The same with bounds for its link.
    pub fn accept_with(&self, options: &LinkOptions) -> io::Result<Option<Box<dyn Link>>> {
        match &self.socket {
            Socket::Unix(listener) => {
                while let Some(mut link) = listener.accept(options)? {
                    if may_call(link.info().peer, self.own) {
                        return Ok(Some(Box::new(link)));
                    }
                    link.close();
                }
                Ok(None)
            }
            Socket::Tcp(listener) => Ok(listener.accept(options)?.map(|link| Box::new(link) as _)),
            #[cfg(feature = "tls")]
            Socket::Tls(listener) => Ok(listener.accept(options)?.map(|link| Box::new(link) as _)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(listener) => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
            #[cfg(feature = "tls")]
            Socket::Tls(listener) => listener.as_fd(),
        }
    }
}

/// What the kernel has against a place to listen.
fn refused(address: &Address, error: io::Error) -> Error {
    let (code, why) = match error.kind() {
        io::ErrorKind::PermissionDenied => (ErrorCode::PermissionDenied, error.to_string()),
        io::ErrorKind::InvalidInput => (ErrorCode::InvalidArgument, error.to_string()),
        io::ErrorKind::AddrInUse if !matches!(address, Address::Unix(_)) => {
            (ErrorCode::NameTaken, "another process listens there already".to_owned())
        }
        io::ErrorKind::AddrInUse => {
            (ErrorCode::Unavailable, format!("{error}, and is no socket; remove it"))
        }
        _ => (ErrorCode::Unavailable, error.to_string()),
    };
    Error::new(code, format!("cannot listen at {address}: {why}")).with_source(error)
}
