//! The ways in, besides the inherited channel, for one process of a worker.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use procall::transport::Link;
use procall::{Error, ErrorCode};

use super::sheltered::Sheltered;
use super::{Dial, Launch, Token};
use crate::transport::{Door, Opening};

/// What a process of a worker may come by. All of them ask for the token.
#[derive(Debug)]
pub(crate) struct Ways {
    /// Missing where there is no randomness; then there are no ways.
    pub(crate) token: Option<Token>,
    pub(crate) dial: Option<Dial>,
    pub(crate) own: Option<Opening>,
}

impl Ways {
    /// Opens the ways for a worker. Only the user's own must be there: for a socket to dial there may be no place.
    pub(crate) fn open(launch: &Launch, worker: &str) -> Result<Self, Error> {
        let token = Token::new();
        let Some(transport) = &launch.transport else {
            let token = token.ok();
            let dial = token.as_ref().and_then(|_| Dial::new(launch.choice).ok());
            return Ok(Self { token, dial, own: None });
        };
        let token = token.map_err(|error| refused("there is no randomness for a token", error))?;
        let own = guarded("Transport::open", || transport.0.open(worker))
            .map_err(|error| refused("its transport could not be opened", error))?;
        Ok(Self { token: Some(token), dial: Dial::new(launch.choice).ok(), own: Some(own) })
    }
}

fn refused(what: &str, error: io::Error) -> Error {
    Error::new(ErrorCode::SpawnFailed, format!("{what}: {error}")).with_source(error)
}

/// One way in.
pub(crate) enum Way {
    Dial(Dial),
    Own(Box<dyn Door>),
}

/// Somebody who came, and what to keep open as a lifeline should the worker turn out to have come another way.
pub(crate) type Arrived = (Box<dyn Link>, Option<OwnedFd>);

impl Way {
    /// Whether this is the user's own.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Whoever came next.
    pub(crate) fn accept(&self) -> io::Result<Option<Arrived>> {
        match self {
            Self::Dial(dial) => Ok(match dial.accept()? {
                Some(link) => {
                    let lifeline = link.socket().try_clone_to_owned()?;
                    Some((Box::new(link), Some(lifeline)))
                }
                None => None,
            }),
            Self::Own(door) => {
                let link = guarded("Door::accept", || door.accept())?;
                Ok(link.map(|link| (Box::new(Sheltered::new(link)) as _, None)))
            }
        }
    }
}

impl AsFd for Way {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Dial(dial) => dial.as_fd(),
            Self::Own(door) => door.as_fd(),
        }
    }
}

/// Runs code of the user's on the supervisor's thread, which must not end: all workers would end with it.
fn guarded<T>(what: &str, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(io::Error::other(format!("{what} panicked"))))
}
