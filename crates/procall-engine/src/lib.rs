//! The engine: processes that did not start each other find and call each other by name.
//!
//! Native peers connect over `unix`, `tcp` or `tls`, tell what they serve, and call each other through it. Foreign ones come through gateways, which
//! speak their protocol on one side and ours on the other.
#![deny(unsafe_code)]

mod accept;
mod activation;
pub mod config;
mod core;
mod engine;
mod events;
mod facts;
mod gateway;
mod own;
mod own_user;
mod record;
mod reserve;
mod rights;
mod settings;
mod spans;
mod state;
mod tokens;
pub mod workers;

pub use activation::{Program, ServiceNews, ServiceSpec, ServiceState, StartWhen};
pub use engine::{Engine, EngineBuilder, NAME};
pub use events::{Event, PeerName};
pub use facts::{Facts, Speaks};
pub use own::{CallRow, MethodRow, PeerRow, ServiceRow, StrayCounts};
pub use record::CallRecord;
pub use rights::Rights;
pub use settings::Policy;
pub use spans::Tracing;
pub use tokens::Pass;

/// The Rust snippets of the book, run.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../docs/src/tls.md")]
    struct Tls;
}
