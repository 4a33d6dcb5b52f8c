//! The command itself, run as a person or a script runs it.

mod calls;
mod chaos;
mod developing;
mod engine;
mod engine_deaths;
mod extras;
mod listing;
mod running;
mod securing;
mod serving;
mod settings;
mod streams;
mod support;
mod tls;
