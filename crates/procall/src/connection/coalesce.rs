//! Many messages, one write.

use std::cell::RefCell;
use std::sync::Arc;

use super::{After, Shared};

/// Connections that have something to send once the outermost [`coalesce`] of this thread is done.
#[derive(Default)]
struct Held {
    /// There is such a one.
    on: bool,
    /// It is a task's turn, and other tasks may have more for the same peer before the runtime looks for news.
    in_turn: bool,
    connections: Vec<Arc<Shared>>,
}

thread_local! {
    static HELD: RefCell<Held> = const { RefCell::new(Held { on: false, in_turn: false, connections: Vec::new() }) };
}

/// A list longer than this is given back to the allocator once it is empty.
const KEEP: usize = 64;

/// Runs `f`; what it gives connections to send on this thread leaves when it is done, with one write a connection.
///
/// For event loops that start many calls, or answer many, in one turn. What waits meanwhile is bounded as always: by
/// [`Limits::max_queued`](crate::Limits). Do not wait in `f`: the other side has not yet got what you wait for an answer to.
///
/// ```
/// use procall::{Batch, Connection, Encoding, Request, Side};
/// use procall::transport::{mem, LinkOptions};
///
/// let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
/// let client = Connection::new(Box::new(ours), Side::Initiator, Default::default());
/// let server = Connection::serving(Box::new(theirs), Side::Acceptor, Default::default());
/// let calls: Vec<_> = procall::coalesce(|| {
///     (0..64).map(|_| client.start(Request::new("add", Encoding::None, &[])).unwrap()).collect()
/// });
/// server.turn();
/// client.turn();
/// server.turn();
/// let mut batch = Batch::new();
/// assert!(server.take_calls(&mut batch));
/// assert_eq!(batch.len(), calls.len());
/// ```
pub fn coalesce<R>(f: impl FnOnce() -> R) -> R {
    hold(false, f)
}

/// The same for the turn of a task of a runtime. A connection that a task reads too, and on which other calls are under way, sends with the next
/// turn of that task: after the tasks that are ready now, so that what several of them have for one peer leaves in one write.
#[cfg(feature = "tokio")]
pub(crate) fn coalesce_turn<R>(f: impl FnOnce() -> R) -> R {
    hold(true, f)
}

fn hold<R>(in_turn: bool, f: impl FnOnce() -> R) -> R {
    /// Lets go even when `f` panics.
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            let held = HELD.try_with(RefCell::take);
            let Ok(Held { mut connections, in_turn, .. }) = held else { return };
            for shared in connections.drain(..) {
                let mut after = After::default();
                let mut state = shared.lock();
                if in_turn && !shared.threads_lead && state.has_company() {
                    state.settle_with_driver(&mut after);
                } else {
                    state.settle(&mut after);
                }
                state.hurry_driver(&mut after);
                drop(state);
                after.run();
            }
            connections.shrink_to(KEEP);
            // Its memory serves the next one; whatever has begun meanwhile keeps its own.
            let _ = HELD.try_with(|held| {
                let mut held = held.borrow_mut();
                if held.connections.capacity() == 0 {
                    held.connections = connections;
                }
            });
        }
    }
    // A thread that ends has no place for them any more: everything leaves at once.
    let nested = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        let nested = std::mem::replace(&mut held.on, true);
        held.in_turn |= in_turn && !nested;
        nested
    });
    if nested.unwrap_or(true) {
        return f();
    }
    let _release = Release;
    f()
}

/// Whether this thread is within a [`coalesce`].
pub(super) fn is_on() -> bool {
    HELD.try_with(|held| held.borrow().on).unwrap_or(false)
}

/// Whether this connection sends later; then it is remembered.
pub(super) fn holds(shared: &Arc<Shared>) -> bool {
    let remembered = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        if !held.on {
            return false;
        }
        if !held.connections.iter().any(|other| Arc::ptr_eq(other, shared)) {
            held.connections.push(shared.clone());
        }
        true
    });
    // While a thread's own things are taken down, nothing can be remembered.
    remembered.unwrap_or(false)
}
