//! The reply to a call, awaited.

use std::task::{Poll, Waker};

use procall::Started;
use pyo3::prelude::*;

use super::wait::Operation;
use crate::client::Report;
use crate::convert;
use crate::error;

pub(crate) struct CallReply {
    started: Started,
    report: Option<Report>,
}

impl CallReply {
    pub(crate) fn new(started: Started, report: Option<Report>) -> Self {
        Self { started, report }
    }
}

impl Operation for CallReply {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        if let Some(report) = &self.report {
            while let Poll::Ready(Some(progress)) = self.started.poll_progress(waker) {
                if let Err(error) = report.tell(py, progress) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.started.poll_reply(waker).map(|reply| {
            let reply = reply.map_err(|error| error::raise(py, &error))?;
            convert::decode_value(py, &reply)
                .map_err(|refusal| error::raise(py, &error::unreadable(&refusal)))
        })
    }
}
