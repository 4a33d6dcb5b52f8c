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

use std::cell::RefCell;

pub(crate) use inbox::Inbox;
pub(crate) use outbox::Outbox;

/// Bytes of the length prefix.
pub(crate) const PREFIX: usize = 4;

/// Room that is offered to every read while messages are small.
pub(crate) const GULP: usize = 64 << 10;

/// Capacity that a buffer keeps: what is not written to costs no memory, so the second gulp only saves moving bytes.
const BASE: usize = 2 * GULP;

/// Bytes up to which an inbox has no more memory than it needs, for links on which little is ever said: an engine has thousands of these.
const LITTLE: usize = 2 << 10;

thread_local! {
    /// Where a thread reads what arrives for inboxes that have little room.
    static ASIDE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's own buffer, empty and with room for more than a gulp; `None` while the thread ends.
pub(crate) fn aside<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
    let lend = |buffer: &RefCell<Vec<u8>>| {
        let mut buffer = buffer.borrow_mut();
        buffer.clear();
        buffer.reserve_exact(BASE);
        f(&mut buffer)
    };
    ASIDE.try_with(lend).ok()
}

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
