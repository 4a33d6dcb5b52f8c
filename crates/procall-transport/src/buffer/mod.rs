//! The bytes of a link apart from the moving of them: what has arrived, and what is to be sent.
//!
//! Both buffers hold messages as they are on the wire:
//!
//! ```text
//! +----------------------+-----------------+----------------------+---
//! | length, u32 big end. | message         | length, u32 big end. | …
//! +----------------------+-----------------+----------------------+---
//! ```

mod inbox;
mod outbox;

pub(crate) use inbox::Inbox;
pub(crate) use outbox::Outbox;

/// Bytes of the length prefix.
pub(crate) const PREFIX: usize = 4;

/// Room that is offered to every read while messages are small.
pub(crate) const GULP: usize = 64 << 10;

/// Capacity that a buffer keeps: what is not written to costs no memory, so the second gulp only saves moving bytes.
const BASE: usize = 2 * GULP;

/// Capacity that a buffer begins with, and that of a link on which little is ever said: an engine has thousands of these.
const FIRST: usize = 2 << 10;

/// How many times in a row a large buffer must prove too large before it is given back. Giving it back at once would allocate
/// anew for every message of a peer that sends large and small ones in turn.
const PATIENCE: u32 = 16;

/// Decides when a buffer that grew is given back.
#[derive(Debug, Default)]
struct Slack {
    unneeded: u32,
}

impl Slack {
    /// To be asked whenever the buffer is empty; `used` is the most it held since the last time.
    fn give_back(&mut self, capacity: usize, used: usize) -> bool {
        if capacity <= BASE {
            return false;
        }
        self.unneeded = if used <= GULP { self.unneeded + 1 } else { 0 };
        let enough = self.unneeded >= PATIENCE;
        if enough {
            self.unneeded = 0;
        }
        enough
    }
}
