//! Links over Unix stream sockets: the default on one machine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, Stat, fchmod, lstat, unlink};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with, socketpair,
};

use crate::shm::{self, Arena, Arrivals, Buffer, Choice, Look, Passage, Progress, Promise};
use crate::stream::{Arrival, StreamLink};
use crate::{Link, LinkError, LinkInfo, LinkOptions, fd};

/// Connections the kernel holds for a listener that does not accept; further ones are refused (`EAGAIN`) until it does.
const BACKLOG: i32 = 1024;

/// A link over a Unix stream socket.
///
/// ```
/// use procall_transport::{Link, LinkOptions, unix::UnixLink};
///
/// let (left, _right) = UnixLink::pair(&LinkOptions::default())?;
/// assert_eq!(left.info().transport, "unix");
/// assert_eq!(left.info().peer.expect("the kernel knows").pid, std::process::id());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixLink {
    stream: StreamLink,
    choice: Option<Choice>,
    /// The other side may ask for shared memory; whether this side began the session.
    prepared: Option<bool>,
    /// The owner rests before it waits.
    attended: bool,
    /// The other side takes loans; here its own are found.
    lends: Option<Arc<Arrivals>>,
    /// The way into shared memory, once it was asked for.
    passage: Option<Box<Passage>>,
}

impl Link for UnixLink {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.stream.buffer(len)
    }

    fn commit(&mut self) {
        self.stream.commit();
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        match self.passage() {
            Some((passage, stream)) => passage.flush(stream),
            None => self.stream.flush(),
        }
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        let Self { stream, passage, prepared, attended, lends, .. } = self;
        if passage.is_none() && prepared.is_some() {
            match stream.next(true)? {
                None => return Ok(None),
                Some(Arrival::Message(at)) => return Ok(Some(stream.inbox.message(at))),
                Some(Arrival::Record(record)) if shm::is_ask(record) => {
                    let mut way = Passage::new(true, *attended, stream.hand_over());
                    way.lends(lends.as_ref());
                    *passage = Some(Box::new(way));
                }
                Some(Arrival::Record(_)) => return Err(stream.die(LinkError::Empty)),
            }
        }
        match passage {
            Some(passage) if !passage.is_over() => passage.receive(stream),
            _ => stream.receive(),
        }
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
        // Once the other side rings, that is to be heard too; see `hears`.
        self.bell().is_none().then(|| self.stream.socket())
    }

    fn wants_room(&self) -> bool {
        self.stream.wants_room()
    }

    fn close(&mut self) {
        if let Some(passage) = &self.passage {
            passage.close();
        }
        self.stream.close();
    }

    fn unix(&mut self) -> Option<&mut UnixLink> {
        Some(self)
    }
}

impl UnixLink {
    /// The socket below, to look at or to be kept open by a copy. Whoever reads from it or writes to it breaks the link.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.stream.socket()
    }

    /// Bytes of memory that this link's two buffers hold now: bounded by what was really sent and received, never by what a
    /// peer only announced.
    pub fn memory(&self) -> usize {
        self.stream.memory()
    }

    /// How the two ends are to talk: what the options said.
    pub fn choice(&self) -> Option<Choice> {
        self.choice
    }

    /// Whether this end may move to shared memory: its peer is a process of the same user, and the options do not speak against it.
    pub fn may_share(&self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        self.choice != Some(Choice::Unix) && self.info().peer.is_some_and(|peer| peer.uid == own)
    }

    /// Both ends have agreed that either may ask for shared memory from now on. One of them, and only one, is the `initiator`: when both
    /// ask at the same time, it is asked.
    pub fn prepare(&mut self, initiator: bool) {
        self.prepared = Some(initiator);
    }

    /// Asks the other end to move to shared memory, once it is [prepared](Self::prepare). Until one of them does, the link is what it was.
    pub fn ask(&mut self) {
        if let Some(initiator) = self.prepared
            && self.passage.is_none()
            && self.stream.dead.is_none()
        {
            let way = Passage::asking(initiator, self.attended, self.stream.hand_over());
            self.go(way);
        }
    }

    /// What the other side rings, as soon as it may do so. Whoever watches this link's socket for edges has to watch this in the same way,
    /// and then say [so](Self::heard).
    pub fn bell(&self) -> Option<Arc<OwnedFd>> {
        self.passage.as_ref()?.bell()
    }

    /// The owner hears the [bell](Self::bell) and the socket by their edges from now on, and no longer looks at the readiness. That saves a
    /// system call for each time it is woken.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn heard(&mut self) -> io::Result<()> {
        self.passage().map_or(Ok(()), |(passage, stream)| passage.heard(stream))
    }

    /// The owner has heard of news on the socket, which only tells the end once messages come through memory.
    pub fn tell(&mut self) {
        if let Some((passage, _)) = self.passage() {
            passage.tell();
        }
    }

    /// Begins to move to shared memory. Both ends have to, and know of each other that they do before either begins: that is for their owners to
    /// agree on. One of them leads. Messages go on meanwhile; [`shared`](Self::shared) says how far it is.
    ///
    /// Whoever waits on this link must have called [`flush`](Link::flush) since it last received, as ever.
    pub fn share(&mut self, leads: bool) {
        if self.passage.is_none() && self.stream.dead.is_none() {
            let way = Passage::new(leads, self.attended, self.stream.hand_over());
            self.go(way);
        }
    }

    /// How far it is on the way to shared memory.
    pub fn shared(&self) -> Progress {
        self.passage.as_ref().map_or(Progress::Unasked, |passage| passage.progress())
    }

    /// The owner promises from now on, or no longer, to call [`rest`](Self::rest) before it waits.
    ///
    /// A `None` of [`receive`](Link::receive) then is no invitation to wait, and costs less: in shared memory a link falls asleep with each
    /// such invitation, and a peer that sends to a sleeping link makes a system call.
    pub fn attended(&mut self, attended: bool) {
        self.attended = attended;
        if let Some((passage, _)) = self.passage() {
            passage.attended(attended);
        }
    }

    /// The owner is awake, and looks again without being told.
    pub fn attend(&mut self) {
        if let Some((passage, _)) = self.passage() {
            passage.attend();
        }
    }

    /// The owner is about to wait, and was perhaps just woken in vain. True: nothing is there, and readiness fires when something comes.
    /// False: receive first.
    pub fn rest(&mut self) -> bool {
        match self.passage() {
            Some((passage, stream)) => match passage.rest(stream) {
                Ok(rests) => rests,
                Err(error) => {
                    // The next `receive` tells it.
                    passage.close();
                    stream.die(error);
                    false
                }
            },
            None => true,
        }
    }

    /// The same for an owner that was not woken: nothing is made quiet, so a readiness that fired stays.
    pub fn retire(&mut self) -> bool {
        match self.passage() {
            Some((passage, _)) => passage.retire().unwrap_or(false),
            None => true,
        }
    }

    /// A way to look for news without waiting; `None` while nothing comes through shared memory.
    pub fn look(&self) -> Option<Look> {
        self.passage.as_ref()?.look()
    }

    /// Part of a message has come or gone, and the rest has not.
    pub fn is_midway(&self) -> bool {
        self.stream.inbox.is_partial() || !self.stream.outbox.unsent().is_empty()
    }

    /// The other side takes loans: it knows what the records and notices of arenas are. Its owner has to have been told so.
    pub fn lends(&mut self) {
        let arrivals = self.lends.get_or_insert_default();
        if let Some(passage) = &mut self.passage {
            passage.lends(Some(arrivals));
        }
    }

    /// Where the loans that came with the message that was [received](Link::receive) last are found; `None` for a link that was never shared.
    pub fn arrivals(&self) -> Option<Arc<Arrivals>> {
        self.lends.clone()
    }

    /// Makes ready to lend a buffer of `arena` with a message. `None` when the link cannot lend it now: it is not in shared memory, or its other
    /// side knows of as many pieces of memory as it can, or it is another arena's.
    ///
    /// All messages of a link lend of one arena.
    ///
    /// # Errors
    ///
    /// What ended the link.
    pub fn promise(
        &mut self,
        arena: &Arena,
        buffer: &Arc<Buffer>,
    ) -> Result<Option<Promise>, LinkError> {
        match self.passage() {
            Some((passage, stream)) => passage.promise(arena, buffer, stream),
            None => Ok(None),
        }
    }

    /// Borrows room for a message as [`buffer`](Link::buffer) does, that lends what was promised for it. It has to be
    /// [committed](Link::commit), or no other message can lend the same memory until the link is gone.
    ///
    /// # Errors
    ///
    /// Those of [`buffer`](Link::buffer).
    pub fn buffer_lending(
        &mut self,
        len: usize,
        promises: &[Promise],
    ) -> Result<Option<&mut [u8]>, LinkError> {
        self.stream.check_sending()?;
        let before = promises.len() * shm::LOAN;
        let Some((front, room)) = self.stream.outbox.lend_behind(before, len)? else {
            return Ok(None);
        };
        for (place, promise) in front.as_chunks_mut().0.iter_mut().zip(promises) {
            *place = promise.keep();
        }
        Ok(Some(room))
    }

    fn go(&mut self, mut way: Passage) {
        way.lends(self.lends.as_ref());
        self.passage = Some(Box::new(way));
    }

    fn passage(&mut self) -> Option<(&mut Passage, &mut StreamLink)> {
        Some((self.passage.as_deref_mut()?, &mut self.stream))
    }

    /// Connects to the socket at `path`. The kernel does that at once or refuses; nothing waits.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when nothing is there, [`io::ErrorKind::ConnectionRefused`] when nobody listens any more,
    /// [`io::ErrorKind::WouldBlock`] when the listener's queue is full.
    pub fn connect(path: &Path, options: &LinkOptions) -> io::Result<Self> {
        let address = socket_address(path)?;
        let socket = new_socket()?;
        connect(&socket, &address)?;
        Self::named(socket, format!("unix:{}", path.display()), options)
    }

    /// Two links connected to each other.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    pub fn pair(options: &LinkOptions) -> io::Result<(Self, Self)> {
        let (left, right) = new_pair()?;
        Ok((Self::from_fd(left, options)?, Self::from_fd(right, options)?))
    }

    /// A link, and the other end as a descriptor for a child process to inherit.
    ///
    /// Both are close-on-exec, so that no other child inherits them by accident: the spawner duplicates the child's end in the child,
    /// and the child [adopts](fd::adopt) it. Drop the descriptor after spawning, or the child's death is never seen as end of file.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    ///
    /// ```
    /// use procall_transport::{Link, LinkError, LinkOptions, unix::UnixLink};
    ///
    /// let options = LinkOptions::default();
    /// let (mut ours, childs) = UnixLink::pair_for_child(&options)?;
    /// let mut child = UnixLink::from_fd(childs, &options)?; // in the child
    /// child.close();
    /// assert!(matches!(ours.receive(), Err(LinkError::Closed)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pair_for_child(options: &LinkOptions) -> io::Result<(Self, OwnedFd)> {
        let (ours, childs) = new_pair()?;
        Ok((Self::from_fd(ours, options)?, childs))
    }

    /// A link over a connected Unix stream socket, blocking or not: the link never waits either way, and leaves the mode as it is.
    ///
    /// # Errors
    ///
    /// When it is not a Unix socket, or the process is out of descriptors.
    pub fn from_fd(socket: OwnedFd, options: &LinkOptions) -> io::Result<Self> {
        Self::named(socket, "unix:pair".to_owned(), options)
    }

    fn named(socket: OwnedFd, address: String, options: &LinkOptions) -> io::Result<Self> {
        let peer = fd::peer_credentials(socket.as_fd())?;
        let info =
            LinkInfo::new("unix", options.message_limit()).with_peer(peer).with_address(address);
        let stream = StreamLink::new(socket, info, options)?;
        let choice = options.choice;
        Ok(Self { stream, choice, prepared: None, attended: false, lends: None, passage: None })
    }
}

/// Listens on a socket file that only its owner may connect to (mode 0600).
///
/// Dropping it removes the file, unless another file has taken its place meanwhile, or this is a forked copy of the process that bound it.
///
/// ```
/// use procall_transport::{LinkOptions, unix::{UnixLink, UnixListener}};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("calc.sock");
/// let options = LinkOptions::default();
///
/// let listener = UnixListener::bind(&path)?;
/// assert!(listener.accept(&options)?.is_none(), "nobody there yet");
///
/// let client = UnixLink::connect(&path, &options)?;
/// let server = listener.accept(&options)?.expect("a client is there");
///
/// drop(listener);
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of our socket file.
    file: (u64, u64),
    /// The process that bound it.
    owner: u32,
}

impl UnixListener {
    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] when anything exists at `path`, be it only the file a crashed process left: who may remove that is
    /// for the caller to decide.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let address = socket_address(path)?;
        let socket = new_socket()?;
        // Linux gives the file the mode of the socket's own inode, so that it is never open to others, not even for a moment.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &address).map_err(|error| cannot_bind(error, path))?;
        let (file, owner) = (identity(&lstat(path)?), std::process::id());
        let listener = Self { socket, path: path.to_owned(), file, owner };
        listen(&listener.socket, BACKLOG)?;
        Ok(listener)
    }

    /// The next peer that connected, or `None` when nobody is there now. The descriptor is readable when somebody is.
    ///
    /// # Errors
    ///
    /// What the kernel says, in particular "too many open files". The peer then waits on in the queue, or, when only the link's second
    /// descriptor was missing, is hung up on; the listener stays usable, and readable.
    pub fn accept(&self, options: &LinkOptions) -> io::Result<Option<UnixLink>> {
        loop {
            match accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    return UnixLink::named(
                        socket,
                        format!("unix:{}", self.path.display()),
                        options,
                    )
                    .map(Some);
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        let ours = self.owner == std::process::id();
        if ours && lstat(&self.path).is_ok_and(|stat| identity(&stat) == self.file) {
            let _ = unlink(&self.path);
        }
    }
}

/// Non-blocking, so that neither `connect` to a full queue nor `accept` of nobody waits.
fn new_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

/// Blocking, because a child that cannot adopt its end with our code may read it with its own.
fn new_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn socket_address(path: &Path) -> io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(path).map_err(|error| match error {
        Errno::NAMETOOLONG => {
            let text =
                format!("a Unix socket's path can have at most 107 bytes: {}", path.display());
            io::Error::new(io::ErrorKind::InvalidInput, text)
        }
        error => error.into(),
    })
}

fn cannot_bind(error: Errno, path: &Path) -> io::Error {
    if error == Errno::ADDRINUSE {
        return io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{} already exists", path.display()),
        );
    }
    error.into()
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
