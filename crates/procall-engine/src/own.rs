//! The engine's own service: who is there, what they serve, what happens.

use std::sync::Arc;

use procall::schemars::{self, JsonSchema};
use procall::transport::{LinkOptions, mem};
use procall::{Error, ErrorCode, Service, Side, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use crate::core::{Core, Phase, State};
use crate::events::Event;
use crate::facts::{Facts, Speaks};

/// One who is connected, as `procall.engine.peers` lists them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PeerRow {
    /// UUID text: names it in `to`.
    pub id: String,
    /// For people; names it in `to` too.
    pub name: String,
    /// What it speaks.
    pub speaks: Speaks,
    /// Where it is.
    pub address: String,
    /// Its process, where the kernel vouches for it.
    pub pid: Option<u32>,
    /// The service it registered; empty for one that only calls.
    pub service: String,
    /// Its version.
    pub version: String,
    /// Methods it serves.
    pub methods: usize,
    /// `ready`, `busy`, `suspected` or `going away`.
    pub state: String,
    /// Calls it works on.
    pub in_flight: u32,
    /// Calls it takes at once.
    pub slots: u32,
    /// Calls it has been given.
    pub calls: u64,
    /// Seconds since it came.
    pub age: f64,
    /// Milliseconds of the last heartbeat's round trip.
    pub round_trip_ms: Option<f64>,
}

/// One method, as `procall.engine.methods` lists them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MethodRow {
    /// Full name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Names of those who serve it; empty while it is away.
    pub workers: Vec<String>,
    /// `served`; `away` when nobody serves it now; `asleep` when a call starts its service.
    pub state: String,
    /// Calls that wait for one of them.
    pub waiting: usize,
}

/// A service that the engine starts, as `procall.engine.services` lists them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// `asleep`, `starting`, `running`, `stopping` or `failed`.
    pub state: String,
    /// Why it failed; empty otherwise.
    pub reason: String,
}

/// One call on its way, as `procall.engine.calls` lists them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CallRow {
    /// Names it for `procall.engine.cancel`.
    pub call: u64,
    /// Full name of the method.
    pub method: String,
    /// Who calls.
    pub client: String,
    /// Who works on it; empty while it waits.
    pub worker: String,
    /// Seconds since it came.
    pub age: f64,
    /// Seconds that it waited for its worker, or waits already.
    pub queued: f64,
}

/// Attaches the engine's own service to itself.
pub(crate) fn serve(core: &Arc<Core>) -> Result<(), Error> {
    let (near, far) = mem::pair(&LinkOptions::default()).map_err(|error| {
        Error::new(ErrorCode::Internal, "no descriptor is left for the engine's own service")
            .with_source(error)
    })?;
    let service = service(core);
    let registration = service.registration().clone();
    service.serve_link(Box::new(near))?;
    let facts = Facts {
        speaks: Speaks::Inside,
        address: "inside".to_owned(),
        credentials: None,
        hears_broadcasts: false,
    };
    let (number, _) = core.join_numbered(Box::new(far), Side::Initiator, facts)?;
    // Now, and not when the task gets to read it: whoever comes first finds it.
    core.register(number, registration).map(|_| ())
}

fn service(core: &Arc<Core>) -> Service {
    let look = |f: fn(&State) -> Vec<PeerRow>| {
        let core = Arc::downgrade(core);
        move || core.upgrade().map(|core| core.with(f)).unwrap_or_default()
    };
    let methods = Arc::downgrade(core);
    let events = Arc::downgrade(core);
    Service::new("engine")
        .concurrency(1 << 16)
        .method("peers", look(peers))
        .method("list", move || {
            methods.upgrade().map(|core| core.with(self::methods)).unwrap_or_default()
        })
        .method("services", {
            let core = Arc::downgrade(core);
            move || core.upgrade().map(|core| core.with(services)).unwrap_or_default()
        })
        .async_method("start", {
            let core = Arc::downgrade(core);
            move |service: String| {
                let core = core.upgrade();
                async move {
                    match core {
                        Some(core) => core.start_service(&service).await,
                        None => Err(Error::new(ErrorCode::Unavailable, "the engine is stopping")),
                    }
                }
            }
        })
        .params("start", &["service"])
        .method("calls", {
            let core = Arc::downgrade(core);
            move || core.upgrade().map(|core| core.with(calls)).unwrap_or_default()
        })
        .try_method("cancel", {
            let core = Arc::downgrade(core);
            move |call: u64| match core.upgrade().is_some_and(|core| core.cancel(call)) {
                true => Ok(()),
                false => {
                    Err(Error::new(ErrorCode::NotFound, format!("no call {call} is on its way")))
                }
            }
        })
        .params("cancel", &["call"])
        .stream_method("events", move || {
            let events = events.upgrade().map(|core| core.events.watch());
            Stream::new(futures_util::stream::unfold(events, |events| async move {
                let mut events = events?;
                loop {
                    match events.recv().await {
                        Ok(event) => return Some((Ok(Event::clone(&event)), Some(events))),
                        // Those that were missed are missed; what comes now still counts.
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    }
                }
            }))
        })
}

fn peers(state: &State) -> Vec<PeerRow> {
    let mut rows: Vec<PeerRow> = state
        .peers
        .values()
        .filter(|peer| peer.facts.speaks != Speaks::Inside)
        .map(|peer| {
            let registration = peer.registration.as_deref();
            let busy = if peer.in_flight > 0 { "busy" } else { "ready" };
            let state = match (peer.suspected, peer.going) {
                (true, _) => "suspected",
                (_, true) => "going away",
                _ => busy,
            };
            PeerRow {
                id: peer.id.to_string(),
                name: peer.name.to_string(),
                speaks: peer.facts.speaks,
                address: peer.facts.address.clone(),
                pid: peer.facts.credentials.map(|peer| peer.pid),
                service: registration.map(|known| known.name.clone()).unwrap_or_default(),
                version: registration.map(|known| known.version.clone()).unwrap_or_default(),
                methods: peer.methods.len(),
                state: state.to_owned(),
                in_flight: peer.in_flight,
                slots: peer.slots,
                calls: peer.calls,
                age: peer.since.elapsed().as_secs_f64(),
                round_trip_ms: peer.connection.round_trip().map(|time| time.as_secs_f64() * 1e3),
            }
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

fn calls(state: &State) -> Vec<CallRow> {
    let name = |number| state.peers.get(&number).map(|peer| peer.name.to_string());
    let mut rows: Vec<CallRow> = state
        .calls
        .values()
        .filter_map(std::sync::Weak::upgrade)
        .filter(|ticket| !ticket.method.starts_with("procall."))
        .map(|ticket| {
            let chosen = ticket.chosen().clone();
            let queued = chosen.started.map_or_else(|| ticket.waited(), |at| at - ticket.since);
            CallRow {
                call: ticket.number,
                method: ticket.method.to_string(),
                client: name(ticket.client).unwrap_or_default(),
                worker: chosen.worker.map(|worker| worker.to_string()).unwrap_or_default(),
                age: ticket.waited().as_secs_f64(),
                queued: queued.as_secs_f64(),
            }
        })
        .collect();
    rows.sort_by_key(|row| row.call);
    rows
}

fn services(state: &State) -> Vec<ServiceRow> {
    let mut rows: Vec<ServiceRow> = state
        .sleepers
        .iter()
        .map(|(name, sleeper)| ServiceRow {
            name: name.to_string(),
            state: sleeper.phase.says().to_owned(),
            reason: match &sleeper.phase {
                Phase::Failed { why, .. } => why.message().to_owned(),
                _ => String::new(),
            },
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

fn methods(state: &State) -> Vec<MethodRow> {
    let name = |number| state.peers.get(number).map(|peer| peer.name.to_string());
    let mut rows: Vec<MethodRow> = state
        .methods
        .values()
        .filter(|method| state.is_known(method))
        .map(|method| MethodRow {
            name: method.name.to_string(),
            description: method.offer.info.description.clone(),
            workers: method.providers.iter().filter_map(|provider| name(&provider.peer)).collect(),
            state: match (method.is_away(), state.sleepers.contains_key(&method.offer.service)) {
                (false, _) => "served",
                (true, true) => "asleep",
                (true, false) => "away",
            }
            .to_owned(),
            waiting: method.waiting.len(),
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}
