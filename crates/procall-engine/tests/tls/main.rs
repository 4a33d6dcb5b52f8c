//! The engine over TLS, from outside.

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod http;
mod peers;
mod strangers;
mod support;
mod trust;
#[path = "../common/worker.rs"]
mod worker;
