//! Call functions in other processes and languages as if local.
#![deny(unsafe_code)]

mod channel;
mod client;
mod clock;
mod codec;
mod connection;
mod context;
#[cfg(feature = "tokio")]
mod driver;
mod error;
mod registration;
#[cfg(feature = "tokio")]
mod server;
mod service;
mod stream;
pub mod surroundings;

pub use channel::{Channel, Queued, Started};
pub use connection::{
    Batch, CallOptions, Connection, Deadline, Encoded, Hub, Incoming, Interrupt, Lease, Pending, Progress,
    Request, Responder, Side, WaitError,
};
#[cfg(feature = "tokio")]
pub use client::Client;
pub use client::{AsChannel, BlockingClient, Call, CallFuture, StreamCall, Submitted};
pub use context::{remaining, with_remaining, Context};
#[cfg(feature = "tokio")]
pub use driver::drive_hub;
pub use error::{Error, FieldError, IntoError};
pub use procall_proto::{buffer, json, scan};
pub use procall_transport as transport;
pub use procall_proto::{Blocked, Body, CallId, Config, Encoding, ErrorCode, Executed, Heartbeat, Limits};
pub use registration::{MethodInfo, Registration, Shape};
#[cfg(feature = "tokio")]
pub use server::Server;
pub use service::{
    similar, Answer, Arguments, Arrival, Function, Handler, MethodTable, Params, Service, Target, WithContext,
};
#[doc(hidden)]
pub use service::Parameter;
pub use stream::Stream;
