//! A call whose outcome completes a `concurrent.futures.Future`.

use std::task::{Poll, Waker};

use procall::Started;
use pyo3::intern;
use pyo3::prelude::*;

use crate::client::Report;
use crate::convert;
use crate::error;

/// Dropped before it is done, it cancels the call.
pub(super) struct Delivery {
    started: Started,
    report: Option<Report>,
    future: Py<PyAny>,
}

impl Delivery {
    pub(super) fn new(started: Started, report: Option<Report>, future: Py<PyAny>) -> Self {
        Self { started, report, future }
    }

    /// Completes the future if the outcome is here, and says whether it was. The future's callbacks run in this.
    pub(super) fn turn(&mut self, py: Python<'_>, waker: &Waker) -> bool {
        if let Some(report) = &self.report {
            while let Poll::Ready(Some(progress)) = self.started.poll_progress(waker) {
                if let Err(error) = report.tell(py, progress) {
                    // As one of the future's callbacks it must not end the thread for all other futures.
                    error.write_unraisable(py, Some(self.future.bind(py)));
                }
            }
        }
        let Poll::Ready(reply) = self.started.poll_reply(waker) else { return false };
        let value = reply.map_err(|error| error::raise(py, &error)).and_then(|reply| {
            convert::decode_value(py, &reply)
                .map_err(|refusal| error::raise(py, &error::unreadable(&refusal)))
        });
        // A bar ends before whoever waits goes on.
        self.report = None;
        let future = self.future.bind(py);
        let told = match value {
            Ok(value) => future.call_method1(intern!(py, "set_result"), (value,)),
            Err(error) => {
                future.call_method1(intern!(py, "set_exception"), (error.into_value(py),))
            }
        };
        if let Err(error) = told {
            // Somebody else has completed it: a mistake of the program's that must not end the thread for all other futures.
            error.write_unraisable(py, Some(future));
        }
        true
    }
}
