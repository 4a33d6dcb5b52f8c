//! The command itself, run as a person or a script runs it.

mod calls;
mod listing;
mod running;
mod serving;
mod streams;
mod support;
