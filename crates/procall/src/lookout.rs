//! Noticing that a connection is lost, and the threads that look for the other side.

use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use crate::error::Error;
use procall_proto::ErrorCode;

/// Who keeps a connection.
pub(crate) trait Watches: Send + Sync + 'static {
    /// Something about the connection has changed; it may be lost.
    fn watch(self: &Arc<Self>);
}

struct Lookout<T>(Weak<T>);

impl<T: Watches> Wake for Lookout<T> {
    fn wake(self: Arc<Self>) {
        if let Some(keeper) = self.0.upgrade() {
            keeper.watch();
        }
    }
}

/// A waker for the end of a connection; it does not keep its keeper alive.
pub(crate) fn waker<T: Watches>(keeper: &Arc<T>) -> Waker {
    Waker::from(Arc::new(Lookout(Arc::downgrade(keeper))))
}

/// Only what is used of it costs memory; a handshake of TLS uses more than the rest.
const STACK: usize = 1 << 20;

/// A thread that looks for the other side.
///
/// # Errors
///
/// INTERNAL when the system gives no thread.
pub(crate) fn thread(name: &str, look: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(look)
        .map(|_| ())
        .map_err(|error| {
            Error::new(ErrorCode::Internal, "no thread can be started to look for the engine")
                .with_source(error)
        })
}
