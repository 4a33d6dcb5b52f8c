//! Where clients arrive: a socket that listens at an address.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use procall_proto::ErrorCode;
use procall_transport::tcp::TcpListener;
use procall_transport::unix::UnixListener;
use procall_transport::{Address, Link, LinkOptions};

use crate::error::Error;

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
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at an address. A socket file that nobody listens at any more is replaced.
    pub fn bind(address: &Address) -> Result<Self, Error> {
        let failed = |error: io::Error| {
            let code = match error.kind() {
                io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
                _ => ErrorCode::Unavailable,
            };
            Error::new(code, format!("cannot listen at {address}: {error}")).with_source(error)
        };
        let (socket, address) = match address {
            Address::Unix(path) => {
                remove_stale(path);
                (Socket::Unix(UnixListener::bind(path).map_err(failed)?), address.clone())
            }
            Address::Tcp(socket) => {
                let listener = TcpListener::bind(*socket).map_err(failed)?;
                let address = Address::Tcp(listener.local_addr().map_err(failed)?);
                (Socket::Tcp(listener), address)
            }
            other => return Err(Error::invalid(format!("cannot listen at {other}"))),
        };
        Ok(Self { socket, address })
    }

    /// Where it listens; a port that was given as 0 is the real one here.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next peer that connected, or `None` when nobody is there now.
    pub fn accept(&self) -> io::Result<Option<Box<dyn Link>>> {
        let options = LinkOptions::default();
        Ok(match &self.socket {
            Socket::Unix(listener) => listener.accept(&options)?.map(|link| Box::new(link) as _),
            Socket::Tcp(listener) => listener.accept(&options)?.map(|link| Box::new(link) as _),
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(listener) => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// Removes a socket file that nobody listens at. Anything else in the way is left for `bind` to complain about.
fn remove_stale(path: &Path) {
    use std::os::unix::fs::FileTypeExt;
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = || {
        std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && refused() {
        // If it cannot be removed, `bind` says why.
        let _ = std::fs::remove_file(path);
    }
}
