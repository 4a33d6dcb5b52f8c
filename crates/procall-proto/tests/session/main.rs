//! The session state machine, two of them, with virtual time and a wire made of queues.

mod assembly;
mod calls;
mod cancel;
mod chunks;
mod deadlines;
mod drain;
mod ends;
mod handshake;
mod hostile;
mod lies;
mod liveness;
mod model;
mod notices;
mod operations;
mod packing;
mod pair;
mod streams;
mod versions;
mod words;
