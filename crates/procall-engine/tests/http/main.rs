//! The engine over HTTP and WebSocket, from outside.

mod calls;
#[path = "../common/mod.rs"]
mod common;
mod documents;
mod guards;
mod hostile;
mod rpc;
mod streams;
mod support;
mod tokens;
mod websocket;
#[path = "../common/worker.rs"]
mod worker;
