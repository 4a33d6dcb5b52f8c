//! The native half of the Python package `procall`: handles, conversions and loops, but no rules.
//!
//! Everything that decides anything is in `procall`; everything that users read is in the Python files beside this crate.

#![deny(unsafe_code)]

mod client;
mod codec;
mod convert;
mod error;
mod figures;
mod fork;
mod hub;
mod memory;
mod options;
mod pool;
mod registration;
mod serve;
mod wait;

use pyo3::prelude::*;

#[pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::client::dial::{Finder, Found, connect, greet, greet_own};
    #[pymodule_export]
    use crate::client::{AsyncStream, Caller, Method, Stream, Submitted};
    #[pymodule_export]
    use crate::codec::codec;
    #[pymodule_export]
    use crate::fork::forked;
    #[pymodule_export]
    use crate::hub::{Hub, Wait};
    #[pymodule_export]
    use crate::memory::Memory;
    #[pymodule_export]
    use crate::pool::{AsyncEvents, Events, Pool};
    #[pymodule_export]
    use crate::serve::{AsyncItems, Call, Context, Items, Peer, Reporter, Server, reporter};

    /// The version of the package.
    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Python looks at large arrays where their sender has put them.
        procall::keep_lent();
        Ok(())
    }

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
