//! The engine: processes that did not start each other find and call each other by name.
#![deny(unsafe_code)]

mod facts;
mod gateway;

pub use facts::{Facts, Speaks};
