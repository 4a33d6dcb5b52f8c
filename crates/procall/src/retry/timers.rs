//! Waking somebody at a moment: what calls between two attempts wait for when they are only polled.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use procall_proto::Time;

use crate::clock;

static TIMERS: Timers = Timers {
    state: Mutex::new(State { wakers: BTreeMap::new(), next: 0, runs_in: 0 }),
    changed: Condvar::new(),
};

struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// One for each call between two attempts, which bound their number.
    wakers: BTreeMap<(Time, u64), Waker>,
    next: u64,
    /// The process whose thread keeps them, or 0: a forked child has none of its parent's threads.
    runs_in: u32,
}

/// A wake that is to come. Dropping it takes it back.
#[derive(Debug)]
pub(super) struct Timer {
    due: Time,
    number: u64,
}

/// Wakes at `due`; `None` when the system gives no thread for it. The thread ends when nobody is to be woken any more.
pub(super) fn wake_at(due: Time, waker: Waker) -> Option<Timer> {
    let mut state = TIMERS.lock();
    let number = state.next;
    state.next += 1;
    state.wakers.insert((due, number), waker);
    let process = std::process::id();
    if state.runs_in == process {
        TIMERS.changed.notify_one();
        return Some(Timer { due, number });
    }
    let thread = std::thread::Builder::new().name("procall-retries".to_owned());
    if thread.stack_size(128 << 10).spawn(|| TIMERS.run()).is_ok() {
        state.runs_in = process;
        return Some(Timer { due, number });
    }
    let waker = state.wakers.remove(&(due, number));
    drop(state);
    drop(waker);
    None
}

impl Drop for Timer {
    fn drop(&mut self) {
        let waker = TIMERS.lock().wakers.remove(&(self.due, self.number));
        // Foreign code, so not under the lock.
        drop(waker);
    }
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let now = clock::now();
            let Some(first) = state.wakers.first_entry() else {
                state.runs_in = 0;
                return;
            };
            let (due, _) = *first.key();
            if due <= now {
                let waker = first.remove();
                drop(state);
                waker.wake();
                state = self.lock();
                continue;
            }
            let waited = self.changed.wait_timeout(state, due - now);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
