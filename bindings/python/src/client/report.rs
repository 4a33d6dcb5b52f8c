//! Who hears how far a call has come.

use procall::{Progress, Started};
use pyo3::prelude::*;

use crate::wait::wait;

pub(super) const PROGRESS: &str = "True for a bar, or a function of (done, total, text)";

/// What the calls of a caller do with their progress.
pub(super) enum Reporting {
    /// Each draws a bar.
    Bar,
    Told(Py<PyAny>),
}

impl Reporting {
    /// `Some(None)` for false, which is nothing.
    pub(super) fn from_python(value: &Bound<'_, PyAny>) -> Option<Option<Self>> {
        match value.extract::<bool>() {
            Ok(true) => Some(Some(Self::Bar)),
            Ok(false) => Some(None),
            Err(_) if value.is_callable() => Some(Some(Self::Told(value.clone().unbind()))),
            Err(_) => None,
        }
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Bar => Self::Bar,
            Self::Told(told) => Self::Told(told.clone_ref(py)),
        }
    }

    /// For one call.
    pub(super) fn of(&self, py: Python<'_>, method: &str) -> PyResult<Report> {
        match self {
            Self::Bar => {
                let bar = py.import("procall._progress")?.call_method1("CallBar", (method,))?;
                Ok(Report(bar.unbind()))
            }
            Self::Told(told) => Ok(Report(told.clone_ref(py))),
        }
    }
}

/// Hears of the progress of one call. A bar ends when it is dropped.
pub(crate) struct Report(Py<PyAny>);

impl Report {
    pub(crate) fn tell(&self, py: Python<'_>, progress: Progress) -> PyResult<()> {
        self.0.call1(py, (progress.done, progress.total, progress.text)).map(drop)
    }

    /// Tells of all progress until there is something else; the call is taken and given back.
    pub(super) fn follow(&self, py: Python<'_>, mut started: Started) -> PyResult<Started> {
        loop {
            let (progress, back) = wait(py, move |interrupt| {
                let progress = started.wait_progress(interrupt);
                (progress, started)
            })?;
            started = back;
            match progress {
                Ok(Some(progress)) => self.tell(py, progress)?,
                // An interrupt is seen by the wait that follows too.
                Ok(None) | Err(_) => return Ok(started),
            }
        }
    }
}
