//! The session state machine, two of them, with virtual time and a wire made of queues.

mod calls;
mod cancel;
mod chunks;
mod deadlines;
mod drain;
mod ends;
mod handshake;
mod hostile;
mod liveness;
mod operations;
mod pair;
mod streams;
