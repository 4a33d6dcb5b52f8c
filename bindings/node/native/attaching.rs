//! Services that an engine routes calls to.

use std::task::{Poll, Waker};
use std::time::Duration;

use procall::{Attachment, Connection, Error, Side, TlsFiles};

use crate::calls::{Operation, put_error};
use crate::errors;
use crate::events::{Event, Events};
use crate::records::{DONE, FAILED, SERVICE_ENDED};
use crate::services::{Service, Stage};
use crate::state::{self, Kind, State, token};

/// A service that has asked an engine to take it.
pub(crate) struct Attaching {
    /// Gone once the engine has answered.
    asked: Option<(Service, Attachment)>,
    waker: Waker,
}

/// A service that the engine has taken, and the connection to serve.
pub(crate) type Attached = (Service, Connection);

impl Attaching {
    pub(crate) fn look(&mut self) -> Poll<Result<Attached, Error>> {
        let Some((_, attachment)) = &self.asked else { return Poll::Pending };
        let Poll::Ready(first) = attachment.poll_connection(&self.waker) else {
            return Poll::Pending;
        };
        let Some((mut service, attachment)) = self.asked.take() else { return Poll::Pending };
        Poll::Ready(first.map(|connection| {
            service.attachment = Some(attachment);
            (service, connection)
        }))
    }
}

/// Begins to register a service with an engine, as a worker of this name and identity; the event `DONE` of the operation brings its number.
pub(crate) fn begin(
    id: u32,
    service: Service,
    (engine, patience): (&str, Duration),
    tls: TlsFiles,
    (name, identity): (String, String),
) -> napi::Result<()> {
    let config = procall::Config { id: identity, ..state::config_with(&name, service.compression) };
    let connect = |link, config| Ok(Connection::serving(link, Side::Initiator, config));
    let registration = service.registration().clone();
    let attachment =
        Attachment::begin_secured(engine, tls, patience, registration, config, Box::new(connect))
            .map_err(|error| errors::thrown(&error))?;
    state::with(|state| {
        let number = token(Kind::Operation, id as usize);
        let waker = state.hub.waker(number);
        let attaching = Attaching { asked: Some((service, attachment)), waker };
        state.begin(id as usize, Operation::Attaching(Box::new(attaching)));
        state.woken.push_back(number);
        Ok(())
    })
}

impl State {
    /// The engine has answered.
    pub(crate) fn attached(
        &mut self,
        id: usize,
        attached: Result<Attached, Error>,
        events: &mut Events<'_>,
    ) -> bool {
        self.forget(id);
        let served = attached.and_then(|(service, connection)| {
            let at = self.services.insert(service);
            if let Err(error) = self.serve_on(at, connection, Stage::Serving) {
                self.services.remove(at);
                return Err(error);
            }
            Ok(at)
        });
        match served {
            Ok(at) => {
                self.woken.push_back(token(Kind::Engine, at));
                events.put(&Event { extra: [at as u32, 0], ..Event::new(DONE, id) });
            }
            Err(error) => put_error(events, FAILED, id, &error),
        }
        true
    }

    /// Takes the connections that were made to a service's engine.
    pub(crate) fn look_at_engine(&mut self, at: usize, events: &mut Events<'_>) -> bool {
        let waker = self.hub.waker(token(Kind::Engine, at));
        while let Some(attachment) =
            self.services.get(at).and_then(|service| service.attachment.as_ref())
        {
            let Poll::Ready(connection) = attachment.poll_connection(&waker) else { break };
            let served =
                connection.and_then(|connection| self.serve_on(at, connection, Stage::Serving));
            if let Err(error) = served {
                // The engine takes it no more.
                self.services.remove(at);
                put_error(events, SERVICE_ENDED, at, &error);
            }
        }
        true
    }
}
