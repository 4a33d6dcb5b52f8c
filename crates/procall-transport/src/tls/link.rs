//! One link over TLS.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

use super::wire::{Wire, explain};
use super::{ClientTls, ServerTls};
use crate::buffer::{Inbox, Outbox};
use crate::readiness::Readiness;
use crate::stream::MAX_DISCARDED;
use crate::{Link, LinkError, LinkInfo, LinkOptions, TlsError};

/// What one read takes out of the kernel. It lies on the stack, so that an idle link costs nothing for it.
const READ: usize = 32 << 10;

/// A link over TLS 1.3 on a TCP socket.
///
/// What has arrived is deciphered at once and whole, so that nothing is left where the readiness descriptor does not see it. The handshake
/// goes on with `receive` and `flush`; what is queued before it is over goes out as soon as it is. A failed one is [`LinkError::Tls`].
///
/// A peer that goes without saying goodbye, as one that is killed, has closed the link like one that did: a message that was cut is
/// [`LinkError::Truncated`], since messages tell their lengths, and what was cut between two messages is the same as a lost connection.
pub struct TlsLink {
    // Before the socket, so that at drop the epoll descriptor never watches a closed number.
    readiness: Readiness,
    socket: OwnedFd,
    tls: Connection,
    /// Who the peer is to be, for errors.
    peer: String,
    inbox: Inbox,
    outbox: Outbox,
    info: LinkInfo,
    /// The last read was short: the next look is left to the level-triggered readiness.
    drained: bool,
    /// Bytes were flushed that wait for the end of the handshake.
    asked: bool,
    /// What comes after the messages that are in the inbox.
    end: Option<LinkError>,
    /// What ended sending only.
    mute: Option<LinkError>,
    /// What ended the link.
    dead: Option<LinkError>,
}

impl TlsLink {
    /// The side that connects, over a connected TCP socket; `host` is the name or IP address that the peer's certificate must have.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when `host` is no name, [`ErrorKind::NotConnected`] for a socket that is not connected, or the process is
    /// out of descriptors.
    pub fn client(
        socket: OwnedFd,
        host: &str,
        tls: &ClientTls,
        options: &LinkOptions,
    ) -> io::Result<Self> {
        let peer = crate::tcp::prepare(&socket)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(ErrorKind::InvalidInput, format!("{host:?} is no name of a host"))
        })?;
        let tls = ClientConnection::new(tls.0.clone(), name).map_err(io::Error::other)?;
        let address = format!("tls:{}", crate::address::host_and_port(host, peer.port()));
        Self::new(socket, Connection::Client(tls), host.to_owned(), address, options)
    }

    /// The side that was connected to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotConnected`] for a socket that is not connected, or the process is out of descriptors.
    pub fn server(socket: OwnedFd, tls: &ServerTls, options: &LinkOptions) -> io::Result<Self> {
        let peer = crate::tcp::prepare(&socket)?;
        let tls = ServerConnection::new(tls.config()).map_err(io::Error::other)?;
        let name = peer.ip().to_string();
        Self::new(socket, Connection::Server(tls), name, format!("tls:{peer}"), options)
    }

    fn new(
        socket: OwnedFd,
        tls: Connection,
        peer: String,
        address: String,
        options: &LinkOptions,
    ) -> io::Result<Self> {
        let mut link = Self {
            readiness: Readiness::new(socket.as_fd())?,
            socket,
            tls,
            peer,
            inbox: Inbox::new(options.message_limit()),
            outbox: Outbox::new(options),
            info: LinkInfo::new("tls", options.message_limit()).with_address(address),
            drained: false,
            asked: false,
            end: None,
            mute: None,
            dead: None,
        };
        // The first words of the one that connects; a socket that has broken meanwhile says so at the first use.
        let _ = link.send();
        Ok(link)
    }

    /// Whether the two sides do not speak in secret yet.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The socket below, to look at or to be kept open by a copy. Whoever reads from it or writes to it breaks the link.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Bytes of memory that this link's two buffers hold now. TLS itself holds up to 128 KiB more while bytes are on their way.
    pub fn memory(&self) -> usize {
        self.inbox.capacity() + self.outbox.capacity()
    }

    fn check_sending(&self) -> Result<(), LinkError> {
        match self.dead.as_ref().or(self.mute.as_ref()) {
            Some(error) => Err(error.again()),
            None => Ok(()),
        }
    }

    /// Enciphers and sends until all is gone or the kernel has no room, and watches for room exactly while something is left.
    fn flush_once(&mut self) -> Result<bool, LinkError> {
        match self.send_all() {
            Ok(done) => Ok(done),
            Err(error) => {
                // A descriptor that cannot be watched any more is as good as none.
                let _ = self.readiness.want_room(self.socket.as_fd(), false);
                self.mute = Some(error.again());
                Err(error)
            }
        }
    }

    fn send_all(&mut self) -> Result<bool, LinkError> {
        self.asked = self.tls.is_handshaking();
        loop {
            if !self.asked {
                let taken = self.tls.writer().write(self.outbox.unsent())?;
                self.outbox.sent(taken);
            }
            self.send()?;
            if self.asked || self.outbox.unsent().is_empty() || self.tls.wants_write() {
                break;
            }
        }
        self.readiness.want_room(self.socket.as_fd(), self.tls.wants_write())?;
        Ok(self.outbox.unsent().is_empty() && !self.tls.wants_write())
    }

    /// Hands what is enciphered to the kernel as far as it takes it.
    fn send(&mut self) -> Result<(), LinkError> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Wire(self.socket.as_fd())) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ) =>
                {
                    return Err(LinkError::Closed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// One read out of the kernel, deciphered into the inbox. False when nothing is there.
    fn read(&mut self) -> io::Result<bool> {
        let mut room = [const { MaybeUninit::<u8>::uninit() }; READ];
        let read = loop {
            match recv(&self.socket, &mut room[..], RecvFlags::DONTWAIT) {
                Ok(((read, _), _)) => break &*read,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                // The peer went without reading all that we sent: for what it sent to us, this is the end of file.
                Err(Errno::CONNRESET | Errno::PIPE) => break &[],
                Err(error) => return Err(error.into()),
            }
        };
        self.drained = !read.is_empty() && read.len() < READ;
        if read.is_empty() {
            let early = self.tls.is_handshaking();
            self.end = Some(if early { TlsError::HungUp.into() } else { LinkError::Closed });
            return Ok(true);
        }
        self.decipher(read);
        Ok(true)
    }

    fn decipher(&mut self, mut bytes: &[u8]) {
        let settled = !self.tls.is_handshaking();
        while !bytes.is_empty() && self.end.is_none() {
            // A slice does not fail; TLS itself does when it is to hold too much.
            if let Err(error) = self.tls.read_tls(&mut bytes) {
                self.end = Some(TlsError::Failed { why: error.to_string() }.into());
                break;
            }
            let state = self.tls.process_new_packets();
            self.pull();
            match state {
                Ok(state) if state.peer_has_closed() => self.end = Some(LinkError::Closed),
                Ok(_) => {}
                Err(error) => self.end = Some(explain(error, &self.peer, settled).into()),
            }
        }
        // The handshake's next words, and what waited for its end. What cannot be sent any more is told to who flushes next.
        if self.mute.is_none() && (self.tls.wants_write() || self.asked) {
            let _ = self.flush_once();
        }
    }

    /// Takes all that is deciphered. It is no more than what one read brought, whatever the peer does.
    fn pull(&mut self) {
        let mut reader = self.tls.reader();
        while let Ok(plain @ [_, ..]) = reader.fill_buf() {
            let room = self.inbox.spare();
            let taken = plain.len().min(room.capacity() - room.len());
            room.extend_from_slice(&plain[..taken]);
            reader.consume(taken);
        }
    }

    /// The end: the peer learns it, and every later call repeats why.
    fn die(&mut self, error: LinkError) -> LinkError {
        self.dead = Some(error.again());
        // A socket that the peer has closed may refuse all of this; there is then nobody left to tell.
        self.tls.send_close_notify();
        let _ = self.send();
        let _ = shutdown(&self.socket, Shutdown::Write);
        self.discard_input();
        let _ = shutdown(&self.socket, Shutdown::Both);
        error
    }

    /// As a plain link does, so that the peer gets what was sent last instead of a reset.
    fn discard_input(&mut self) {
        self.inbox.clear();
        let mut room = [const { MaybeUninit::<u8>::uninit() }; READ];
        for _ in 0..MAX_DISCARDED / READ {
            let read = recv(&self.socket, &mut room[..], RecvFlags::DONTWAIT);
            if !matches!(read, Ok(((_, _), 1..))) {
                return;
            }
        }
    }
}

impl Link for TlsLink {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.check_sending()?;
        self.outbox.lend(len)
    }

    fn commit(&mut self) {
        self.outbox.commit();
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.check_sending()?;
        if self.flush_once()? {
            return Ok(true);
        }
        // Once more, because of the room that came before it was watched for: see the plain link.
        self.flush_once()
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        if let Some(dead) = &self.dead {
            return Err(dead.again());
        }
        loop {
            match self.inbox.take() {
                Ok(Some(at)) => return Ok(Some(self.inbox.message(at))),
                Ok(None) => {}
                Err(error) => return Err(self.die(error)),
            }
            match self.end.take() {
                Some(LinkError::Closed) if self.inbox.is_partial() => {
                    return Err(self.die(LinkError::Truncated));
                }
                Some(error) => return Err(self.die(error)),
                None => {}
            }
            if std::mem::take(&mut self.drained) {
                return Ok(None);
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => {
                    // It may have been the room to send that woke us: to a waiter who only reads it would fire for ever.
                    if self.mute.is_none() && self.tls.wants_write() {
                        let _ = self.flush_once();
                    }
                    return Ok(None);
                }
                Err(error) => return Err(self.die(error.into())),
            }
        }
    }

    fn limit(&mut self, max_message: usize) {
        self.inbox.limit(max_message.min(self.info.max_message));
    }

    fn info(&self) -> &LinkInfo {
        &self.info
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }

    fn close(&mut self) {
        if self.dead.is_none() {
            self.die(LinkError::Closed);
        }
    }
}

/// Nothing of what it carries.
impl fmt::Debug for TlsLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsLink")
            .field("info", &self.info)
            .field("handshaking", &self.tls.is_handshaking())
            .field("inbox", &self.inbox)
            .field("outbox", &self.outbox)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}
