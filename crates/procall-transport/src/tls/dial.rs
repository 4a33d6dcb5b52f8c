//! Where links over TLS begin: by connecting, and by listening.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};

use super::{ClientTls, ServerTls, TlsLink};
use crate::LinkOptions;
use crate::tcp::{self, TcpDial, TcpListener};

impl TlsLink {
    /// Looks the host up, if it is no IP address, and connects. This waits, for the other side five seconds at most for each of its
    /// addresses; the handshake is not waited for.
    ///
    /// # Errors
    ///
    /// Those of [`TcpLink::connect`](crate::tcp::TcpLink::connect), and what is said of a name that cannot be found.
    pub fn connect(
        host: &str,
        port: u16,
        tls: &ClientTls,
        options: &LinkOptions,
    ) -> io::Result<Self> {
        let mut refused = None;
        for address in (host, port).to_socket_addrs()? {
            match tcp::connected(address) {
                Ok(socket) => return Self::client(socket, host, tls, options),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

/// A connection on its way, for those who must not wait. Its descriptor is writable when [`finish`](Self::finish) has an outcome.
#[derive(Debug)]
pub struct TlsDial {
    dial: TcpDial,
    host: String,
    tls: ClientTls,
}

impl TlsDial {
    /// Starts to connect to an address, where `host` is to be; nothing waits.
    ///
    /// # Errors
    ///
    /// What the kernel says at once.
    pub fn start(address: SocketAddr, host: &str, tls: &ClientTls) -> io::Result<Self> {
        Ok(Self { dial: TcpDial::start(address)?, host: host.to_owned(), tls: tls.clone() })
    }

    /// The link, still in its handshake, or `None` while the other side has not answered. To be asked no more after anything but `None`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ConnectionRefused`] when nobody listens, or what else the kernel says.
    pub fn finish(&self, options: &LinkOptions) -> io::Result<Option<TlsLink>> {
        match self.dial.finish_socket()? {
            Some(socket) => TlsLink::client(socket, &self.host, &self.tls, options).map(Some),
            None => Ok(None),
        }
    }
}

impl AsFd for TlsDial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dial.as_fd()
    }
}

/// Listens on a TCP address for peers that speak TLS.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    tls: ServerTls,
}

impl TlsListener {
    /// Binds and listens. Port 0 lets the kernel choose one; [`local_addr`](Self::local_addr) names it.
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::bind`].
    pub fn bind(address: SocketAddr, tls: &ServerTls) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address)?, tls: tls.clone() })
    }

    /// The next peer that connected, still in its handshake, or `None` when nobody is there now. The descriptor is readable when somebody
    /// is.
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::accept`].
    pub fn accept(&self, options: &LinkOptions) -> io::Result<Option<TlsLink>> {
        self.listener.accept_as(|socket| TlsLink::server(socket, &self.tls, options))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsFd for TlsListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
