//! The engine from outside: native peers that find and call each other through it.

mod calls;
mod chains;
#[path = "../common/collector.rs"]
mod collector;
mod coming_back;
#[path = "../common/mod.rs"]
mod common;
mod dialects;
mod naming;
mod own;
mod proxy;
mod raw;
mod registering;
mod remembering;
mod routing;
mod spans;
mod support;
mod tokens;
