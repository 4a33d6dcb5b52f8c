//! Ctrl-C and SIGTERM.

use procall::{Error, ErrorCode};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The requests to stop, from now on. Without it they end the process at once.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Error::new(ErrorCode::Internal, "signals cannot be listened to").with_source(error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
