//! Things that take a while: starting, restarting, draining, stopping.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use procall::{Error, ErrorCode, Interrupt};

/// How often a waiting thread looks for an interrupt.
const INTERRUPT_SLICE: Duration = Duration::from_millis(100);

/// Something a pool was asked to do, under way already. Await it, or wait for it on a thread without a runtime.
///
/// ```no_run
/// use procall_pool::Pool;
///
/// let pool = Pool::spawn("calc.py").start().wait()?;
/// pool.restart_all().wait()?;
/// # async fn in_async_code() -> Result<(), procall::Error> {
/// let pool = Pool::spawn("calc.py").start().await?;
/// # Ok(()) }
/// # Ok::<(), procall::Error>(())
/// ```
#[must_use = "it tells whether the step succeeded: await it or call `wait`"]
pub struct Step<T = ()> {
    cell: Arc<Cell>,
    value: Option<T>,
}

#[derive(Default)]
struct Cell {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<(), Error>>,
    waker: Option<Waker>,
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side that ends a [`Step`]. Dropped without an outcome, the step ends with CLOSED: nobody waits for ever.
pub(crate) struct Outcome {
    cell: Arc<Cell>,
}

impl Outcome {
    pub(crate) fn set(self, outcome: Result<(), Error>) {
        self.end(outcome);
    }

    fn end(&self, outcome: Result<(), Error>) {
        let waker = {
            let mut state = self.cell.lock();
            if state.outcome.is_some() {
                return;
            }
            state.outcome = Some(outcome);
            state.waker.take()
        };
        self.cell.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.end(Err(Error::new(ErrorCode::Closed, "the pool was stopped meanwhile")));
    }
}

/// A step that gives `value` once the outcome is set to success.
pub(crate) fn step<T>(value: T) -> (Step<T>, Outcome) {
    let cell = Arc::<Cell>::default();
    (Step { cell: cell.clone(), value: Some(value) }, Outcome { cell })
}

impl<T> Step<T> {
    /// A step that has failed already.
    pub(crate) fn failed(error: Error) -> Self {
        let cell = Arc::<Cell>::default();
        cell.lock().outcome = Some(Err(error));
        Self { cell, value: None }
    }

    /// Waits on this thread until it is done.
    pub fn wait(self) -> Result<T, Error> {
        self.wait_interruptibly(&mut || false)
    }

    /// The same; an interrupt ends the wait with CANCELLED. What was asked for goes on, except a start, which is undone.
    pub fn wait_interruptibly(mut self, interrupt: Interrupt<'_>) -> Result<T, Error> {
        loop {
            if let Some(done) = self.wait_at_most(INTERRUPT_SLICE) {
                return done;
            }
            if interrupt() {
                return Err(Error::new(ErrorCode::Cancelled, "the wait was interrupted"));
            }
        }
    }

    /// Waits on this thread for so long at most; `None` when it takes longer.
    pub fn wait_at_most(&mut self, timeout: Duration) -> Option<Result<T, Error>> {
        let state = self.cell.lock();
        let (mut state, _) = self
            .cell
            .changed
            .wait_timeout_while(state, timeout, |state| state.outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let outcome = state.outcome.clone();
        drop(state.waker.take());
        drop(state);
        outcome.map(|outcome| self.finish(outcome))
    }

    fn finish(&mut self, outcome: Result<(), Error>) -> Result<T, Error> {
        // On failure the value, a pool that is only half there, goes now.
        let value = self.value.take();
        outcome?;
        value.ok_or_else(|| {
            Error::new(ErrorCode::Internal, "the outcome of this step was taken before")
        })
    }
}

impl<T: Unpin> Future for Step<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = {
            let mut state = self.cell.lock();
            match &state.outcome {
                Some(outcome) => outcome.clone(),
                None => {
                    state.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        Poll::Ready(self.finish(outcome))
    }
}

impl<T> std::fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step")
            .field("done", &self.cell.lock().outcome.is_some())
            .finish_non_exhaustive()
    }
}
