//! What is done to a connection from outside: under its lock, with what follows from it sent and told.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use procall_proto::Time;

use super::after::After;
use super::state::State;
use super::{Shared, coalesce};
use crate::clock;

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way through a change that others could see.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something under the lock, sends what came of it, then wakes whom it concerns.
    pub(crate) fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut State, &mut After) -> R) -> R {
        let mut after = After::default();
        let result = {
            let mut state = self.lock();
            let result = f(&mut state, &mut after);
            if coalesce::holds(self) {
                state.settle_without_sending(&mut after);
            } else {
                state.settle(&mut after);
            }
            state.hurry_driver(&mut after);
            self.kick_leader(&mut state, &after);
            result
        };
        after.run();
        result
    }

    /// Does something that starts a call. When a driver reads this connection and other calls are under way, the message waits for its next
    /// turn: a burst of calls leaves in one write, and a lone call without delay.
    pub(crate) fn with_call<R>(self: &Arc<Self>, hold: bool, f: impl FnOnce(&mut State) -> R) -> R {
        let mut after = After::default();
        let result = {
            let mut state = self.lock();
            let result = f(&mut state);
            let burst = state.driver.is_some() && state.session.calling() > 1;
            if coalesce::holds(self) {
                state.unflushed = true;
            } else if (hold || burst) && !(hold && state.sharing.leaves_in_pieces()) {
                if !std::mem::replace(&mut state.unflushed, true) && !hold {
                    after.wakes.extend(state.driver.clone());
                }
            } else {
                state.settle(&mut after);
                state.hurry_driver(&mut after);
                #[cfg(feature = "tokio")]
                if state.sharing.calls_for_a_look() {
                    after.wakes.extend(state.driver.clone());
                }
            }
            self.kick_leader(&mut state, &after);
            result
        };
        after.run();
        result
    }

    /// Sends what waited for the driver's turn.
    pub(crate) fn flush_held(&self) {
        let mut after = After::default();
        {
            let mut state = self.lock();
            if state.unflushed {
                state.settle(&mut after);
                self.kick_leader(&mut state, &after);
            }
        }
        after.run();
    }

    pub(crate) fn turn(&self) {
        self.turn_and(State::rest);
    }

    /// The same for somebody who looks at the link again soon. Only a link that the standby thread looks at is left awake.
    pub(super) fn turn_awake(&self) {
        self.turn_and(|state| state.sharing.watched || state.rest());
    }

    fn turn_and(&self, come_to_rest: impl Fn(&mut State) -> bool) {
        let mut after = After::default();
        loop {
            let more = clock::turn(|| {
                let mut state = self.lock();
                self.reads.fetch_add(1, Ordering::Relaxed);
                let now = clock::look();
                let more = state.pump(now, &mut after);
                if now >= state.poll_timeout() {
                    state.tick(now, &mut after);
                }
                self.kick_leader(&mut state, &after);
                // Whoever turns waits in the readiness next.
                more || !come_to_rest(&mut state)
            });
            after.run();
            if !more {
                return;
            }
        }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn turn_in_memory(&self, told: bool) -> bool {
        let mut after = After::default();
        let mut state = self.lock();
        if told {
            state.socket_tells();
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let more = state.pump_piece(clock::look(), &mut after);
        drop(state);
        after.run();
        more
    }

    pub(super) fn watch<R>(
        &self,
        waker: &Waker,
        look: impl FnOnce(&State) -> Option<R>,
    ) -> Poll<R> {
        let mut state = self.lock();
        match look(&state) {
            Some(result) => Poll::Ready(result),
            None => {
                if !state.watchers.iter().any(|watcher| watcher.will_wake(waker)) {
                    state.watchers.push(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl State {
    /// Wakes the driver when its timer is later than the session wants.
    pub(super) fn hurry_driver(&mut self, after: &mut After) {
        if self.poll_timeout() < self.driver_timer {
            self.driver_timer = Time::ZERO;
            after.wakes.extend(self.driver.clone());
        }
    }
}
