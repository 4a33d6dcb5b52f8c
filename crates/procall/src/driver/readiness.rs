//! A descriptor's readability as a future. The one place of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
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
    fd: AsyncFd<OwnedFd>,
}

impl Readiness {
    /// Watches a second name of `fd`, on the current runtime.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let owned = fd.try_clone_to_owned()?;
        // SAFETY: `register_with_interest` wants a descriptor that stays open and the same for as long as the `AsyncFd` lives. It takes the
        // `OwnedFd` by value, nobody else can close that, and `OwnedFd::as_raw_fd` always gives the same number.
        let fd = unsafe { AsyncFd::register_with_interest(owned, Interest::READABLE) }?;
        Ok(Self { fd })
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
            if !self.is_readable() {
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
