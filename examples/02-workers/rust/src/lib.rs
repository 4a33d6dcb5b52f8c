//! What the host and its workers share: the message, and a transport of their own.

use procall::transport;
use serde::{Deserialize, Serialize};

pub mod link;
pub mod own;

/// What a host sends to its workers. The answer is a `u32`.
#[derive(Debug, Serialize, Deserialize)]
pub enum HostMessage {
    /// a + b.
    Add(u32, u32),
    /// a - b.
    Sub(u32, u32),
    /// So many milliseconds of work that does not look up; the answer is the number.
    Toil(u32),
    /// A line to print. Nobody answers it.
    Note(String),
}
