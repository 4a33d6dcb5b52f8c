//! Where the owner of a link waits, since the link itself never does.

mod kick;
mod set;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

pub use kick::Kick;
pub use set::Set;

/// Below this a timeout is kept to the nanosecond; above, it may end up to a millisecond late.
const FINE: Duration = Duration::from_millis(16);

/// Waits until an epoll descriptor, such as [`Link::readiness`](crate::Link::readiness), has something to say.
///
/// `None` waits without end, `Some(Duration::ZERO)` only looks. The answer is whether it is ready.
/// Being ready is not consumed: whoever waits again without having acted is told again.
///
/// # Errors
///
/// [`io::ErrorKind::Interrupted`] when a signal was delivered, so that the caller can look at it; otherwise what the kernel says.
///
/// ```
/// use procall_transport::{Link, LinkOptions, mem, readiness};
/// use std::time::Duration;
///
/// let (link, _peer) = mem::pair(&LinkOptions::default())?;
/// assert!(!readiness::wait(link.readiness(), Some(Duration::ZERO))?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn wait(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    // Taking the events instead would make a bell quiet that nobody has acted on.
    poll_finely(fd, timeout)
}

/// The same for whoever acts on it in any case, by receiving: being ready may be consumed. One system call less for a link in shared memory.
///
/// # Errors
///
/// Those of [`wait`], and what the kernel says of a descriptor that is not an epoll descriptor.
///
/// ```
/// use procall_transport::{Link, LinkOptions, mem, readiness};
/// use std::time::Duration;
///
/// let (link, _peer) = mem::pair(&LinkOptions::default())?;
/// assert!(!readiness::wait_to_receive(link.readiness(), Some(Duration::ZERO))?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn wait_to_receive(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    if timeout.is_some_and(needs_poll) {
        return poll_finely(fd, timeout);
    }
    let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 4];
    let (ready, _) = epoll::wait(fd, &mut events, timespec(timeout).as_ref())?;
    Ok(!ready.is_empty())
}

/// Whether `epoll_wait`, which counts milliseconds, is too coarse. `epoll_pwait2` counts nanoseconds but is younger than the system
/// call filters of some containers; `ppoll` on the epoll descriptor is as fine, works everywhere and costs a little more.
fn needs_poll(timeout: Duration) -> bool {
    timeout < FINE && !timeout.is_zero()
}

fn poll_finely(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(poll(&mut fds, timespec(timeout).as_ref())? > 0)
}

/// A timeout beyond what the kernel can count is as good as none.
fn timespec(timeout: Option<Duration>) -> Option<Timespec> {
    timeout.and_then(|timeout| Timespec::try_from(timeout).ok())
}

/// The readiness descriptor of a link over one socket: an epoll descriptor that holds it.
///
/// The socket is watched level-triggered for data and end of file, always. Room to send is watched only while bytes are unsent: a
/// permanent watch would wake a sleeper each time the peer reads.
///
/// ```
/// use procall_transport::readiness::{self, Readiness};
/// use std::os::fd::AsFd;
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
///
/// let (ours, _theirs) = UnixStream::pair()?;
/// let mut ready = Readiness::new(ours.as_fd())?;
/// assert!(!readiness::wait(ready.as_fd(), Some(Duration::ZERO))?);
///
/// ready.want_room(ours.as_fd(), true)?;
/// assert!(readiness::wait(ready.as_fd(), Some(Duration::ZERO))?, "an empty socket has room");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Readiness {
    epoll: OwnedFd,
    wants_room: bool,
}

impl Readiness {
    /// Watches `socket` for data and end of file.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors, or `socket` cannot be watched.
    pub fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, socket, epoll::EventData::new_u64(SOCKET), flags(false))?;
        Ok(Self { epoll, wants_room: false })
    }

    /// Whether it also watches for room.
    pub(crate) fn wants_room(&self) -> bool {
        self.wants_room
    }

    /// Also watches `socket`, the one given to [`new`](Self::new), for room to send, or no longer. No system call when nothing changes.
    ///
    /// # Errors
    ///
    /// When `socket` is another one.
    pub fn want_room(&mut self, socket: BorrowedFd<'_>, wanted: bool) -> io::Result<()> {
        if self.wants_room != wanted {
            epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(SOCKET), flags(wanted))?;
            self.wants_room = wanted;
        }
        Ok(())
    }

    /// Also watches a bell, edge-triggered: it is told until [`quieten`](Self::quieten), however often it was rung.
    pub(crate) fn watch_bell(&self, bell: BorrowedFd<'_>) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, bell, epoll::EventData::new_u64(BELL), flags)?)
    }

    /// No longer. A bell that others hold a copy of would otherwise go on ringing.
    pub(crate) fn forget_bell(&self, bell: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, bell)?)
    }

    /// Forgets that the bell was rung; whether the socket has something to read.
    pub(crate) fn quieten(&self) -> io::Result<bool> {
        // The socket, the bell, and what the owner may have added.
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 4];
        let (ready, _) = epoll::wait(&self.epoll, &mut events, Some(&Timespec::default()))?;
        let input = flags(false) | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        Ok(ready.iter().any(|event| {
            let (number, told) = (event.data.u64(), event.flags);
            number == SOCKET && told.intersects(input)
        }))
    }
}

/// The numbers under which a link's own descriptors are watched.
const SOCKET: u64 = 0;
const BELL: u64 = 1;

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn flags(wants_room: bool) -> epoll::EventFlags {
    let always = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    if wants_room { always | epoll::EventFlags::OUT } else { always }
}

/// Gathers the tokens of what is ready.
fn tokens(epoll: BorrowedFd<'_>, timeout: Option<Duration>, into: &mut Vec<u64>) -> io::Result<()> {
    into.clear();
    if let Some(timeout) = timeout.filter(|timeout| needs_poll(*timeout)) {
        if !poll_finely(epoll, Some(timeout))? {
            return Ok(());
        }
        return tokens(epoll, Some(Duration::ZERO), into);
    }
    let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; set::BATCH];
    let (ready, _) = epoll::wait(epoll, &mut events, timespec(timeout).as_ref())?;
    into.extend(ready.iter().map(|event| event.data.u64()));
    Ok(())
}
