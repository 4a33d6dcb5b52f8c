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
    /// A host and port where TLS is spoken: `tls:engine.example:8443`, `tls:127.0.0.1:8443`, `tls:[::1]:8443`.
    Tls {
        /// A name, which is looked up, or an IP address without brackets. The peer's certificate must be for it.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// None of `unix:`, `tcp:` and `tls:`.
    #[error(
        "`{text}` is not an address: expected `unix:` and a path, like unix:/run/calc.sock, or `tcp:`, an IP address and a port, like tcp:127.0.0.1:8080, or `tls:`, a host and a port, like tls:engine.example:8443"
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
    /// `tls:` without a host and a port.
    #[error(
        "`{text}` is not a TLS address: expected a name or an IP address, and a port, after `tls:`, like tls:engine.example:8443 or tls:[::1]:8443"
    )]
    Host {
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
        if let Some(rest) = text.strip_prefix("tls:") {
            return host_of(rest).ok_or_else(|| AddressError::Host { text: own() });
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
            Self::Tls { host, port } => write!(f, "tls:{}", host_and_port(host, *port)),
        }
    }
}

fn host_of(text: &str) -> Option<Address> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(Address::Tls { host: socket.ip().to_string(), port: socket.port() });
    }
    let (host, port) = text.rsplit_once(':')?;
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    let named = host.len() <= 253 && host.split('.').all(label);
    // Not a number in its end: that would be an IP address that is written wrong.
    let address =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (named && !address)
        .then(|| Some(Address::Tls { host: host.to_owned(), port: port.parse().ok()? }))
        .flatten()
}

/// A host and a port as they stand in an address.
pub(crate) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Connects to an address. A Unix socket answers at once; TCP is waited for, five seconds at most. Over TLS, whom this machine trusts is
/// trusted; [`TlsLink::connect`](crate::tls::TlsLink::connect) takes other authorities, and certificates of one's own.
///
/// # Errors
///
/// Of [`UnixLink::connect`], [`TcpLink::connect`] and `TlsLink::connect`; [`io::ErrorKind::Unsupported`] for TLS without the feature `tls`.
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
        Address::Tls { host, port } => return tls(host, *port, options),
    })
}

#[cfg(feature = "tls")]
fn tls(host: &str, port: u16, options: &LinkOptions) -> io::Result<Box<dyn Link>> {
    use crate::tls::{Authorities, ClientTls, TlsLink};

    let trusted = Authorities::of_the_system().map_err(io::Error::other)?;
    let tls = ClientTls::new(&trusted, None).map_err(io::Error::other)?;
    Ok(Box::new(TlsLink::connect(host, port, &tls, options)?))
}

#[cfg(not(feature = "tls"))]
fn tls(_: &str, _: u16, _: &LinkOptions) -> io::Result<Box<dyn Link>> {
    let text = "this program was built without TLS; build it with the feature `tls`";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}
