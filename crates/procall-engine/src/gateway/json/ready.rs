//! What the task of a link is woken for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Something that may have news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A call of the peer's, by its place.
    Call(usize),
    /// A call to the peer, by its place.
    Served(usize),
    /// The registration that is under way.
    Registration,
}

/// What has news, and whom to wake for it. At most one entry for each [`Signal`], so it is bounded by the calls.
#[derive(Debug, Default)]
pub(super) struct Ready {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<Arc<Signal>>,
    task: Option<Waker>,
}

/// The waker of one call: it says which one.
#[derive(Debug)]
pub(super) struct Signal {
    key: Key,
    ready: Arc<Ready>,
    /// Whether it is among the keys already.
    raised: AtomicBool,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the task to wake.
    pub(super) fn watch(&self, task: &Waker) {
        let mut state = self.lock();
        match &mut state.task {
            Some(known) => known.clone_from(task),
            None => state.task = Some(task.clone()),
        }
    }

    /// Wakes the task for a reason of the caller's.
    pub(super) fn wake(&self) {
        let task = self.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Takes all that have news, in the order of the news, onto the end of `keys`.
    pub(super) fn take(&self, keys: &mut impl Extend<Key>) {
        let signals = std::mem::take(&mut self.lock().keys);
        keys.extend(signals.into_iter().map(|signal| {
            signal.raised.store(false, Ordering::Release);
            signal.key
        }));
    }

    /// A waker that says this key.
    pub(super) fn signal(self: &Arc<Self>, key: Key) -> Waker {
        let signal = Signal { key, ready: self.clone(), raised: AtomicBool::new(false) };
        Waker::from(Arc::new(signal))
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        if self.raised.swap(true, Ordering::AcqRel) {
            return;
        }
        let ready = self.ready.clone();
        let task = {
            let mut state = ready.lock();
            state.keys.push(self);
            state.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_told_once_until_it_is_taken() {
        let ready = Arc::new(Ready::default());
        let (one, two) = (ready.signal(Key::Call(1)), ready.signal(Key::Served(2)));
        one.wake_by_ref();
        two.wake_by_ref();
        one.wake_by_ref();
        let mut keys = Vec::new();
        ready.take(&mut keys);
        assert_eq!(keys, [Key::Call(1), Key::Served(2)]);
        one.wake_by_ref();
        keys.clear();
        ready.take(&mut keys);
        assert_eq!(keys, [Key::Call(1)]);
    }
}
