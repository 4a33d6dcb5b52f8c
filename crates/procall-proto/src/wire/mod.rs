//! Reading and writing the MessagePack subset that headers use.
//!
//! Headers are a few small integers and one short string; they are read and written by hand because they are on the path of every call.
//! Bodies are another matter and belong to serde.

mod reader;
mod writer;

pub use reader::{Reader, WireError};
pub use writer::Writer;
