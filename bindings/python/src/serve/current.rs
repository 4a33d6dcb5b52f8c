//! The call whose handler runs here, for code that was not given its context.

use std::cell::RefCell;
use std::time::Duration;

use procall::{CallId, Connection};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::call::Call;

/// The context variable that holds the call whose async handler runs.
static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

thread_local! {
    /// The call whose plain handler runs on this thread.
    static PLAIN: RefCell<Option<Reporter>> = const { RefCell::new(None) };
}

/// Reports the progress of the call that it was made in.
#[pyclass(frozen, module = "procall._native")]
#[derive(Clone)]
pub(crate) struct Reporter {
    connection: Connection,
    id: CallId,
}

#[pymethods]
impl Reporter {
    /// At most ten reports a second travel.
    #[pyo3(signature = (done, total = None, text = ""))]
    fn progress(&self, done: u64, total: Option<u64>, text: &str) {
        self.connection.progress(self.id, done, total, text);
    }
}

/// Remembers the context variable in which tasks keep their call. A second service of the process has the same.
pub(super) fn keep_variable(py: Python<'_>, variable: Py<PyAny>) {
    let _ = VARIABLE.set(py, variable);
}

/// Runs a plain handler, or a part of one, so that [`reporter`] and calls that it makes find the call: it has so much time left.
pub(super) fn within<R>(
    connection: &Connection,
    id: Option<CallId>,
    remaining: Option<Duration>,
    run: impl FnOnce() -> R,
) -> R {
    let own = id.map(|id| Reporter { connection: connection.clone(), id });
    let _restore = Restore(PLAIN.replace(own));
    procall::with_call(connection, id, remaining, run)
}

/// Also when the handler panics.
struct Restore(Option<Reporter>);

impl Drop for Restore {
    fn drop(&mut self) {
        // A thread that ends has none to restore.
        let _ = PLAIN.try_with(|plain| plain.replace(self.0.take()));
    }
}

/// Runs `make` as part of the call whose async handler runs here, if one does: what is made inherits its time, and the calls that wait for it.
pub(crate) fn inheriting<R>(py: Python<'_>, make: impl FnOnce() -> R) -> PyResult<R> {
    let Some(call) = awaiting(py)? else { return Ok(make()) };
    let left = call.get().left();
    Ok(match call.get().place() {
        Some((connection, id)) => procall::with_call(&connection, Some(id), left, make),
        None => procall::with_remaining(left, make),
    })
}

/// What reports the progress of the call that is handled here; `None` when none is.
#[pyfunction]
pub(crate) fn reporter(py: Python<'_>) -> PyResult<Option<Reporter>> {
    let plain = PLAIN.try_with(|plain| plain.borrow().clone()).ok().flatten();
    if plain.is_some() {
        return Ok(plain);
    }
    let call = awaiting(py)?;
    Ok(call.and_then(|call| {
        let (connection, id) = call.get().place()?;
        Some(Reporter { connection, id })
    }))
}

fn awaiting(py: Python<'_>) -> PyResult<Option<Bound<'_, Call>>> {
    let Some(variable) = VARIABLE.get(py) else { return Ok(None) };
    let call = variable.call_method1(py, intern!(py, "get"), (py.None(),))?;
    Ok(call.into_bound(py).cast_into::<Call>().ok())
}
