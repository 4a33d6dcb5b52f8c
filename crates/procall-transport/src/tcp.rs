//! Links over TCP.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_reuseaddr, set_tcp_nodelay, socket_error};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, connect, getpeername, getsockname,
    listen, socket_with,
};

use crate::stream::StreamLink;
use crate::{Link, LinkError, LinkInfo, LinkOptions, fd};

/// Connections the kernel holds for a listener that does not accept; further ones wait in vain or are refused.
const BACKLOG: i32 = 1024;

/// How long [`TcpLink::connect`] waits for the other side.
const CONNECT: Duration = Duration::from_secs(5);

/// Bytes the kernel may hold that TCP has not yet sent. More would only make a ping stand in line behind them.
const NOT_SENT: u32 = 128 << 10;

/// A link over TCP, with `TCP_NODELAY`.
///
/// ```
/// use procall_transport::{Link, LinkOptions, readiness, tcp::{TcpLink, TcpListener}};
///
/// let options = LinkOptions::default();
/// let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
/// let client = TcpLink::connect(listener.local_addr()?, &options)?;
/// let server = listener.accept(&options)?.expect("a client is there");
/// assert_eq!(client.info().transport, "tcp");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpLink {
    stream: StreamLink,
}

impl Link for TcpLink {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.stream.buffer(len)
    }

    fn commit(&mut self) {
        self.stream.commit();
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.stream.flush()
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        self.stream.receive()
    }

    fn limit(&mut self, max_message: usize) {
        self.stream.limit(max_message);
    }

    fn info(&self) -> &LinkInfo {
        self.stream.info()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.stream.readiness()
    }

    fn edges(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.socket())
    }

    fn wants_room(&self) -> bool {
        self.stream.wants_room()
    }

    fn close(&mut self) {
        self.stream.close();
    }
}

impl TcpLink {
    /// The socket below, to look at or to be kept open by a copy. Whoever reads from it or writes to it breaks the link.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.stream.socket()
    }

    /// Bytes of memory that this link's two buffers hold now: bounded by what was really sent and received, never by what a
    /// peer only announced.
    pub fn memory(&self) -> usize {
        self.stream.memory()
    }

    /// Connects. This waits for the other side, five seconds at most: the one place in this crate that does.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] after that time, [`io::ErrorKind::ConnectionRefused`] when nobody listens, or what else the
    /// kernel says.
    pub fn connect(address: SocketAddr, options: &LinkOptions) -> io::Result<Self> {
        Self::from_fd(connected(address)?, options)
    }

    /// A link over a connected TCP socket, blocking or not: the link never waits either way, and leaves the mode as it is.
    ///
    /// # Errors
    ///
    /// When it is not a connected TCP socket, or the process is out of descriptors.
    pub fn from_fd(socket: OwnedFd, options: &LinkOptions) -> io::Result<Self> {
        let peer = prepare(&socket)?;
        let info =
            LinkInfo::new("tcp", options.message_limit()).with_address(format!("tcp:{peer}"));
        Ok(Self { stream: StreamLink::new(socket, info, options)? })
    }
}

/// A connection on its way, for those who must not wait. Its descriptor is writable when [`finish`](Self::finish) has an outcome.
///
/// ```
/// use procall_transport::{Link, LinkOptions, tcp::{TcpDial, TcpListener}};
///
/// let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
/// let dial = TcpDial::start(listener.local_addr()?)?;
/// let link = loop {
///     if let Some(link) = dial.finish(&LinkOptions::default())? {
///         break link;
///     }
/// };
/// assert_eq!(link.info().transport, "tcp");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpDial {
    socket: OwnedFd,
    address: SocketAddr,
}

impl TcpDial {
    /// Starts to connect; nothing waits.
    ///
    /// # Errors
    ///
    /// What the kernel says at once, such as that there is no way to the address.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let socket = new_socket(address)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self { socket, address }),
            Err(error) => Err(error.into()),
        }
    }

    /// The link, or `None` while the other side has not answered. To be asked no more after anything but `None`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ConnectionRefused`] when nobody listens, or what else the kernel says.
    pub fn finish(&self, options: &LinkOptions) -> io::Result<Option<TcpLink>> {
        self.finish_socket()?.map(|socket| TcpLink::from_fd(socket, options)).transpose()
    }

    pub(crate) fn finish_socket(&self) -> io::Result<Option<OwnedFd>> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        socket_error(&self.socket)??;
        // A connect to a free port of this machine from the range that the kernel gives out may meet itself: both ends are then one
        // socket, which would talk to itself. Nobody listens there.
        if local_addr(&self.socket)? == self.address {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.socket.try_clone().map(Some)
    }
}

impl AsFd for TcpDial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Listens on a TCP address.
///
/// Whoever can reach the address can connect: admission is the business of the layers above.
#[derive(Debug)]
pub struct TcpListener {
    socket: OwnedFd,
}

impl TcpListener {
    /// Binds and listens. Port 0 lets the kernel choose one; [`local_addr`](Self::local_addr) names it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] when another listens there, or what else the kernel says.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = new_socket(address)?;
        // A restarted listener must not wait a minute for its predecessor's closed connections.
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(Self { socket })
    }

    /// The next peer that connected, or `None` when nobody is there now. The descriptor is readable when somebody is.
    ///
    /// # Errors
    ///
    /// What the kernel says, in particular "too many open files". The peer then waits on in the queue, or, when only the link's second
    /// descriptor was missing, is hung up on; the listener stays usable, and readable.
    pub fn accept(&self, options: &LinkOptions) -> io::Result<Option<TcpLink>> {
        self.accept_as(|socket| TcpLink::from_fd(socket, options))
    }

    /// The same, with what `link` makes of the socket.
    pub(crate) fn accept_as<L>(
        &self,
        link: impl Fn(OwnedFd) -> io::Result<L>,
    ) -> io::Result<Option<L>> {
        loop {
            let socket = match accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            match link(socket) {
                // Gone before it was accepted: the next one, please.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                link => return link.map(Some),
            }
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        local_addr(&self.socket)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sets a connected socket up as every link over TCP wants it; who is at the other end.
pub(crate) fn prepare(socket: &OwnedFd) -> io::Result<SocketAddr> {
    set_tcp_nodelay(socket, true)?;
    fd::set_notsent_lowat(socket.as_fd(), NOT_SENT)?;
    let peer = getpeername(socket)?.ok_or(io::ErrorKind::NotConnected)?;
    Ok(SocketAddr::try_from(peer)?)
}

/// Connects, and waits for the other side.
pub(crate) fn connected(address: SocketAddr) -> io::Result<OwnedFd> {
    let dial = TcpDial::start(address)?;
    wait_for(&dial, CONNECT)?;
    dial.finish_socket()?.ok_or_else(|| {
        let text = format!("{address} did not answer within {} s", CONNECT.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    })
}

fn new_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

/// Waits until a dial has an outcome, or the time is up.
fn wait_for(dial: &TcpDial, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("a few seconds fit");
        let mut fds = [PollFd::new(dial, PollFlags::OUT)];
        match poll(&mut fds, Some(&left)) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn local_addr(socket: &OwnedFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(getsockname(socket)?)?)
}
