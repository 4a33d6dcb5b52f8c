//! Many connections behind one descriptor, for event loops that are not ours.
//!
//! asyncio's `add_reader` and libuv's `uv_poll` watch [`Hub::descriptor`]; when it is readable they call [`Hub::turn`] and get the numbers of
//! the wakers that were woken. No thread of ours ever enters user code.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use procall_proto::Time;
use procall_transport::readiness::{self, Kick, Set};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::sharing::Before;
use super::{Connection, Shared};
use crate::clock;
use crate::error::Error;
use procall_proto::ErrorCode;

const KICK: u64 = 0;
const TIMER: u64 = 1;
/// Descriptors that the owner of a hub adds himself, such as a listener.
const FOREIGN: u64 = 2;
const FIRST_CONNECTION: u64 = 16;
/// Connections that a wait looks at before it sleeps: those who have more to say at the same time are not many.
const LOOKED_AT: usize = 4;

/// One descriptor for many connections.
///
/// ```
/// use procall::Hub;
///
/// let hub = Hub::new().unwrap();
/// hub.waker(42).wake();
/// assert_eq!(hub.turn(), [42]);
/// assert!(hub.turn().is_empty());
/// ```
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    set: Set,
    kick: Kick,
    timer: OwnedFd,
    state: Mutex<HubState>,
}

struct HubState {
    /// What connections wake to get a turn: the same waker for all of them, so that a hub knows its own.
    driver: Option<Waker>,
    connections: slab::Slab<Weak<Shared>>,
    woken: Vec<u64>,
    /// Connections that turns have read since the last wait, a few of them: there may be more at once.
    lately: Vec<Weak<Shared>>,
    /// The kick is on its way already.
    kicked: bool,
    /// A turn is being made, which takes what is woken meanwhile without a kick.
    turning: bool,
    /// For when the timer is set.
    timer: Time,
    foreign_ready: bool,
}

struct HubWaker {
    hub: Weak<Inner>,
    token: u64,
}

impl Wake for HubWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(hub) = self.hub.upgrade() {
            hub.push(self.token);
        }
    }
}

impl HubState {
    /// The next wait is to look at this connection. An event loop that never waits here asks for that again and again.
    fn note(&mut self, shared: &Arc<Shared>) {
        let known = |other: &Weak<Shared>| std::ptr::eq(other.as_ptr(), Arc::as_ptr(shared));
        if self.lately.len() < LOOKED_AT && !self.lately.iter().any(known) {
            self.lately.push(Arc::downgrade(shared));
        }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, token: u64) {
        let mut state = self.lock();
        state.woken.push(token);
        if !state.turning && !std::mem::replace(&mut state.kicked, true) {
            // The counter of an eventfd cannot overflow by one kick at a time.
            self.kick.kick();
        }
    }
}

impl Drop for Inner {
    /// The connections live on without a driver: what they held for its turn leaves now, and nothing is held for it any more.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(driver) = state.driver.take() else { return };
        for shared in state.connections.drain().filter_map(|shared| shared.upgrade()) {
            let mut connection = shared.lock();
            if connection.driver.as_ref().is_some_and(|current| current.will_wake(&driver)) {
                connection.driver = None;
                connection.driver_timer = Time::NEVER;
            }
            drop(connection);
            shared.flush_held();
        }
    }
}

/// The number under which the hub's own driver waker is woken: a session wants an earlier timer.
const DRIVER: u64 = u64::MAX;

impl Hub {
    /// A hub without connections.
    pub fn new() -> Result<Self, Error> {
        let unavailable = |error: std::io::Error| {
            Error::new(ErrorCode::Internal, "no descriptors for an event hub").with_source(error)
        };
        let set = Set::new().map_err(unavailable)?;
        let kick = Kick::new().map_err(unavailable)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )
        .map_err(|error| unavailable(error.into()))?;
        set.add(kick.as_fd(), KICK, false).map_err(unavailable)?;
        set.add(timer.as_fd(), TIMER, false).map_err(unavailable)?;
        let state = HubState {
            driver: None,
            connections: slab::Slab::new(),
            woken: Vec::new(),
            lately: Vec::new(),
            kicked: false,
            turning: false,
            timer: Time::NEVER,
            foreign_ready: false,
        };
        Ok(Self { inner: Arc::new(Inner { set, kick, timer, state: Mutex::new(state) }) })
    }

    /// Readable whenever [`Hub::turn`] has something to do.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inner.set.as_fd()
    }

    /// Reads this connection from now on, unless it does already; it stays the property of its owner.
    pub fn attach(&self, connection: &Connection) -> Result<(), Error> {
        let token = {
            let mut state = self.inner.lock();
            let shared = Arc::as_ptr(&connection.shared);
            if state.connections.iter().any(|(_, known)| std::ptr::eq(known.as_ptr(), shared)) {
                return Ok(());
            }
            state.connections.insert(Arc::downgrade(&connection.shared)) as u64 + FIRST_CONNECTION
        };
        self.inner.set.add(connection.readiness(), token, false).map_err(|error| {
            Error::new(ErrorCode::Internal, "the connection cannot be watched").with_source(error)
        })?;
        let driver = self.inner.lock().driver.get_or_insert_with(|| self.waker(DRIVER)).clone();
        connection.shared.lock().driver = Some(driver);
        self.settle_connections();
        Ok(())
    }

    /// Watches a descriptor of the owner's own; [`Hub::foreign_ready`] says when it is readable.
    pub fn watch(&self, fd: BorrowedFd<'_>) -> Result<(), Error> {
        self.inner.set.add(fd, FOREIGN, false).map_err(|error| {
            Error::new(ErrorCode::Internal, "the descriptor cannot be watched").with_source(error)
        })
    }

    /// Whether the last turn found a watched descriptor readable.
    pub fn foreign_ready(&self) -> bool {
        std::mem::take(&mut self.inner.lock().foreign_ready)
    }

    /// A waker that makes [`Hub::turn`] return `token`.
    pub fn waker(&self, token: u64) -> Waker {
        Waker::from(Arc::new(HubWaker { hub: Arc::downgrade(&self.inner), token }))
    }

    /// Reads every connection that has something, without waiting, and returns the numbers of the wakers that were woken.
    pub fn turn(&self) -> Vec<u64> {
        let mut ready = Vec::new();
        self.inner.lock().turning = true;
        // An interrupted look finds what it finds; the descriptor stays readable.
        let _ = self.inner.set.wait(Some(Duration::ZERO), &mut ready);
        for token in ready {
            match token {
                // Drained below, under the lock, so that no kick is lost.
                KICK => {}
                TIMER => self.tick(),
                FOREIGN => self.inner.lock().foreign_ready = true,
                token => {
                    let shared = self
                        .inner
                        .lock()
                        .connections
                        .get((token - FIRST_CONNECTION) as usize)
                        .cloned();
                    if let Some(shared) = shared.and_then(|shared| shared.upgrade()) {
                        shared.turn();
                        self.inner.lock().note(&shared);
                        if shared.lock().is_over() {
                            // The end of file would be told for ever. Its timers are still kept.
                            let _ = self.inner.set.remove(shared.readiness.as_fd());
                        }
                    }
                }
            }
        }
        let woken = {
            let mut state = self.inner.lock();
            state.turning = false;
            if std::mem::take(&mut state.kicked) {
                self.inner.kick.drain();
            }
            std::mem::take(&mut state.woken)
        };
        if woken.contains(&DRIVER) {
            self.settle_connections();
            return woken.into_iter().filter(|&token| token != DRIVER).collect();
        }
        woken
    }

    /// Waits on this thread until a turn has something to do; false when the time was up. An interrupted wait is an error.
    pub fn wait(&self, timeout: Option<Duration>) -> std::io::Result<bool> {
        if self.look() {
            return Ok(true);
        }
        readiness::wait(self.inner.set.as_fd(), timeout)
    }

    /// Looks for a moment whether those who said something lately, through shared memory, say more; true when there is something for a turn.
    /// Links that were left awake by an earlier look come to rest.
    fn look(&self) -> bool {
        let lately = std::mem::take(&mut self.inner.lock().lately);
        let lately: Vec<_> = lately.into_iter().filter_map(|shared| shared.upgrade()).collect();
        let mut found = false;
        let mut looks = Vec::new();
        for shared in lately {
            let before = shared.lock().before_wait();
            match before {
                Before::Sleep => {}
                Before::Read => found |= self.turn_awake(shared.clone()),
                Before::Look(look, time) => looks.push((shared.clone(), look, time)),
            }
        }
        let Some(longest) = looks.iter().map(|(_, _, time)| *time).max() else { return found };
        let end = Instant::now() + if found { Duration::ZERO } else { longest };
        while !looks.iter().any(|(_, look, _)| look.glance()) && Instant::now() < end {}
        for (shared, look, _) in looks {
            let news = look.once();
            let rests = {
                let mut state = shared.lock();
                state.sharing.looked(news);
                !news && state.rest()
            };
            found |= !rests && self.turn_awake(shared);
        }
        found
    }

    /// Reads a connection, and leaves it awake: the next wait looks at it again or has it rest, and should that be long in coming the standby
    /// thread does.
    fn turn_awake(&self, shared: Arc<Shared>) -> bool {
        self.inner.lock().turning = true;
        shared.turn_awake();
        let mut state = self.inner.lock();
        state.turning = false;
        state.note(&shared);
        true
    }

    /// The timer fired: every connection does what is due.
    fn tick(&self) {
        let mut expirations = [0; 8];
        // Reading only clears the timer; a second reader finds it cleared.
        let _ = rustix::io::read(&self.inner.timer, &mut expirations);
        self.inner.lock().timer = Time::NEVER;
        for shared in self.connections() {
            shared.turn();
        }
        self.settle_connections();
    }

    fn connections(&self) -> Vec<Arc<Shared>> {
        let mut state = self.inner.lock();
        state.connections.retain(|_, shared| shared.strong_count() > 0);
        state.connections.iter().filter_map(|(_, shared)| shared.upgrade()).collect()
    }

    /// Sends what waited for this turn, and sets the timer for the earliest thing that is due.
    fn settle_connections(&self) {
        let mut earliest = Time::NEVER;
        for shared in self.connections() {
            shared.flush_held();
            let mut state = shared.lock();
            let due = state.poll_timeout();
            state.driver_timer = due;
            earliest = earliest.min(due);
        }
        let mut state = self.inner.lock();
        if earliest < state.timer {
            state.timer = earliest;
            let left = (earliest - clock::now()).max(Duration::from_nanos(1));
            let spec = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: left.as_secs() as i64,
                    tv_nsec: left.subsec_nanos().into(),
                },
            };
            // Fails only for values that this one is not.
            let _ = timerfd_settime(&self.inner.timer, TimerfdTimerFlags::empty(), &spec);
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use procall_transport::{LinkOptions, mem};

    use super::*;
    use crate::connection::Side;

    /// As asyncio and libuv do it: they wait in their own way, and only ever turn.
    #[test]
    fn an_event_loop_that_only_turns_keeps_nothing_of_it() {
        let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
        let client = Connection::new(Box::new(ours), Side::Initiator, Default::default());
        let server = Connection::serving(Box::new(theirs), Side::Acceptor, Default::default());
        let hub = Hub::new().unwrap();
        for connection in [&client, &server] {
            hub.attach(connection).unwrap();
        }
        while client.poll_ready(&hub.waker(1)).is_pending() {
            hub.turn();
        }
        for _ in 0..100 {
            // One is asked for at a time; each turn carries the question or the answer.
            client.ping();
            hub.turn();
        }
        let lately = hub.inner.lock().lately.len();
        assert!((1..=2).contains(&lately), "{lately} of 2 connections");
    }
}
