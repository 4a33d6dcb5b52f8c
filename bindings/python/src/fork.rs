//! What a forked child may not use.
//!
//! `fork` copies descriptors and memory but only the thread that calls it. A client of the parent would read the parent's answers in the child,
//! and wait for threads that are not there.

use std::sync::atomic::{AtomicU64, Ordering};

use procall::{Error, ErrorCode, Executed};
use pyo3::prelude::*;

/// How many forks lie between this process and the one that imported the package.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Called by Python in the child of every `os.fork`.
#[pyfunction]
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The process that made something.
#[derive(Clone, Copy)]
pub(crate) struct Lineage(u64);

impl Lineage {
    pub(crate) fn current() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    pub(crate) fn is_here(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }

    /// An error in a child of the process that made it.
    pub(crate) fn check(self, py: Python<'_>) -> PyResult<()> {
        if self.is_here() {
            return Ok(());
        }
        let error = Error::new(
            ErrorCode::Closed,
            "this was made before the process forked, and belongs to the parent: make a client or pool of its own in the child, after the fork",
        );
        Err(crate::error::raise(py, &error.with_executed(Executed::No)))
    }
}
