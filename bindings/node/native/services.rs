//! Services: where they listen or whom they work for, and the calls that arrive.

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use napi_derive::napi;
use procall::surroundings::Place;
use procall::transport::Link;
use procall::{
    Attachment, Batch, Config, Connection, Encoded, Encoding, Error, ErrorCode, Executed, Incoming,
    Listener, MethodTable, Params, Registration, Side, Signature, Target, surroundings,
};
use serde::Deserialize;

use crate::attaching;
use crate::calls::put_error;
use crate::channels::Tls;
use crate::errors;
use crate::events::{Event, Events};
use crate::records::{BY_NAME, CALL, ITEMS_IN, ITEMS_OUT, NONE, NOTIFICATION, SERVICE_ENDED};
use crate::served::Served;
use crate::state::{self, Kind, State, token};

/// How long a worker whose pool is gone may take to end; then it is killed, whatever its loop is doing.
const ORPHAN: Duration = Duration::from_secs(1);
/// Stands for an argument that was not given, between two that were. No value begins with it.
const MISSING: u8 = 0xc1;

/// A set of methods that JavaScript serves.
pub(crate) struct Service {
    table: MethodTable,
    parameters: Vec<Parameters>,
    listener: Option<Listener>,
    /// As its connections are to be, unless the environment is to say it.
    pub(crate) compression: Option<bool>,
    /// Its place with an engine, which may go and come back.
    pub(crate) attachment: Option<Attachment>,
    /// Its worker's connection closed, or all that were draining are done: it takes no more calls.
    stopping: bool,
}

impl Service {
    fn name(&self) -> &str {
        &self.table.registration().name
    }

    fn config(&self) -> Config {
        state::config_with(self.name(), self.compression)
    }
}

/// What a method takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    /// Their names; empty for those that have none.
    names: Vec<String>,
    /// Which of them must be given.
    required: Vec<bool>,
    /// The only one takes a whole object in which no key is its name.
    takes_whole: bool,
    /// Any number may follow by position.
    variadic: bool,
    /// The function takes one object of all: a sole argument that is such an object gives them by name.
    gathers: bool,
}

/// A connection that a service serves.
pub(crate) struct Inbound {
    service: usize,
    connection: Connection,
    stage: Stage,
    batch: Batch,
    /// Calls of the batch that were taken.
    taken: usize,
}

#[derive(PartialEq, Eq, Clone, Copy)]
pub(crate) enum Stage {
    /// A worker has greeted its pool, and tells what it serves once the greeting is answered.
    Greeting,
    Registering,
    Serving,
}

impl State {
    /// Serves a link from now on.
    fn serve(
        &mut self,
        service: usize,
        link: Box<dyn Link>,
        side: Side,
        config: Config,
    ) -> Result<(), Error> {
        let connection = Connection::serving(link, side, config);
        let stage = if side == Side::Initiator { Stage::Greeting } else { Stage::Serving };
        if side == Side::Acceptor
            && let Some(service) = self.services.get(service)
        {
            // So that callers know of each method whether it takes or gives a stream. One that is too long for a message is still told to
            // those who ask for `procall.methods`.
            let _ = connection.register(service.table.registration());
        }
        self.serve_on(service, connection, stage)
    }

    /// Serves a connection from now on.
    pub(crate) fn serve_on(
        &mut self,
        service: usize,
        connection: Connection,
        stage: Stage,
    ) -> Result<(), Error> {
        self.hub.attach(&connection)?;
        let at = self.inbound.insert(Inbound {
            service,
            connection,
            stage,
            batch: Batch::new(),
            taken: 0,
        });
        self.woken.push_back(token(Kind::Inbound, at));
        Ok(())
    }

    /// Takes the peers that wait at listeners.
    pub(crate) fn accept(&mut self) {
        let listening: Vec<usize> = self.services.iter().map(|(at, _)| at).collect();
        for at in listening {
            // An error is "too many open files", most likely: those who wait are taken when some are free.
            while let Some(Ok(Some(link))) = self
                .services
                .get(at)
                .and_then(|service| service.listener.as_ref())
                .map(Listener::accept)
            {
                // A peer that cannot be watched is hung up on.
                let config = self.services.get(at).map(Service::config);
                let config = config.unwrap_or_else(|| state::config(""));
                let _ = self.serve(at, link, Side::Acceptor, config);
            }
        }
    }

    /// Looks at a connection whose waker was woken, and writes the calls that it has. False when there was no room for all.
    pub(crate) fn look_at_inbound(&mut self, at: usize, events: &mut Events<'_>) -> bool {
        let waker = self.hub.waker(token(Kind::Inbound, at));
        let Some(inbound) = self.inbound.get_mut(at) else { return true };
        if let Err(error) = inbound.settle(&self.services, &waker) {
            self.end_inbound(at, Some(&error), events);
            return true;
        }
        let Some(service) = self.services.get(inbound.service) else {
            self.inbound.remove(at);
            return true;
        };
        loop {
            while inbound.taken < inbound.batch.len() {
                if !events.has_room() {
                    return false;
                }
                if let Some(call) = inbound.batch.iter().nth(inbound.taken) {
                    arrive(
                        &inbound.connection,
                        service,
                        inbound.service,
                        at,
                        (&inbound.batch, call),
                        &mut self.served,
                        events,
                    );
                }
                inbound.taken += 1;
            }
            inbound.batch.clear();
            inbound.taken = 0;
            match inbound.connection.poll_calls(&mut inbound.batch, &waker) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => break,
                Poll::Ready(Err(_)) => {
                    self.end_inbound(at, None, events);
                    return true;
                }
            }
        }
        if service.stopping && inbound.connection.poll_drained(&waker).is_ready() {
            inbound.connection.close();
            self.end_inbound(at, None, events);
        }
        true
    }

    /// A connection is over. A worker's is its only one, so that its service is over too; so is a service that stops with its last.
    fn end_inbound(&mut self, at: usize, error: Option<&Error>, events: &mut Events<'_>) {
        let inbound = self.inbound.remove(at);
        self.leave(&inbound.connection);
        let Some(service) = self.services.get(inbound.service) else { return };
        let last = !self.inbound.iter().any(|(_, other)| other.service == inbound.service);
        if service.listener.is_none() && service.attachment.is_none() && last {
            self.services.remove(inbound.service);
            match error {
                Some(error) => put_error(events, SERVICE_ENDED, inbound.service, error),
                None => events.put(&Event::new(SERVICE_ENDED, inbound.service)),
            }
        }
    }
}

impl Inbound {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Does what a worker does before its first call: it greets its pool and registers.
    fn settle(
        &mut self,
        services: &slab::Slab<Service>,
        waker: &std::task::Waker,
    ) -> Result<(), Error> {
        if self.stage == Stage::Greeting && self.connection.poll_ready(waker)?.is_ready() {
            if let Some(service) = services.get(self.service) {
                self.connection.register(service.table.registration())?;
            }
            self.stage = Stage::Registering;
        }
        if self.stage == Stage::Registering && self.connection.poll_registered(waker)?.is_ready() {
            self.stage = Stage::Serving;
        }
        Ok(())
    }
}

/// Hands a call to JavaScript, or answers it at once when no method of the service is meant.
fn arrive(
    connection: &Connection,
    service: &Service,
    service_number: usize,
    inbound: usize,
    (batch, call): (&Batch, &Incoming),
    served: &mut slab::Slab<Served>,
    events: &mut Events<'_>,
) {
    if let Some(id) = call.id
        && !connection.is_wanted(id)
    {
        connection.fail(id, &not_started(call));
        return;
    }
    let resolved = service
        .table
        .resolve(batch.method(call), call.items_in, call.items_out)
        .and_then(|target| {
            let Target::Method(at) = target else { return Ok((target, None)) };
            bind(&service.parameters[at], call.encoding, batch.body(call))
                .map(|arguments| (target, arguments))
        });
    match (resolved, call.id) {
        (Ok((Target::Method(method), arguments)), id) => {
            let mut flags = 0;
            flags |= if call.items_in { ITEMS_IN } else { 0 };
            flags |= if call.items_out { ITEMS_OUT } else { 0 };
            flags |= if id.is_none() { NOTIFICATION } else { 0 };
            flags |= if arguments.is_some() { BY_NAME } else { 0 };
            let at = id
                .map(|id| {
                    let meta = batch.meta(call);
                    served.insert(Served::new(connection.clone(), id, call.remaining(), meta))
                        as u32
                })
                .unwrap_or(inbound as u32);
            // Whole milliseconds, rounded up, so that a call is not thought to be late before it is.
            let left = call
                .remaining()
                .map_or(NONE, |left| u32::try_from(left.as_millis() + 1).unwrap_or(NONE - 1));
            let numbers = (service_number as u32) << 16 | method as u32;
            let event = Event { kind: CALL, id: at, flags, extra: [numbers, left] };
            match arguments {
                Some(arguments) => {
                    events.put_own(&event, Encoded::new(Encoding::Msgpack, arguments))
                }
                None => events.put_body(&event, call.encoding, batch.body(call)),
            }
        }
        (Ok((Target::Methods, _)), Some(id)) => {
            let mut bytes = Vec::new();
            // It was MessagePack when JavaScript gave it.
            let _ = serde::Serialize::serialize(
                &**service.table.registration(),
                &mut rmp_serde::Serializer::new(&mut bytes).with_struct_map(),
            );
            connection.reply(id, Encoded::new(Encoding::Msgpack, bytes));
        }
        (Ok((Target::Ping, _)), Some(id)) => {
            connection.reply(id, Encoded::new(Encoding::None, Vec::new()));
        }
        (Err(error), Some(id)) => connection.fail(id, &error),
        // A notification that nobody can take is dropped.
        (_, None) => {}
    }
}

/// A call that was given up before its handler could start.
fn not_started(call: &Incoming) -> Error {
    let (code, message) = match call.remaining() {
        Some(Duration::ZERO) => {
            (ErrorCode::DeadlineExceeded, "the deadline passed before the handler started")
        }
        _ => (ErrorCode::Cancelled, "cancelled before the handler started"),
    };
    Error::new(code, message).with_executed(Executed::No)
}

/// The arguments by position, when they did not come so: `None` leaves the body as it is.
fn bind(
    parameters: &Parameters,
    encoding: Encoding,
    body: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    let Parameters { names, required, takes_whole, variadic, gathers } = parameters;
    if *gathers
        && encoding == Encoding::Msgpack
        && let [0x91, object @ ..] = body
        && matches!(object.first(), Some(0x80..=0x8f | 0xde | 0xdf))
    {
        // An object that does not fit may still be the value of a sole parameter.
        match bind(parameters, encoding, object) {
            Err(_) if names.len() == 1 => {}
            bound => return bound,
        }
    }
    // By position, all up to the last one without a default must be given.
    let least = required.iter().rposition(|required| *required).map_or(0, |last| last + 1);
    // The usual case, told by the first byte: an array of a fitting length.
    if encoding == Encoding::Msgpack
        && let Some(head @ 0x90..=0x9f) = body.first()
        && (least..=names.len()).contains(&usize::from(head & 0x0f))
    {
        return Ok(None);
    }
    let params = Params::new(encoding, body)?;
    let positional =
        encoding == Encoding::Msgpack && matches!(body.first(), Some(0x90..=0x9f | 0xdc | 0xdd));
    if positional && *variadic && params.len() > names.len() {
        return Ok(None);
    }
    let bound = params.bind(Signature { names, required, takes_whole: *takes_whole })?;
    if positional {
        return Ok(None);
    }
    let count =
        (0..names.len()).rev().find(|&at| bound.value(at).is_some()).map_or(0, |last| last + 1);
    let mut arguments = Vec::with_capacity(body.len() + 8);
    // No body of a peer begins so: only behind this may an argument be missing.
    arguments.push(MISSING);
    write_array_head(count, &mut arguments);
    for at in 0..count {
        arguments.extend_from_slice(bound.value(at).unwrap_or(&[MISSING]));
    }
    Ok(Some(arguments))
}

fn write_array_head(count: usize, out: &mut Vec<u8>) {
    match count {
        0..16 => out.push(0x90 | count as u8),
        _ => {
            out.push(0xdd);
            out.extend_from_slice(&(count as u32).to_be_bytes());
        }
    }
}

/// What JavaScript says of a service.
#[derive(Deserialize)]
struct Description {
    registration: Registration,
    parameters: Vec<Parameters>,
}

impl Service {
    pub(crate) fn registration(&self) -> &Arc<Registration> {
        self.table.registration()
    }
}

fn describe(description: &[u8]) -> napi::Result<Service> {
    let Description { registration, parameters } =
        rmp_serde::from_slice(description).map_err(|error| {
            errors::thrown(&Error::new(
                ErrorCode::InvalidArgument,
                format!("the service cannot be registered: {error}"),
            ))
        })?;
    if parameters.len() != registration.methods.len() {
        return Err(napi::Error::from_reason("a method has no parameters"));
    }
    Ok(Service {
        table: MethodTable::new(registration),
        parameters,
        listener: None,
        compression: None,
        attachment: None,
        stopping: false,
    })
}

/// Serves as the worker of the pool that started this process, if one did: the service's number.
#[napi]
pub(crate) fn serve_parent(description: &[u8]) -> napi::Result<Option<u32>> {
    let service = describe(description)?;
    let Some(parent) = surroundings::parent().map_err(|error| errors::thrown(&error))? else {
        return Ok(None);
    };
    state::with(|state| {
        let config = Config { token: parent.token, ..state::config(service.name()) };
        parent.lifeline.watch(ORPHAN).map_err(|error| errors::thrown(&error))?;
        let at = state.services.insert(service);
        state
            .serve(at, parent.link, Side::Initiator, config)
            .map_err(|error| errors::thrown(&error))?;
        Ok(Some(at as u32))
    })
}

/// Where a service is to be found: it listens, or an engine is asked to take it.
#[napi(object)]
#[derive(Default)]
pub(crate) struct Placed {
    /// The number of a service that listens.
    pub service: Option<u32>,
    /// Its address; a port that was given as 0 is the real one here.
    pub address: Option<String>,
    /// The engine that the operation of the given number asks.
    pub engine: Option<String>,
}

/// Listens, or begins to register with an engine, as it is told or else the surroundings say. The event `DONE` of operation `id` brings the
/// service's number once the engine has taken it; `name` is what this worker would be called there.
#[napi]
#[allow(clippy::too_many_arguments, reason = "they cross to JavaScript one by one")]
pub(crate) fn serve_at(
    id: u32,
    description: &[u8],
    listen: Option<String>,
    engine: Option<String>,
    name: Option<String>,
    identity: Option<String>,
    tls: Tls,
    compression: Option<bool>,
) -> napi::Result<Placed> {
    let mut service = describe(description)?;
    service.compression = compression;
    let own = service.registration().name.clone();
    let place = surroundings::place_of(listen.as_deref(), engine.as_deref(), &own)
        .map_err(|error| errors::thrown(&error))?;
    let address = match place {
        Place::Address(address) => address,
        Place::Engine { target, patience } => {
            let names = (name.unwrap_or(own), identity.unwrap_or_default());
            attaching::begin(id, service, (&target, patience), tls.files(), names)?;
            return Ok(Placed { engine: Some(target), ..Placed::default() });
        }
    };
    let client_ca = tls.client_ca.as_deref().map(Path::new);
    let listener = Listener::bind_files(&address, &tls.files(), client_ca)
        .map_err(|error| errors::thrown(&error))?;
    state::with(|state| {
        state
            .hub
            .watch(std::os::fd::AsFd::as_fd(&listener))
            .map_err(|error| errors::thrown(&error))?;
        let address = listener.address().to_string();
        service.listener = Some(listener);
        let service = Some(state.services.insert(service) as u32);
        Ok(Placed { service, address: Some(address), engine: None })
    })
}

/// Takes no new calls, and lets those in flight finish; `SERVICE_ENDED` tells when they have.
#[napi]
pub(crate) fn drain(service: u32) -> napi::Result<()> {
    state::with(|state| {
        let at = service as usize;
        if let Some(service) = state.services.get_mut(at) {
            service.stopping = true;
            service.listener = None;
            service.attachment = None;
            let mut draining = 0;
            for (inbound, _) in state.inbound.iter().filter(|(_, inbound)| inbound.service == at) {
                draining += 1;
                state.woken.push_back(token(Kind::Inbound, inbound));
            }
            for (_, inbound) in state.inbound.iter().filter(|(_, inbound)| inbound.service == at) {
                inbound.connection.drain("the service is stopping");
            }
            if draining == 0 {
                state.services.remove(at);
            }
        }
        Ok(())
    })
}

/// Whether a service is still there.
#[napi]
pub(crate) fn is_serving(service: u32) -> napi::Result<bool> {
    state::with(|state| Ok(state.services.contains(service as usize)))
}

/// Ends a service at once: its connections close.
#[napi]
pub(crate) fn stop(service: u32) -> napi::Result<()> {
    state::with(|state| {
        let at = service as usize;
        if state.services.contains(at) {
            state.services.remove(at);
            let over: Vec<usize> = state
                .inbound
                .iter()
                .filter(|(_, inbound)| inbound.service == at)
                .map(|(at, _)| at)
                .collect();
            for at in over {
                let inbound = state.inbound.remove(at);
                inbound.connection.close();
                state.leave(&inbound.connection);
            }
        }
        Ok(())
    })
}
