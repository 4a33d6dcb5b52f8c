//! Waiting on a thread of the program's: without the GIL, and open to Ctrl-C.

use procall::Interrupt;
use pyo3::prelude::*;

/// Waits with the GIL released. A signal whose Python handler raises ends the wait; what it raised is the result.
pub(crate) fn wait<R: Send>(
    py: Python<'_>,
    f: impl FnOnce(Interrupt<'_>) -> R + Send,
) -> PyResult<R> {
    let mut raised = None;
    let result = py.detach(|| {
        f(&mut || {
            Python::attach(|py| match py.check_signals() {
                Ok(()) => false,
                Err(error) => {
                    raised = Some(error);
                    true
                }
            })
        })
    });
    match raised {
        Some(error) => Err(error),
        None => Ok(result),
    }
}
