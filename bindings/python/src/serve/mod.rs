//! Serving: a pulling loop for plain handlers, and a feed of calls for an event loop's.

mod answers;
mod call;
mod context;
mod current;
mod emit;
mod items;
mod method;
mod outcome;
mod pace;
mod run;
mod server;
mod source;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

pub(crate) use call::Call;
pub(crate) use context::{Context, Peer};
pub(crate) use current::{Reporter, inheriting, reporter};
pub(crate) use items::{AsyncItems, Items};
pub(crate) use server::Server;

use run::unwanted;

/// An `Exception` is the caller's business alone; `KeyboardInterrupt`, `SystemExit` and their like are also ours.
fn pass_on(py: Python<'_>, raised: PyErr) -> PyResult<()> {
    if raised.is_instance_of::<PyException>(py) { Ok(()) } else { Err(raised) }
}
