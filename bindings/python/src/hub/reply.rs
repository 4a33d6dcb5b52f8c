//! The reply to a call, awaited.

use std::task::{Poll, Waker};

use procall::Started;
use pyo3::prelude::*;

use super::wait::Operation;
use crate::convert;
use crate::error;

pub(crate) struct CallReply {
    started: Started,
    on_progress: Option<Py<PyAny>>,
}

impl CallReply {
    pub(crate) fn new(started: Started, on_progress: Option<Py<PyAny>>) -> Self {
        Self { started, on_progress }
    }
}

impl Operation for CallReply {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        if let Some(report) = &self.on_progress {
            while let Poll::Ready(Some(progress)) = self.started.poll_progress(waker) {
                if let Err(error) = report.call1(py, (progress.done, progress.total, progress.text))
                {
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.started.poll_reply(waker).map(|reply| {
            let reply = reply.map_err(|error| error::raise(py, &error))?;
            convert::decode(py, reply.encoding, &reply.bytes)
                .map_err(|refusal| error::raise(py, &error::unreadable(&refusal)))
        })
    }
}
