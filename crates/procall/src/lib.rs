//! Call functions in other processes and languages as if local.
#![deny(unsafe_code)]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[cfg(feature = "tokio")]
mod attached;
mod attachment;
mod bytes;
mod chain;
mod channel;
mod client;
mod clock;
mod codec;
mod connection;
mod context;
#[cfg(feature = "tokio")]
mod driver;
mod error;
mod finder;
mod greeting;
mod handover;
mod lent;
mod listener;
mod lock;
mod lookout;
#[cfg(feature = "tokio")]
mod messages;
mod meta;
mod metrics;
mod pauses;
mod program;
mod redial;
mod registration;
mod retry;
mod runtime_dir;
#[cfg(feature = "schema")]
mod schema;
mod secret_file;
#[cfg(feature = "tokio")]
mod server;
mod service;
mod stream;
pub mod surroundings;
pub mod tls;
mod trace;
mod value;

pub use attachment::Attachment;
pub use bytes::Bytes;
pub use chain::{Chain, Room, is_cycle};
pub use channel::{Channel, Queued, Started};
#[cfg(feature = "tokio")]
pub use client::Client;
pub use client::{
    AsChannel, BlockingClient, Call, CallFuture, ConnectOptions, DuplexCall, StreamCall, Submitted,
    notify, open,
};
pub use clock::instant as now;
pub use connection::{
    Batch, CallOptions, Connection, Deadline, Encoded, Hub, Incoming, Interrupt, Lease, OnTimeout,
    Pending, Progress, ROUTER, Request, Responder, Side, WaitError, coalesce,
};
pub use context::{Context, remaining, with_call, with_remaining};
#[cfg(feature = "tokio")]
pub use driver::{RawService, Readiness, drive_hub, serve_raw};
pub use error::{Error, FieldError, IntoError};
pub use finder::Finder;
pub use handover::Handover;
pub use lent::{
    LENDING_PAYS, Lender, Lent, Piece, forbids_copies, keep_lent, lend_copy, lend_in_place, lending,
};
pub use listener::Listener;
#[cfg(feature = "tokio")]
pub use messages::{Message, Messages, MessagesBuilder, Reply, messages};
pub use metrics::{Ending, Latency, Meter, Metrics};
pub use procall_proto::{
    Blocked, Body, CallId, Config, Encoding, ErrorCode, Executed, Fault, Flags, Heartbeat, Limits,
    PeerInfo, RetryBudget, RetryPolicy, Secrets,
};
pub use procall_proto::{buffer, json, scan, wire};
pub use procall_transport as transport;
pub use procall_transport::shm::{Arena, Buffer};
pub use program::{name_of_program, program_name};
pub use redial::{Connect, Redial};
pub use registration::{DeclaredError, MethodInfo, Registration, Shape};
pub use retry::{RetryBudgets, start_retrying};
#[cfg(feature = "schema")]
pub use schema::Validator;
#[cfg(feature = "tokio")]
pub use server::Server;
#[doc(hidden)]
pub use service::Parameter;
pub use service::{
    Answer, Arguments, Arrival, Bound, Calls, Function, Handler, MethodTable, Params, PulledCall,
    Service, Signature, Target, WithContext, similar,
};
#[cfg(feature = "tokio")]
pub use service::{Onlooker, Relaying};
pub use stream::Stream;
pub use tls::{TlsFiles, TlsServing};
pub use trace::{Span, Tracer, set_tracer};
pub use value::{Array, Element, TypedBuffer, Value};

#[doc = include_str!("service.md")]
#[cfg(feature = "macros")]
pub use procall_macros::service;
pub use schemars;
