//! Targets of fuzzing: each is a function of bytes that nobody chose, and panics when Procall breaks a promise.
//!
//! `make fuzz` runs them under libFuzzer (`fuzz/libfuzzer`), with coverage and AddressSanitizer. The tests of this package run the same
//! functions, on the stable toolchain, over what was found before (`fuzz/corpus`), over the golden vectors of `spec/vectors`, and over both with
//! bytes changed at random.

mod change;
mod corpus;
mod input;
mod targets;

pub use change::Change;
pub use corpus::{corpus, seeds};
pub use targets::{TARGETS, Target};
