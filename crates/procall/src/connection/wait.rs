//! The inline driver: a thread that waits reads the link itself.
//!
//! When several threads wait, one leads: it sleeps in the link's readiness descriptor and reads for all.
//! The others park; when the leader has what it came for, it wakes one of them to lead.

use std::cell::OnceCell;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use procall_proto::Time;
use procall_transport::readiness;

use super::{After, Shared, State};
use crate::clock;

/// How long a thread that does not lead parks before it looks for an interrupt: unlike the leader's wait, a signal does not end it.
const INTERRUPT_SLICE: Duration = Duration::from_millis(100);

/// Asked whenever a signal may have arrived; `true` ends the wait. Python's Ctrl-C comes in here.
pub type Interrupt<'a> = &'a mut dyn FnMut() -> bool;

/// Why a wait ended before what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The interrupt said so.
    #[error("interrupted")]
    Interrupted,
    /// The time given was up.
    #[error("timed out")]
    TimedOut,
}

struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker that ends this thread's park.
pub(crate) fn thread_waker() -> Waker {
    thread_local! {
        static WAKER: OnceCell<Waker> = const { OnceCell::new() };
    }
    WAKER.with(|waker| {
        waker.get_or_init(|| Waker::from(Arc::new(ThreadWaker(std::thread::current())))).clone()
    })
}

impl Shared {
    /// Waits on this thread until `poll` (under the lock) or `outside` (without it) is ready.
    pub(crate) fn wait<R>(
        &self,
        deadline: Time,
        interrupt: Interrupt<'_>,
        mut poll: impl FnMut(&mut State, &Waker) -> Poll<R>,
        mut outside: impl FnMut() -> Poll<R>,
    ) -> Result<R, WaitError> {
        let waker = thread_waker();
        let mut after = After::default();
        loop {
            if let Poll::Ready(result) = outside() {
                self.leave(self.lock());
                return Ok(result);
            }
            let mut state = self.lock();
            if let Poll::Ready(result) = poll(&mut state, &waker) {
                self.leave(state);
                return Ok(result);
            }
            let now = clock::now();
            if now >= deadline {
                self.leave(state);
                return Err(WaitError::TimedOut);
            }
            let timeout = clock::until(state.session.poll_timeout().min(deadline), now);
            let interrupted = if self.threads_lead && !state.leading && !state.is_over() {
                state.leading = true;
                drop(state);
                let woken = readiness::wait(self.readiness(), timeout);
                let mut state = self.lock();
                state.leading = false;
                self.reads.fetch_add(1, Ordering::Relaxed);
                // On an error of the wait itself the link will say what is wrong.
                if !matches!(woken, Ok(false)) {
                    state.pump(&mut after);
                }
                state.tick(&mut after);
                drop(state);
                // Not under the lock: the interrupt may run foreign code, which may use this connection.
                woken.is_err() && interrupt()
            } else {
                state.followers.push_back(waker.clone());
                drop(state);
                std::thread::park_timeout(timeout.map_or(INTERRUPT_SLICE, |timeout| timeout.min(INTERRUPT_SLICE)));
                let mut state = self.lock();
                state.followers.retain(|follower| !follower.will_wake(&waker));
                state.tick(&mut after);
                drop(state);
                interrupt()
            };
            after.run();
            if interrupted {
                self.leave(self.lock());
                return Err(WaitError::Interrupted);
            }
        }
    }

    fn readiness(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.readiness)
    }

    /// Leaves the wait; if nobody leads now, a thread that still waits gets the chance.
    fn leave(&self, mut state: std::sync::MutexGuard<'_, State>) {
        let next = if state.leading { None } else { state.followers.pop_front() };
        drop(state);
        if let Some(next) = next {
            next.wake();
        }
    }
}
