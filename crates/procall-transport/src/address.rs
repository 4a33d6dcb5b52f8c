//! Where a peer is, as people write it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::tcp::TcpLink;
use crate::unix::UnixLink;
use crate::{Link, LinkOptions};

/// Where a peer listens.
///
/// ```
/// use procall_transport::Address;
///
/// let address: Address = "tcp:127.0.0.1:8080".parse()?;
/// assert_eq!(address, Address::Tcp(([127, 0, 0, 1], 8080).into()));
/// assert_eq!(address.to_string(), "tcp:127.0.0.1:8080");
///
/// let error = "127.0.0.1:8080".parse::<Address>().unwrap_err();
/// assert!(error.to_string().contains("tcp:127.0.0.1:8080"), "the error shows the form: {error}");
/// # Ok::<(), procall_transport::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket's path: `unix:/run/calc.sock`.
    Unix(PathBuf),
    /// An IP address and port: `tcp:127.0.0.1:8080`, `tcp:[::1]:8080`.
    Tcp(SocketAddr),
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Neither `unix:` nor `tcp:`.
    #[error(
        "`{text}` is not an address: expected `unix:` and a path, like unix:/run/calc.sock, or `tcp:`, an IP address and a port, like tcp:127.0.0.1:8080"
    )]
    Scheme {
        /// What was written.
        text: String,
    },
    /// `unix:` without a path, or with one that no file can have.
    #[error(
        "`{text}` is not a Unix address: expected a path after `unix:`, like unix:/run/calc.sock"
    )]
    Path {
        /// What was written.
        text: String,
    },
    /// `tcp:` without an IP address and a port.
    #[error(
        "`{text}` is not a TCP address: expected an IP address and a port after `tcp:`, like tcp:127.0.0.1:8080 or tcp:[::1]:8080; names are not looked up"
    )]
    Socket {
        /// What was written.
        text: String,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let own = || text.to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || path.contains('\0') {
                return Err(AddressError::Path { text: own() });
            }
            return Ok(Self::Unix(path.into()));
        }
        match text.strip_prefix("tcp:") {
            Some(socket) => {
                socket.parse().map(Self::Tcp).map_err(|_| AddressError::Socket { text: own() })
            }
            None => Err(AddressError::Scheme { text: own() }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(socket) => write!(f, "tcp:{socket}"),
        }
    }
}

/// Connects to an address. A Unix socket answers at once; TCP is waited for, five seconds at most.
///
/// # Errors
///
/// Of [`UnixLink::connect`] and [`TcpLink::connect`].
///
/// ```
/// use procall_transport::{Address, LinkOptions, connect, tcp::TcpListener};
///
/// let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
/// let address = Address::Tcp(listener.local_addr()?);
/// let link = connect(&address, &LinkOptions::default())?;
/// assert_eq!(link.info().address, address.to_string());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connect(address: &Address, options: &LinkOptions) -> io::Result<Box<dyn Link>> {
    Ok(match address {
        Address::Unix(path) => Box::new(UnixLink::connect(path, options)?),
        Address::Tcp(socket) => Box::new(TcpLink::connect(*socket, options)?),
    })
}
