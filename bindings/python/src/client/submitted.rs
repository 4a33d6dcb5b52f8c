//! A call under way whose result blocking code takes later.

use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use procall::{Encoded, Error, Started};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::convert;
use crate::error;
use crate::wait::wait;

/// What `submit` gives. Forgotten, it cancels the call.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Submitted {
    stage: Mutex<Stage>,
}

enum Stage {
    Open(Started),
    /// A thread waits with it.
    Busy,
    Done(Result<Encoded, Error>),
}

impl Submitted {
    pub(super) fn new(started: Started) -> Self {
        Self { stage: Mutex::new(Stage::Open(started)) }
    }

    fn swap(&self, next: Stage) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), next)
    }
}

#[pymethods]
impl Submitted {
    /// Waits for the result. The call's own deadline says for how long.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let outcome = match self.swap(Stage::Busy) {
            Stage::Open(started) => wait(py, |interrupt| started.wait_interruptibly(interrupt))?,
            Stage::Done(outcome) => outcome,
            Stage::Busy => {
                return Err(PyRuntimeError::new_err("another thread waits for this result"));
            }
        };
        self.swap(Stage::Done(outcome.clone()));
        let reply = outcome.map_err(|error| error::raise(py, &error))?;
        convert::decode_value(py, &reply)
            .map_err(|refusal| error::raise(py, &error::unreadable(&refusal)))
    }

    /// Whether the outcome is here.
    fn done(&self) -> bool {
        match self.swap(Stage::Busy) {
            Stage::Open(mut started) => {
                let polled = started.poll_reply(Waker::noop());
                let (stage, done) = match polled {
                    Poll::Ready(outcome) => (Stage::Done(outcome), true),
                    Poll::Pending => (Stage::Open(started), false),
                };
                self.swap(stage);
                done
            }
            Stage::Busy => false,
            done @ Stage::Done(_) => {
                self.swap(done);
                true
            }
        }
    }

    /// Asks for the call to end; `result` then raises `Cancelled`, unless there is an outcome already.
    fn cancel(&self) {
        if let Stage::Open(started) = &*self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            started.cancel();
        }
    }
}
