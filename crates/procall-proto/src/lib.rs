//! The Procall protocol as a pure state machine.
//!
//! This crate never does I/O, never asks the clock, starts no thread and knows no runtime: bytes and the time go in, bytes and [`Event`]s come out.
//! That makes the whole protocol testable with virtual time and lets one implementation serve every driver: async, blocking, or a foreign event loop.
//!
//! - [`Message`] is one message of the wire, borrowed from its bytes; `spec/protocol.md` draws each of them.
//! - [`Session`] is the state two peers share: calls, streams, credit, deadlines, liveness, shutdown.
//!   Data moves in through its `handle_*` methods and out through its `poll_*` and `transmit_*` methods.
//! - [`scan`] refuses depth and length bombs before any decoder sees a body.
//! - [`buffer`] is the wire form of typed arrays, [`json`] the JSON form of the protocol.
//!
//! ```
//! use procall_proto::{Body, Config, Event, Options, Session, Time};
//!
//! let now = Time::ZERO;
//! let mut client = Session::initiator(Config::default(), now);
//! let mut server = Session::acceptor(Config::default(), now);
//! client.call(now, "add", Body::msgpack(&[0x92, 1, 2]), Options::default(), 7).unwrap();
//!
//! // Carry messages across until both are silent; the server answers the call it sees.
//! let mut carried = true;
//! let mut answer = None;
//! while carried {
//!     carried = false;
//!     while let Some(message) = client.transmit() {
//!         carried = true;
//!         let mut called = None;
//!         if let Some(Event::Call(call)) = server.handle_message(now, &message).unwrap() {
//!             assert_eq!(call.method, "add");
//!             called = Some(call.id);
//!         }
//!         if let Some(id) = called {
//!             server.reply(now, id, Body::msgpack(&[3])).unwrap();
//!         }
//!     }
//!     while let Some(message) = server.transmit() {
//!         carried = true;
//!         if let Some(Event::Reply { token, body, .. }) = client.handle_message(now, &message).unwrap() {
//!             answer = Some((token, body.bytes().to_vec()));
//!         }
//!     }
//! }
//! assert_eq!(answer, Some((7, vec![3])));
//! ```

#![forbid(unsafe_code)]

pub mod buffer;
mod code;
mod error;
mod header;
pub mod json;
mod limits;
mod message;
mod retry;
pub mod scan;
mod session;
mod time;
pub mod wire;

pub use code::ErrorCode;
pub use error::{Executed, Failure, Fault};
pub use header::{CallHeader, Encoding, Flags, Kind, NotifyHeader};
pub use limits::{Heartbeat, Limits};
pub use message::{Message, VERSION, VERSION_MIN};
pub use retry::{Attempts, GiveUp, RetryBudget, RetryPolicy, Setback, Verdict};
pub use session::{
    Blocked, Body, CallId, Config, Counters, Event, Held, IncomingCall, Options, Payload, PeerInfo,
    Reason, Secrets, Session, clean_name,
};
pub use time::Time;
