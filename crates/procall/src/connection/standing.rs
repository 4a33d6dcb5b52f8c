//! What can be done with a connection at the moment.

use std::sync::Arc;

use procall_proto::{ErrorCode, Time};

#[cfg(feature = "tokio")]
use super::Facts;
use super::state::State;
use crate::error::Error;
use crate::registration::Registration;

/// How calls of the peer's are served on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serves {
    /// Not at all: they are answered NOT_FOUND at once.
    Nothing,
    /// Somebody takes them from the inbox.
    Inbox,
    /// The same, and that somebody also decides about registrations.
    Raw,
}

impl State {
    /// When [`tick`](Self::tick) has something to do, at the latest.
    pub(crate) fn poll_timeout(&self) -> Time {
        self.session.poll_timeout().min(self.line.next_due())
    }

    /// Calls of ours that wait for their outcome.
    pub(crate) fn calling(&self) -> usize {
        self.session.calling() + self.line.len()
    }

    /// Whether calls may begin.
    pub(crate) fn is_ready(&self) -> bool {
        self.session.is_ready() && self.has_what_it_wants() && self.sharing.is_settled()
    }

    /// Whether what it came for is there.
    pub(crate) fn has_what_it_wants(&self) -> bool {
        let there = |known: &Arc<Registration>| !known.methods.is_empty();
        !self.wants || self.peer_registration.as_ref().is_some_and(there)
    }

    /// Whether nothing moves on the link any more.
    pub(crate) fn is_over(&self) -> bool {
        self.lost || self.ended.is_some()
    }

    /// An error when no more calls can be started.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match &self.ended {
            None if self.lost => {
                Err(Error::new(ErrorCode::ConnectionLost, "the other side closed the connection")
                    .with_executed(procall_proto::Executed::No))
            }
            None => Ok(()),
            Some(fault) if fault.code == ErrorCode::Closed => {
                Err(Error::new(ErrorCode::Closed, fault.message.clone()))
            }
            Some(fault) => Err(Error::new(ErrorCode::ConnectionLost, fault.message.clone())
                .with_executed(procall_proto::Executed::No)),
        }
    }

    /// What a raw service hears changes of.
    #[cfg(feature = "tokio")]
    pub(super) fn facts(&self) -> Facts {
        Facts {
            ready: self.session.is_ready(),
            over: self.is_over(),
            suspected: self.session.is_suspected(),
            going_away: self.session.is_going_away(),
        }
    }
}
