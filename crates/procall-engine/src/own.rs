//! The engine's own service: who is there, what they serve, what happens.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use procall::schemars::{self, JsonSchema};
use procall::transport::{LinkOptions, mem};
use procall::{
    Body, CallOptions, Context, Deadline, Encoding, Error, ErrorCode, MethodInfo, Request, Service,
    Side, Started, Stream,
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use crate::core::{Core, Meant, Phase, Sleeper, State};
use crate::events::Event;
use crate::facts::{Facts, Speaks};
use crate::gateway::json::Counters;
use crate::workers::{LogLine, Seen, WorkerRow};

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
    /// `ready`, `busy`, `suspected`, `draining`, `drained` or `going away`.
    pub state: String,
    /// Calls it works on.
    pub in_flight: u32,
    /// Calls it takes at once.
    pub slots: u32,
    /// Calls it has been given.
    pub calls: u64,
    /// Seconds since it came.
    pub age: f64,
    /// Seconds since anything was heard of it.
    pub last_seen: f64,
    /// Milliseconds of the last heartbeat's round trip.
    pub round_trip_ms: Option<f64>,
    /// The name of the token it has shown, if any.
    pub token: Option<String>,
    /// By what the engine recognises it when it comes back, if it holds an identity.
    #[serde(default)]
    pub identity: Option<String>,
    /// What it may do, in words.
    pub rights: String,
}

/// One method, as `procall.engine.methods` lists them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MethodRow {
    /// Full name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The service it belongs to.
    pub service: String,
    /// The version of that, as it was told last.
    pub version: String,
    /// Names of those who serve it; empty while it is away.
    pub workers: Vec<String>,
    /// `served`; `away` when nobody serves it now; `asleep` when a call starts its service.
    pub state: String,
    /// Calls that wait for one of them.
    pub waiting: usize,
    /// All that is known of it, as it was told last.
    #[schemars(with = "serde_json::Value")]
    pub info: MethodInfo,
}

/// A service that the engine starts, as `procall.engine.services` lists them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// `asleep`, `starting`, `running`, `stopping` or `failed`.
    pub state: String,
    /// Why it failed; empty otherwise. The last lines of standard error follow for who may administer: they may hold secrets.
    pub reason: String,
    /// Its workers; none while it does not run. Their lines of standard error are for who may administer, too.
    #[serde(default)]
    pub workers: Vec<WorkerRow>,
}

/// What is stray of the peers that speak JSON, as `procall.engine.strays` counts it since the engine began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StrayCounts {
    /// Answers to calls that nobody had made.
    pub unasked: u64,
    /// Answers that came after their callers had gone.
    pub late: u64,
    /// Notifications that were dropped because their receiver was too slow.
    pub dropped: u64,
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

/// How long the pool behind a peer may take to start anew.
const RESTART: Duration = Duration::from_secs(300);

/// Attaches the engine's own service to itself.
pub(crate) fn serve(core: &Arc<Core>) -> Result<(), Error> {
    let (near, far) = mem::pair(&LinkOptions::default()).map_err(|error| {
        Error::new(ErrorCode::Internal, "no descriptor is left for the engine's own service")
            .with_source(error)
    })?;
    let service = service(core);
    let registration = service.registration().clone();
    service.serve_link(Box::new(near))?;
    let facts = Facts::inside(Speaks::Inside);
    let joined = core.join(Box::new(far), Side::Initiator, facts)?;
    // Before anybody can come and ask for it.
    core.register(joined.number, registration).map(|_| ())
}

fn service(core: &Arc<Core>) -> Service {
    let look = |f: fn(&State) -> Vec<PeerRow>| {
        let core = Arc::downgrade(core);
        move || core.upgrade().map(|core| core.with(f)).unwrap_or_default()
    };
    let methods = Arc::downgrade(core);
    let events = Arc::downgrade(core);
    let (draining, stopping) = (Arc::downgrade(core), Arc::downgrade(core));
    let (restarting, ending) = (Arc::downgrade(core), Arc::downgrade(core));
    Service::new("engine")
        .concurrency(1 << 16)
        .method("peers", look(peers))
        .method("list", move || {
            methods.upgrade().map(|core| core.with(self::methods)).unwrap_or_default()
        })
        .method("services", {
            let core = Arc::downgrade(core);
            move |context: Context| {
                let Some(core) = core.upgrade() else { return Vec::new() };
                services(&core, administers(&core, &context))
            }
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
        .method("strays", {
            let core = Arc::downgrade(core);
            move || {
                let counted = core.upgrade().map(|core| core.strays.counted());
                let Counters { unasked, late, dropped } = counted.unwrap_or_default();
                StrayCounts { unasked, late, dropped }
            }
        })
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
        .try_method("drain", move |target: String, undo: Option<bool>| {
            let core = draining.upgrade().ok_or_else(over)?;
            let drained = core.drain(&target, undo.unwrap_or(false))?;
            let ids: Vec<String> = core.with(|state| {
                let peers = drained.iter().filter_map(|number| state.peers.get(number));
                peers.map(|peer| peer.id.to_string()).collect()
            });
            Ok::<_, Error>(
                core.with(peers)
                    .into_iter()
                    .filter(|row| ids.contains(&row.id))
                    .collect::<Vec<_>>(),
            )
        })
        .params("drain", &["target", "undo"])
        .async_method("restart", move |target: String| {
            let core = restarting.clone();
            async move {
                let Some(core) = core.upgrade() else { return Err(over()) };
                match core.supervised(&target) {
                    Some(meant) => core.restart_supervised(meant).await,
                    None => ask(Arc::downgrade(&core), target, "procall.restart").await,
                }
            }
        })
        .params("restart", &["target"])
        .stream_method("logs", {
            let core = Arc::downgrade(core);
            move |target: Option<String>, last: Option<u32>, follow: Option<bool>| {
                let lines = core.upgrade().ok_or_else(over).and_then(|core| {
                    logs(&core, target, last.unwrap_or(u32::MAX), follow.unwrap_or(false))
                });
                let refused = |error| Stream::new(futures_util::stream::iter([Err(error)]));
                lines.unwrap_or_else(refused)
            }
        })
        .params("logs", &["target", "last", "follow"])
        .async_method("stop", move |target: Option<String>| {
            let (core, stopping) = (ending.clone(), stopping.clone());
            async move {
                match target {
                    Some(target) => ask(core, target, "procall.stop").await,
                    None => {
                        stopping.upgrade().ok_or_else(over)?.stop.notify_one();
                        Ok(Vec::new())
                    }
                }
            }
        })
        .params("stop", &["target"])
        .stream_method("events", move || {
            let events = events.upgrade().and_then(|core| core.events.watch());
            Stream::new(futures_util::stream::unfold(events, |events| async move {
                let mut events = events?;
                match events.recv().await {
                    Ok(event) => Some((Ok(Event::clone(&event)), Some(events))),
                    Err(RecvError::Lagged(count)) => {
                        Some((Ok(Event::Missed { count }), Some(events)))
                    }
                    Err(RecvError::Closed) => None,
                }
            }))
        })
}

/// Has the pools behind some peers do something; the names of those peers.
async fn ask(core: Weak<Core>, target: String, method: &str) -> Result<Vec<String>, Error> {
    let asked = core.upgrade().ok_or_else(over)?.behind(&target, method)?;
    let started = asked.into_iter().map(|(name, connection)| {
        let options = CallOptions { deadline: Deadline::After(RESTART), ..CallOptions::default() };
        let request = Request { method, body: Body::new(Encoding::Json, b"[]"), options };
        connection.start(request).map(|pending| (name, Started::from(pending)))
    });
    let mut names = Vec::new();
    for (name, mut started) in started.collect::<Result<Vec<_>, Error>>()? {
        poll_fn(|cx| started.poll_reply(cx.waker())).await?;
        names.push(name);
    }
    Ok(names)
}

fn over() -> Error {
    Error::new(ErrorCode::Unavailable, "the engine is stopping")
}

fn peers(state: &State) -> Vec<PeerRow> {
    let now = Instant::now();
    let seconds = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
    let mut rows: Vec<PeerRow> = state
        .peers
        .values()
        .filter(|peer| peer.ready && peer.facts.speaks != Speaks::Inside)
        .map(|peer| {
            let registration = peer.registration.as_deref();
            let identity = state.identity_of(peer).map(str::to_owned);
            let state = match (peer.drained, peer.in_flight) {
                _ if peer.suspected => "suspected",
                _ if peer.going => "going away",
                (Some(_), 0) => "drained",
                (Some(_), _) => "draining",
                (None, 0) => "ready",
                (None, _) => "busy",
            };
            let heard =
                peer.connection.last_pong().map_or(peer.last_seen, |pong| pong.max(peer.last_seen));
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
                age: seconds(peer.since),
                last_seen: seconds(heard),
                round_trip_ms: peer.connection.round_trip().map(|time| time.as_secs_f64() * 1e3),
                token: peer.pass.token.as_deref().map(str::to_owned),
                identity,
                rights: peer.pass.rights.to_string(),
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

/// Whether who called may administer the engine.
fn administers(core: &Core, context: &Context) -> bool {
    #[derive(Deserialize)]
    struct Sender {
        from: String,
    }
    let Some(Sender { from }) = context.meta() else { return false };
    core.with(|state| {
        let mut peers = state.peers.values();
        let caller = peers.find(|peer| peer.id.to_string() == from);
        caller.is_some_and(|peer| peer.pass.rights.may_administer())
    })
}

/// The services that the engine starts; what their workers wrote to standard error only when it is asked for.
fn services(core: &Core, with_stderr: bool) -> Vec<ServiceRow> {
    let known: Vec<(ServiceRow, Seen)> = core.with(|state| {
        let row = |(name, sleeper): (&Arc<str>, &Sleeper)| {
            let row = ServiceRow {
                name: name.to_string(),
                state: sleeper.phase.says().to_owned(),
                reason: match &sleeper.phase {
                    Phase::Failed { why, .. } => {
                        let words = why.trace().filter(|_| with_stderr);
                        let words = words.map(|words| format!("\n{words}"));
                        format!("{}{}", why.message(), words.unwrap_or_default())
                    }
                    _ => String::new(),
                },
                workers: Vec::new(),
            };
            (row, sleeper.seen.clone())
        };
        state.sleepers.iter().map(row).collect()
    });
    // A pool has a lock of its own.
    let workers = |seen: Seen| {
        let mut workers = seen.rows();
        if !with_stderr {
            workers.iter_mut().for_each(|worker| worker.stderr.clear());
        }
        workers
    };
    let mut rows: Vec<ServiceRow> =
        known.into_iter().map(|(row, seen)| ServiceRow { workers: workers(seen), ..row }).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

/// The lines of one service that the engine starts, of one of its workers, or of all.
fn logs(
    core: &Core,
    target: Option<String>,
    last: u32,
    follow: bool,
) -> Result<Stream<LogLine>, Error> {
    let Some(target) = target else {
        let all = core.with(|state| {
            let seen = state.sleepers.values().map(|sleeper| sleeper.seen.clone());
            seen.collect::<Vec<_>>()
        });
        let lines = all.iter().map(|seen| seen.lines().read(None, last, follow));
        return Ok(Stream::new(futures_util::stream::select_all(lines)));
    };
    match core.supervised(&target) {
        Some(Meant { seen, worker, .. }) => {
            let rows = seen.rows();
            if let Some(worker) = &worker
                && !rows.is_empty()
                && !rows.iter().any(|row| row.name == *worker)
            {
                let message = format!("there is no worker \"{worker}\"");
                let names = rows.into_iter().map(|row| row.name).collect();
                return Err(Error::new(ErrorCode::NotFound, message).with_candidates(names));
            }
            Ok(seen.lines().read(worker, last, follow))
        }
        None => Err(core.no_service(&target)),
    }
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
            service: method.offer.service.to_string(),
            version: method.offer.version.to_string(),
            workers: method.providers.iter().filter_map(|provider| name(&provider.peer)).collect(),
            state: match (method.is_away(), state.sleepers.contains_key(&method.offer.service)) {
                (false, _) => "served",
                (true, true) => "asleep",
                (true, false) => "away",
            }
            .to_owned(),
            waiting: method.waiting.len(),
            info: method.offer.full_info(&method.name),
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}
