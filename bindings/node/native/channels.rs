//! What calls are made on: connections that this side opened, and pools.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use napi_derive::napi;
use procall::transport::shm::Choice;
use procall::{Config, Connection, Error, ErrorCode, Finder, Hub, Redial, Side, TlsFiles};
use procall_pool::Pool;

use crate::calls::Operation;
use crate::errors;
use crate::figures::Metrics;
use crate::state::{self, Kind, token};

/// What calls are made on.
pub(crate) struct Channel {
    pub(crate) calls: Arc<dyn procall::Channel>,
    /// The same once more, when it is a pool.
    pub(crate) pool: Option<Pool>,
}

/// A connection on its way: first the search, then the greeting. JavaScript has the timers.
pub(crate) struct Opening {
    finder: Finder,
    /// What is said of this side: its name above all.
    config: Config,
    /// There once the service is found.
    greeting: Option<Connection>,
    /// The time for the greeting is over.
    expired: bool,
    waker: Waker,
}

/// What a look at an opening has brought.
pub(crate) enum Look {
    /// It is to be looked at again after this time.
    Pause(Duration),
    /// It tells when it has something.
    Nothing,
    Over(Result<Channel, Error>),
}

impl Opening {
    pub(crate) fn look(&mut self, hub: &Hub) -> Look {
        let Some(connection) = &self.greeting else { return self.find(hub) };
        match connection.poll_ready(&self.waker) {
            Poll::Pending if self.expired => Look::Over(Err(self.finder.unanswered())),
            Poll::Pending => Look::Nothing,
            Poll::Ready(Err(error)) => Look::Over(Err(error)),
            Poll::Ready(Ok(())) => {
                let leads_to_engine = self.finder.leads_to_engine() || connection.leads_to_router();
                let calls: Arc<dyn procall::Channel> = if leads_to_engine {
                    match keep(&self.finder, self.config.clone(), connection, hub) {
                        Ok(redial) => Arc::new(redial),
                        Err(error) => return Look::Over(Err(error)),
                    }
                } else {
                    Arc::new(connection.clone())
                };
                self.greeting = None;
                Look::Over(Ok(Channel { calls, pool: None }))
            }
        }
    }

    fn find(&mut self, hub: &Hub) -> Look {
        let link = match self.finder.try_open() {
            Ok(Some(link)) => link,
            Ok(None) => return Look::Pause(self.finder.pause()),
            Err(error) => return Look::Over(Err(error)),
        };
        let config = match self.finder.config(self.config.clone()) {
            Ok(config) => config,
            Err(error) => return Look::Over(Err(error)),
        };
        let connection = Connection::new(link, Side::Initiator, config);
        if let Err(error) = hub.attach(&connection) {
            return Look::Over(Err(error));
        }
        self.greeting = Some(connection);
        match self.look(hub) {
            Look::Nothing => Look::Pause(self.finder.greeting()),
            answered => answered,
        }
    }
}

/// A connection to an engine is made anew when it is lost.
fn keep(
    finder: &Finder,
    config: Config,
    connection: &Connection,
    hub: &Hub,
) -> Result<Redial, Error> {
    let connect = |link, config| Ok(Connection::new(link, Side::Initiator, config));
    let redial = Redial::keep(finder, config, connection.clone(), Box::new(connect));
    redial.attach(hub)?;
    Ok(redial)
}

impl Drop for Opening {
    fn drop(&mut self) {
        // Given up, or not answered: nothing of it stays.
        if let Some(connection) = &self.greeting {
            connection.close();
        }
    }
}

/// Files for TLS; what is not given is what the environment says.
#[napi(object)]
pub(crate) struct Tls {
    /// The authorities to trust.
    pub ca: Option<String>,
    /// The certificate to show.
    pub cert: Option<String>,
    /// The key that belongs to it.
    pub key: Option<String>,
    /// The authorities of whoever connects to this side.
    pub client_ca: Option<String>,
}

impl Tls {
    pub(crate) fn files(&self) -> TlsFiles {
        let file = |path: &Option<String>| path.as_deref().map(PathBuf::from);
        TlsFiles { ca: file(&self.ca), cert: file(&self.cert), key: file(&self.key) }
    }
}

/// Connects to a service by name or address; the event `DONE` brings the channel's number. After each `PAUSE`, [`look`] is to be called.
///
/// `timeout` is in milliseconds, not a number is the usual patience; `inherited` is what the handler that connects has left, if one does.
/// `engine` is asked for the service where one is named, `transport` is `auto`, `unix` or `shm`. The client is called `name`, else as `script` is.
#[napi]
#[allow(clippy::too_many_arguments, reason = "they cross to JavaScript one by one")]
pub(crate) fn connect(
    id: u32,
    target: String,
    timeout: f64,
    inherited: f64,
    engine: Option<String>,
    name: Option<String>,
    script: Option<String>,
    tls: Tls,
    transport: Option<String>,
    compression: Option<bool>,
) -> napi::Result<()> {
    state::with(|state| {
        let choice = match transport.as_deref().map(str::parse::<Choice>).transpose() {
            Ok(choice) => choice,
            Err(error) => {
                let error = Error::new(ErrorCode::InvalidArgument, format!("transport: {error}"));
                return Err(errors::thrown(&error));
            }
        };
        let waker = state.hub.waker(token(Kind::Operation, id as usize));
        let patience = if timeout.is_nan() { Finder::PATIENCE } else { millis(timeout) };
        let limit = (!inherited.is_nan()).then(|| millis(inherited));
        let finder = procall::with_remaining(limit, || Finder::new(&target, patience));
        let finder = match choice {
            Some(choice) => finder.by(choice),
            None => finder,
        };
        let finder = finder.secured(tls.files());
        let finder = match engine {
            Some(engine) => finder.through(&engine),
            None => finder,
        };
        let of_script = || script.as_deref().and_then(procall::name_of_program);
        let name = name.or_else(of_script).unwrap_or_else(|| procall::program_name().to_owned());
        let config = state::config_with(&name, compression);
        let opening = Opening { finder, config, greeting: None, expired: false, waker };
        state.woken.push_back(token(Kind::Operation, id as usize));
        state.begin(id as usize, Operation::Opening(Box::new(opening)));
        Ok(())
    })
}

/// The pause of a connection on its way is over; the turn that must follow looks at it.
#[napi]
pub(crate) fn look(id: u32) -> napi::Result<()> {
    state::with(|state| {
        if let Some(Operation::Opening(opening)) = state.operations.get_mut(id as usize) {
            opening.expired = opening.greeting.is_some();
            state.woken.push_back(token(Kind::Operation, id as usize));
        }
        Ok(())
    })
}

/// JavaScript gives no negative times; infinity, and what no duration can hold, is without end.
fn millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or(Duration::MAX)
}

/// Closes a channel: its calls end with CLOSED. What was counted of them, unless that was told before.
#[napi]
pub(crate) fn close(channel: u32) -> napi::Result<Option<Metrics>> {
    state::with(|state| {
        let channel = state.channels.try_remove(channel as usize);
        Ok(channel.map(|channel| {
            channel.calls.close();
            channel.calls.metrics().into()
        }))
    })
}
