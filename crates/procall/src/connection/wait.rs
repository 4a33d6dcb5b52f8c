//! The inline driver: a thread that waits reads the link itself.
//!
//! When several threads wait, one leads: it sleeps in the link's readiness descriptor and reads for all.
//! The others park; when the leader has what it came for, it wakes one of them to lead.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use procall_proto::Time;
use procall_transport::readiness::{self, Kick};
use procall_transport::shm::Look;
use rustix::event::epoll;

use super::{After, Shared, State};
use crate::clock;

/// How long a thread that does not lead parks before it looks for an interrupt: unlike the leader's wait, a signal does not end it.
const INTERRUPT_SLICE: Duration = Duration::from_millis(100);

/// How long a leader sleeps before it looks for an interrupt all the same: a signal that arrives just before the sleep does not end it.
const SIGNAL_SLICE: Duration = Duration::from_secs(1);

/// The number of the kick in a link's readiness; only its being ready counts.
const KICK: u64 = u64::MAX;

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
    let make = || Waker::from(Arc::new(ThreadWaker(std::thread::current())));
    // A thread that ends, and waits once more while its own things are taken down, has none to keep.
    WAKER.try_with(|waker| waker.get_or_init(make).clone()).unwrap_or_else(|_| make())
}

impl Shared {
    /// Waits on this thread until `poll` (under the lock) or `outside` (without it) is ready.
    pub(crate) fn wait<R>(
        &self,
        deadline: Time,
        interrupt: Interrupt<'_>,
        poll: impl FnMut(&mut State, &Waker) -> Poll<R>,
        outside: impl FnMut() -> Poll<R>,
    ) -> Result<R, WaitError> {
        clock::turn(|| self.wait_in_turn(deadline, interrupt, poll, outside))
    }

    fn wait_in_turn<R>(
        &self,
        deadline: Time,
        interrupt: Interrupt<'_>,
        mut poll: impl FnMut(&mut State, &Waker) -> Poll<R>,
        mut outside: impl FnMut() -> Poll<R>,
    ) -> Result<R, WaitError> {
        let waker = thread_waker();
        let mut after = After::default();
        let mut slept = false;
        loop {
            let mut state = self.lock();
            if let Poll::Ready(result) = poll(&mut state, &waker) {
                self.leave(state);
                return Ok(result);
            }
            if state.unflushed {
                state.settle(&mut after);
            }
            let now = clock::now();
            let due = now >= deadline;
            let timeout = clock::until(state.poll_timeout().min(deadline), now);
            // Messages that a burst left behind are announced by nothing.
            let mut more = state.more;
            let lead = self.threads_lead && !state.leading && !state.is_over();
            let mut look = None;
            if lead {
                // Before anybody can see that this thread leads, and want to kick it.
                self.kick();
                state.leading = true;
                look = state.next_look().filter(|_| !more);
                more |= match &look {
                    Some(_) => {
                        state.attend();
                        false
                    }
                    None if slept => !state.rest(),
                    None => !state.retire(),
                };
                slept = true;
            } else {
                state.followers.push_back(waker.clone());
            }
            drop(state);
            after.run();
            // Only now: what changes after this look wakes a parked thread or kicks the leader, so neither can miss it.
            let found = clock::outside_turn(&mut outside);
            let ended = found.is_ready() || due;
            let woken = if ended {
                Ok(false)
            } else if lead
                && (more || look.is_some_and(|(look, time)| self.finds_news(&look, time)))
            {
                Ok(true)
            } else if lead {
                self.sleep_in_link(timeout)
            } else {
                std::thread::park_timeout(
                    timeout.map_or(INTERRUPT_SLICE, |timeout| timeout.min(INTERRUPT_SLICE)),
                );
                Ok(false)
            };
            clock::let_go();
            let mut state = self.lock();
            if lead {
                state.leading = false;
                self.take_kick(&mut state);
                // On an error of the wait itself the link will say what is wrong.
                if !matches!(woken, Ok(false)) {
                    self.reads.fetch_add(1, Ordering::Relaxed);
                    state.attend();
                    state.pump(clock::now(), &mut after);
                }
            } else {
                state.followers.retain(|follower| !follower.will_wake(&waker));
            }
            if ended {
                self.leave(state);
                return match found {
                    Poll::Ready(result) => Ok(result),
                    Poll::Pending => Err(WaitError::TimedOut),
                };
            }
            state.tick(clock::now(), &mut after);
            if !lead {
                self.kick_leader(&mut state, &after);
            }
            drop(state);
            after.run();
            // Not under the lock: the interrupt may run foreign code, which may use this connection.
            if !matches!(woken, Ok(true)) && clock::outside_turn(&mut *interrupt) {
                self.leave(self.lock());
                return Err(WaitError::Interrupted);
            }
        }
    }

    /// Sleeps until the link has something, somebody kicks, or the time is up.
    fn sleep_in_link(&self, timeout: Option<Duration>) -> std::io::Result<bool> {
        // Without a kick nobody can end this sleep, so it is kept short.
        let slice = if self.kick().is_some() { SIGNAL_SLICE } else { INTERRUPT_SLICE };
        let timeout = timeout.map_or(slice, |timeout| timeout.min(slice));
        readiness::wait_to_receive(self.readiness(), Some(timeout))
    }

    /// Looks at shared memory for a moment. False when nothing came, and the link now rests.
    fn finds_news(&self, look: &Look, time: Duration) -> bool {
        let found = look.look(time);
        let mut state = self.lock();
        state.sharing.looked(found);
        found || !state.retire()
    }

    /// The way to get a leader out of its sleep: its waker only ends a park. Made when a thread first leads.
    fn kick(&self) -> Option<&Kick> {
        let make = || {
            let kick = Kick::new().ok()?;
            let data = epoll::EventData::new_u64(KICK);
            epoll::add(&self.readiness, &kick, data, epoll::EventFlags::IN).ok()?;
            Some(kick)
        };
        self.kick.get_or_init(make).as_ref()
    }

    /// Gets the leader out of its sleep when somebody else made something happen: it may be what the leader waits for.
    pub(super) fn kick_leader(&self, state: &mut State, after: &After) {
        if state.leading
            && !after.wakes.is_empty()
            && let Some(Some(kick)) = self.kick.get()
            && !std::mem::replace(&mut state.kicked, true)
        {
            kick.kick();
        }
    }

    fn take_kick(&self, state: &mut State) {
        if std::mem::take(&mut state.kicked)
            && let Some(Some(kick)) = self.kick.get()
        {
            kick.drain();
        }
    }

    fn readiness(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.readiness)
    }

    /// Leaves the wait; if nobody leads now, a thread that still waits gets the chance.
    fn leave(&self, mut state: std::sync::MutexGuard<'_, State>) {
        if state.leading {
            return;
        }
        let next = state.followers.pop_front();
        // Somebody leads next, or reads for others anyway; else whatever comes has to ring the standby thread.
        let attended = next.is_some() || (state.sharing.watched && state.driver.is_none());
        let more = state.more || !(attended || state.retire());
        drop(state);
        match next {
            Some(next) => next.wake(),
            // What the last burst left behind is read by whoever leads next, or now.
            None if more => self.turn(),
            None => {}
        }
    }
}
