//! Many messages, one write.

use std::cell::RefCell;
use std::sync::Arc;

use super::{After, Shared};

thread_local! {
    /// Connections that have something to send once the outermost [`coalesce`] of this thread is done; `None` outside of one.
    static HELD: RefCell<Option<Vec<Arc<Shared>>>> = const { RefCell::new(None) };
}

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
    /// Lets go even when `f` panics.
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            let held = HELD.try_with(RefCell::take);
            for shared in held.ok().flatten().into_iter().flatten() {
                let mut after = After::default();
                let mut state = shared.lock();
                state.settle(&mut after);
                state.hurry_driver(&mut after);
                drop(state);
                after.run();
            }
        }
    }
    // A thread that ends has no place for them any more: everything leaves at once.
    let nested = HELD.try_with(|held| held.borrow().is_some());
    if nested.unwrap_or(true) {
        return f();
    }
    HELD.set(Some(Vec::new()));
    let _release = Release;
    f()
}

/// Whether this connection sends later; then it is remembered.
pub(super) fn holds(shared: &Arc<Shared>) -> bool {
    let remembered = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        let Some(held) = held.as_mut() else { return false };
        if !held.iter().any(|other| Arc::ptr_eq(other, shared)) {
            held.push(shared.clone());
        }
        true
    });
    // While a thread's own things are taken down, nothing can be remembered.
    remembered.unwrap_or(false)
}
