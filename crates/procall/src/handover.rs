//! Where a call that waits for a worker and its caller meet.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::connection::Pending;
use crate::error::Error;

/// Where a call that waits for a worker and its caller meet: whoever keeps the queue has one side, a [`Queued`](crate::Queued) the other.
///
/// ```
/// use std::task::{Poll, Waker};
///
/// use procall::{Error, ErrorCode, Handover};
///
/// let handover = Handover::default();
/// assert!(handover.poll(Waker::noop()).is_pending());
/// handover.resolve(Err(Error::new(ErrorCode::NoWorker, "none will come")));
/// assert!(matches!(handover.poll(Waker::noop()), Poll::Ready(Err(_))));
/// ```
#[derive(Debug, Default)]
pub struct Handover {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Result<Pending, Error>>,
    waker: Option<Waker>,
    dropped: bool,
    /// Cancelled between the queue and a worker: whoever starts it learns of that afterwards.
    cancelled: bool,
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the wait: a worker has the call, or none will. When the caller has gone meanwhile, a call that was just started is cancelled.
    pub fn resolve(&self, outcome: Result<Pending, Error>) {
        let (waker, unwanted) = {
            let mut state = self.lock();
            if state.dropped {
                (None, Some(outcome))
            } else {
                if let (true, Ok(pending)) = (state.cancelled, &outcome) {
                    pending.cancel();
                }
                state.outcome = Some(outcome);
                (state.waker.take(), None)
            }
        };
        // Dropping a call that was started already cancels it.
        drop(unwanted);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once the wait is over.
    pub fn poll(&self, waker: &Waker) -> Poll<Result<Pending, Error>> {
        let mut state = self.lock();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Cancels a call that is no longer in the queue.
    pub fn cancel(&self) {
        let mut state = self.lock();
        state.cancelled = true;
        if let Some(Ok(pending)) = &state.outcome {
            pending.cancel();
        }
    }

    /// The caller is gone.
    pub fn abandon(&self) {
        let started = {
            let mut state = self.lock();
            state.dropped = true;
            state.outcome.take()
        };
        drop(started);
    }
}
