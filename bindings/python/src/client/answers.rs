//! Several calls and all of their answers: one call to every worker, or a batch.

use std::sync::Arc;
use std::task::{Poll, Waker};

use procall::{Encoded, Error, Started};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::convert;
use crate::error;
use crate::hub::{Hub, Operation, Wait};
use crate::wait::wait;

/// Calls under way whose answers are given together. Dropped, it cancels those that have not ended.
pub(crate) struct Answers {
    parts: Vec<(Arc<str>, Part)>,
    /// Makes an answer of `(worker, value, error)`.
    answer: Py<PyAny>,
}

enum Part {
    Open(Started),
    Over(Result<Encoded, Error>),
}

impl Answers {
    pub(crate) fn new(started: Vec<(Arc<str>, Result<Started, Error>)>, answer: Py<PyAny>) -> Self {
        let part = |started: Result<Started, Error>| match started {
            Ok(started) => Part::Open(started),
            Err(error) => Part::Over(Err(error)),
        };
        let parts = started.into_iter().map(|(worker, started)| (worker, part(started)));
        Self { parts: parts.collect(), answer }
    }

    /// The list of answers: waited for on this thread, or an awaitable for the event loop of a hub.
    pub(crate) fn give<'py>(
        self,
        py: Python<'py>,
        hub: Option<&Py<Hub>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match hub {
            None => self.wait(py).map(Bound::into_any),
            Some(hub) => Ok(Wait::new(hub.clone_ref(py), self).into_pyobject(py)?.into_any()),
        }
    }

    /// Waits on this thread until all calls have ended.
    fn wait<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let Self { parts, answer } = self;
        let over = wait(py, |interrupt| {
            let mut over = Vec::with_capacity(parts.len());
            let mut interrupted = false;
            for (worker, part) in parts {
                let outcome = match part {
                    Part::Over(outcome) => outcome,
                    Part::Open(started) => started.wait_interruptibly(&mut || {
                        interrupted = interrupt();
                        interrupted
                    }),
                };
                if interrupted {
                    // Nobody will look at the answers; the calls that are left are cancelled.
                    break;
                }
                over.push((worker, outcome));
            }
            over
        })?;
        told(py, over, answer.bind(py))
    }
}

impl Operation for Answers {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        let mut open = false;
        for (_, part) in &mut self.parts {
            if let Part::Open(started) = part {
                match started.poll_reply(waker) {
                    Poll::Ready(outcome) => *part = Part::Over(outcome),
                    Poll::Pending => open = true,
                }
            }
        }
        if open {
            return Poll::Pending;
        }
        let over = std::mem::take(&mut self.parts).into_iter().filter_map(|(worker, part)| {
            if let Part::Over(outcome) = part { Some((worker, outcome)) } else { None }
        });
        Poll::Ready(told(py, over.collect(), self.answer.bind(py)).map(Bound::into_any))
    }
}

fn told<'py>(
    py: Python<'py>,
    over: Vec<(Arc<str>, Result<Encoded, Error>)>,
    answer: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (worker, outcome) in over {
        let value = outcome.and_then(|reply| {
            convert::decode_value(py, &reply).map_err(|refusal| error::unreadable(&refusal))
        });
        list.append(match value {
            Ok(value) => answer.call1((&*worker, value, py.None()))?,
            Err(error) => answer.call1((&*worker, py.None(), error::exception(py, &error)?))?,
        })?;
    }
    Ok(list)
}
