//! HTTP and WebSocket, on one port: for browsers, for `curl`, and for languages without a Procall package.
//!
//! Whoever connects has one native connection to the engine, made with the first call, so that callers take turns as other peers do. What a
//! route does stands in its own file:
//!
//! | route | file |
//! |---|---|
//! | `POST /v1/call/{service}/{method}` | `call.rs`, streams in `answer.rs` and `feed.rs` |
//! | `GET /v1/methods`, `/openapi.json` | `documents.rs`, `openapi.rs` |
//! | `POST /rpc` | `rpc.rs`, its document in `openrpc.rs` |
//! | `GET /ws` | `ws.rs` |
//! | `GET /healthz`, `/metrics` | `documents.rs`, `metrics.rs` |

mod answer;
mod body;
mod call;
mod documents;
mod failure;
mod feed;
mod guard;
mod headers;
mod metrics;
mod openapi;
mod openrpc;
mod rpc;
mod schemas;
mod server;
mod settings;
mod visitor;
mod ws;

pub(crate) use server::{Bound, HttpServer};
pub(crate) use settings::{HttpSettings, Token};
