//! The command itself, run as a person or a script runs it.

mod calls;
mod listing;
mod running;
mod settings;
mod streams;
mod support;
