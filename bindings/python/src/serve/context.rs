//! What a handler may know of its call.

use procall::{CallId, Connection};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;

/// The facts of a call, for a handler that has a parameter of this type.
///
/// ::
///
///     calc = procall.Service("calc")
///
///     @calc.method
///     def train(ctx: procall.Context, epochs: int) -> str:
///         ctx.log(f"{ctx.method} for {ctx.caller.pid}, {ctx.remaining} s left")
///         for epoch in range(epochs):
///             if ctx.cancelled:
///                 break
///             ctx.progress(epoch + 1, epochs, "training")
///         return ctx.meta.get("model", "model.bin")
///
///     calc.run()
#[pyclass(frozen, module = "procall")]
pub(crate) struct Context {
    pub(super) connection: Connection,
    pub(super) id: Option<CallId>,
    pub(super) method: String,
    pub(super) meta: Vec<u8>,
}

/// Who is at the other side, as it says itself.
///
/// ::
///
///     service = procall.Service("calc")
///
///     @service.method
///     def whoami(ctx: procall.Context) -> str:
///         caller = ctx.caller
///         return f"{caller.name} {caller.runtime} {caller.pid}"
///
///     service.run()
#[pyclass(frozen, get_all, module = "procall")]
pub(crate) struct Peer {
    /// A name for people; may be empty.
    name: String,
    /// Its implementation, such as ``python/0.1.0``.
    runtime: String,
    /// Its process; 0 when it does not say.
    pid: u32,
}

#[pymethods]
impl Peer {
    fn __repr__(&self) -> String {
        format!("<procall.Peer {:?} of {} (pid {})>", self.name, self.runtime, self.pid)
    }
}

#[pymethods]
impl Context {
    /// The method's full name.
    #[getter]
    fn method(&self) -> &str {
        &self.method
    }

    /// Seconds until the caller gives up; ``None`` when it never does.
    #[getter]
    fn remaining(&self) -> Option<f64> {
        self.connection.remaining(self.id?).map(|left| left.as_secs_f64())
    }

    /// Whether the caller no longer wants the answer.
    #[getter]
    fn cancelled(&self) -> bool {
        self.id.is_some_and(|id| !self.connection.is_wanted(id))
    }

    /// The metadata that travels with the call.
    #[getter]
    fn meta<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.meta.is_empty() {
            return Ok(PyDict::new(py).into_any());
        }
        convert::decode(py, procall::Encoding::Msgpack, &self.meta)
            .map_err(|refusal| crate::error::invalid(py, refusal.describe("the metadata")))
    }

    /// Who calls; for a pool's worker that is the pool's process.
    #[getter]
    fn caller(&self) -> Peer {
        let peer = self.connection.peer();
        let (name, runtime, pid) =
            peer.map(|peer| (peer.name, peer.runtime, peer.pid)).unwrap_or_default();
        Peer { name, runtime, pid }
    }

    /// Writes a line to standard error that says which call it is about, as in
    /// ``[calc.add #3] text``.
    fn log(&self, py: Python<'_>, text: &str) -> PyResult<()> {
        let mut lines = String::new();
        for line in text.lines() {
            let method = &self.method;
            lines += &match self.id {
                Some(id) => format!("[{method} #{}] {line}\n", id),
                None => format!("[{method}] {line}\n"),
            };
        }
        let stderr = py.import("sys")?.getattr("stderr")?;
        // A process may have been started without one.
        if !stderr.is_none() {
            stderr.call_method1("write", (lines,))?;
            stderr.call_method0("flush")?;
        }
        Ok(())
    }

    /// Tells the caller how far the work has come. At most ten reports a second travel.
    #[pyo3(signature = (done, total = None, text = ""))]
    fn progress(&self, done: u64, total: Option<u64>, text: &str) {
        if let Some(id) = self.id {
            self.connection.progress(id, done, total, text);
        }
    }

    fn __repr__(&self) -> String {
        format!("<procall.Context of {}>", self.method)
    }
}
