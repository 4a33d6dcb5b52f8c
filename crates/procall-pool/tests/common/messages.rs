//! What the tests send to `examples/message_worker.rs`.

use serde::{Deserialize, Serialize};

/// The answer is a number.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum HostMessage {
    /// a + b.
    Add(u32, u32),
    /// a - b.
    Sub(u32, u32),
    /// The worker's process id.
    Pid,
    /// Opens this named pipe, reads it to its end, then answers with the process id. The worker's loop stands still meanwhile.
    Read(String),
    /// Is answered when three of them are there, the last one first.
    Hold(u32),
    /// Works without a pause until the answer is no longer wanted, and counts that.
    Endless,
    /// Says that it waits, then waits until the answer is no longer wanted, and counts that.
    Patient,
    /// How many of those there were.
    GivenUp,
    /// Is dropped without an answer.
    Forget,
    /// Fails with this.
    Fail(String),
    /// The process exits with this code.
    Exit(i32),
    /// One-way: counted.
    Note,
    /// How many of those there were.
    Notes,
    /// How many one-way messages were none.
    Undecodable,
    /// The worker's loop ends, and its process after the answer to the messages it holds.
    Leave,
}
