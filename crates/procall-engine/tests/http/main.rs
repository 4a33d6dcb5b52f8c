//! The engine over HTTP and WebSocket, from outside.

mod calls;
mod documents;
mod guards;
mod hostile;
mod rpc;
mod streams;
mod support;
mod tokens;
mod websocket;
