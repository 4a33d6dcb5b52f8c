//! From a link to a connection that is ready: its greeting, and the registration of those who serve.

use std::task::{Poll, Waker};
use std::time::Duration;

use procall_proto::{Config, ErrorCode, Executed};
use procall_transport::Link;

use crate::connection::{Connection, Interrupt, WaitError};
use crate::error::Error;
use crate::redial::Connect;
use crate::registration::Registration;

/// How long one look for a side that was lost goes on, before there is a pause.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// How long the other side may take to greet, and then to answer a registration.
const GREETING: Duration = Duration::from_secs(5);

/// Waits on this thread until the connection is greeted and, of those who serve, registered. One that is not is closed.
///
/// # Errors
///
/// What the other side says against it; INVALID_ARGUMENT when a registration would be given to one who hands no calls on; UNAVAILABLE when
/// nothing is said in time; CANCELLED by the interrupt.
pub(crate) fn greet(
    connect: &Connect,
    link: Box<dyn Link>,
    config: Config,
    registration: Option<&Registration>,
    interrupt: Interrupt<'_>,
) -> Result<Connection, Error> {
    let connection = connect(link, config)?;
    let mut join = || {
        within(&connection, interrupt, Connection::poll_ready)?;
        let Some(registration) = registration else { return Ok(()) };
        if !connection.leads_to_router() {
            let what = connection.peer().map_or_else(String::new, |peer| peer.name);
            return Err(no_engine(&what));
        }
        connection.register(registration)?;
        within(&connection, interrupt, Connection::poll_registered)
    };
    match join() {
        Ok(()) => Ok(connection),
        Err(error) => {
            connection.close();
            Err(error)
        }
    }
}

fn within(
    connection: &Connection,
    interrupt: Interrupt<'_>,
    poll: fn(&Connection, &Waker) -> Poll<Result<(), Error>>,
) -> Result<(), Error> {
    connection.wait_for(Some(GREETING), interrupt, poll).unwrap_or_else(|ended| {
        let (code, message) = match ended {
            WaitError::TimedOut => (ErrorCode::Unavailable, "the other side does not answer"),
            WaitError::Interrupted => (ErrorCode::Cancelled, "the wait was interrupted"),
        };
        Err(Error::new(code, message).with_executed(Executed::No))
    })
}

fn no_engine(name: &str) -> Error {
    let who = if name.is_empty() { "what listens there".to_owned() } else { format!("\"{name}\"") };
    Error::invalid(format!(
        "{who} is no engine, so nothing can be registered with it; `procall serve` starts an engine"
    ))
}
