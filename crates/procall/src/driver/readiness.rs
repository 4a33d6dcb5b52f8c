//! A descriptor's readability as a future. The one place of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Reads in one go, before others of the runtime get their turn.
const ROUNDS: usize = 16;

/// A descriptor's readability, watched by a tokio runtime: a link's, where nobody else drives it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::future::poll_fn;
///
/// use procall::Readiness;
/// use procall::transport::{Link, LinkOptions, mem};
///
/// let (mut ours, mut theirs) = mem::pair(&LinkOptions::default())?;
/// ours.buffer(2)?.expect("room").copy_from_slice(b"hi");
/// ours.commit();
/// ours.flush()?;
///
/// let readiness = Readiness::new(theirs.readiness())?;
/// let mut message = None;
/// poll_fn(|cx| readiness.poll_read(cx, || message = theirs.receive().unwrap().map(<[u8]>::to_vec))).await?;
/// assert_eq!(message.as_deref(), Some(&b"hi"[..]));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Readiness {
    fd: AsyncFd<Arc<OwnedFd>>,
    /// A socket, whose every arrival and whose end the runtime itself is told of.
    is_socket: bool,
}

impl Readiness {
    /// Watches a second name of `fd`, on the current runtime.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Self::watch(fd, false)
    }

    /// Watches a stream socket itself, by a second name, for a reader that takes all there is each time. The end of file stays told once it came,
    /// so that no look is needed after a read; an epoll descriptor around the socket would have forgotten it with the data that came before.
    pub(super) fn of_socket(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Self::watch(fd, true)
    }

    /// Watches a bell of shared memory, for [`poll_edge`](Self::poll_edge).
    pub(super) fn of_bell(bell: Arc<OwnedFd>) -> io::Result<Self> {
        Self::register(bell, false)
    }

    fn watch(fd: BorrowedFd<'_>, is_socket: bool) -> io::Result<Self> {
        Self::register(Arc::new(fd.try_clone_to_owned()?), is_socket)
    }

    fn register(owned: Arc<OwnedFd>, is_socket: bool) -> io::Result<Self> {
        // SAFETY: `register_with_interest` wants a descriptor that stays open and the same for as long as the `AsyncFd` lives. It keeps the
        // `Arc`, nobody can close what that holds, and `OwnedFd::as_raw_fd` always gives the same number.
        let fd = unsafe { AsyncFd::register_with_interest(owned, Interest::READABLE) }?;
        Ok(Self { fd, is_socket })
    }

    /// Whether there was an edge since this was asked last. The task is woken by the next.
    pub(super) fn poll_edge(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut told = false;
        // The end of a socket stays told.
        for _ in 0..2 {
            match self.fd.poll_read_ready(cx) {
                Poll::Pending => return Ok(told),
                Poll::Ready(guard) => guard?.clear_ready(),
            }
            told = true;
        }
        cx.waker().wake_by_ref();
        Ok(true)
    }

    /// Ready when the descriptor may be readable. `read` takes what there is; afterwards nothing may be left that no edge would announce,
    /// so the descriptor is looked at once more before the next wait.
    pub fn poll_read(&self, cx: &mut Context<'_>, mut read: impl FnMut()) -> Poll<io::Result<()>> {
        let mut guard = match self.fd.poll_read_ready(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(guard)) => guard,
        };
        for _ in 0..ROUNDS {
            read();
            if self.is_socket || !self.is_readable() {
                // Forgets the edge that brought us here, not one that came since.
                guard.clear_ready();
                if self.fd.poll_read_ready(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Ready(Ok(()));
            }
        }
        // Something is left, and the edge is not forgotten: come back at once, but let others run first.
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }

    /// Ready when the descriptor has had news since this was ready last. Whoever then takes only a part must remember that something is left, for
    /// that is not told again. So a reader can pause without being woken by what it leaves unread, and still hears that there is room to send.
    pub fn poll_news(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fd.poll_read_ready(cx).map_ok(|mut guard| guard.clear_ready())
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.get_ref(), PollFlags::IN)];
        // A look that failed counts as readable: the next read will say what is wrong.
        poll(&mut fds, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use procall_transport::{Link, LinkOptions, mem, unix::UnixLink};
    use tokio::time::timeout;

    use super::*;

    const SAFETY: Duration = Duration::from_secs(30);

    fn put(link: &mut dyn Link, bytes: &[u8]) -> bool {
        if let Some(room) = link.buffer(bytes.len()).unwrap() {
            room.copy_from_slice(bytes);
            link.commit();
        }
        link.flush().unwrap()
    }

    fn pairs() -> Vec<(Box<dyn Link>, Box<dyn Link>)> {
        let options = LinkOptions { max_queued: 64 << 10, ..LinkOptions::default() };
        let (a, b) = mem::pair(&options).unwrap();
        let (c, d) = UnixLink::pair(&options).unwrap();
        vec![(Box::new(a), Box::new(b)), (Box::new(c), Box::new(d))]
    }

    #[tokio::test]
    async fn a_reader_that_pauses_hears_of_room_to_send() {
        for (mut ours, mut theirs) in pairs() {
            let readiness = Readiness::new(ours.readiness()).unwrap();
            assert!(put(&mut *theirs, b"not read for now"));
            while put(&mut *ours, &[7; 4 << 10]) {}
            // What there is to hear of so far.
            timeout(SAFETY, poll_fn(|cx| readiness.poll_news(cx))).await.unwrap().unwrap();
            while theirs.receive().unwrap().is_some() {}
            timeout(SAFETY, poll_fn(|cx| readiness.poll_news(cx))).await.unwrap().unwrap();
            assert!(ours.flush().unwrap());
        }
    }

    #[tokio::test]
    async fn a_message_between_a_look_and_a_send_is_news() {
        for (mut ours, mut theirs) in pairs() {
            let readiness = Readiness::new(ours.readiness()).unwrap();
            while put(&mut *ours, &[7; 4 << 10]) {}
            while theirs.receive().unwrap().is_some() {}
            timeout(SAFETY, poll_fn(|cx| readiness.poll_news(cx))).await.unwrap().unwrap();
            // Nothing to read yet; the message comes before what is unsent goes.
            assert!(ours.receive().unwrap().is_none());
            assert!(put(&mut *theirs, b"now"));
            assert!(ours.flush().unwrap());
            timeout(SAFETY, poll_fn(|cx| readiness.poll_news(cx))).await.unwrap().unwrap();
            assert_eq!(ours.receive().unwrap(), Some(&b"now"[..]));
        }
    }
}
