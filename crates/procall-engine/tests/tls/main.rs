//! The engine over TLS, from outside.

mod http;
mod peers;
mod strangers;
mod support;
mod trust;
