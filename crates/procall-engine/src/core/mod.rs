//! The router: who is there, who serves what, and which call goes to whom. All under one lock, which is never held while anything is sent.

mod admission;
mod asking;
mod calls;
mod cycles;
mod fan;
mod identity;
mod keeping;
mod line;
mod method;
mod notices;
mod passage;
mod peer;
mod peers;
mod pins;
mod registering;
mod remembered;
mod seat;
mod sleepers;
mod strays;
mod supervised;
mod tally;
mod telling;
mod ticket;
mod wishes;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::HashMap;
use procall::Meter;
use tokio::sync::{Notify, Semaphore};

pub(crate) use method::Method;
pub(crate) use peer::{Number, Peer};
pub(crate) use peers::Joined;
pub(crate) use sleepers::{Phase, Sleeper};
pub(crate) use supervised::Meant;
pub(crate) use tally::{BOUNDS, Counted, Tally};
pub(crate) use ticket::Ticket;

use crate::events::Events;
use crate::settings::Settings;
use crate::spans::Exporter;
use crate::state::{Identity, Memory};
use crate::tokens::Doors;
use pins::Pins;
use remembered::Remembered;
use strays::Strays;

/// See [`Core::looks`].
const LOOKS: usize = 1;

/// Peers by number.
pub(crate) type Peers = HashMap<Number, Peer>;

/// The engine's lock and what is around it.
#[derive(Debug)]
pub(crate) struct Core {
    state: Mutex<State>,
    pub(crate) settings: Settings,
    pub(crate) doors: Doors,
    pub(crate) events: Events,
    /// What is remembered over the end of the engine.
    pub(crate) memory: Option<Memory>,
    pub(crate) meter: Arc<Meter>,
    /// The way to a collector of traces.
    pub(crate) exporter: Option<Exporter>,
    /// Of what gateways call for their peers, which is counted once it has come to the other end: one for all, since each takes 8 KiB.
    pub(crate) inside: Arc<Meter>,
    /// Somebody wants the engine to stop.
    pub(crate) stop: Notify,
    /// Looks at the kernel's list of sockets, which cost more the more there are, that are taken at once.
    pub(crate) looks: Semaphore,
    /// Of peers that speak JSON.
    pub(crate) strays: Strays,
    /// Of calls to methods that nobody knows.
    pub(crate) unknown: Tally,
    /// Somebody waits whose time is up earlier than the timer knows.
    pub(crate) hurry: Notify,
    /// A service that the engine starts does something else.
    phases: Notify,
    /// Whether somebody is handing waiting calls over.
    handing: AtomicU8,
    /// The same of whoever tells clients what there is.
    telling: AtomicU8,
    /// Outcomes of calls with an idempotency key.
    remembered: Mutex<Remembered>,
    next: AtomicU64,
    this: Weak<Self>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) peers: Peers,
    pub(crate) ids: HashMap<Arc<str>, Number>,
    pub(crate) names: HashMap<Arc<str>, Number>,
    pub(crate) methods: HashMap<Arc<str>, Method>,
    /// Full names by their last part.
    bare: HashMap<Box<str>, BTreeSet<Arc<str>>>,
    /// Who holds an identity now.
    identities: HashMap<Identity, Number>,
    /// Services that the engine starts by itself, by name.
    pub(crate) sleepers: HashMap<Arc<str>, Sleeper>,
    /// Methods for which calls wait.
    busy: BTreeSet<Arc<str>>,
    pins: Pins,
    /// Clients who have not heard yet what there is of the service that they came for.
    untold: BTreeSet<Number>,
    /// Calls on their way.
    pub(crate) calls: HashMap<u64, Weak<Ticket>>,
    /// No new calls.
    pub(crate) draining: bool,
}

impl Core {
    /// On a runtime, where spans are to be sent.
    pub(crate) fn new(settings: Settings, doors: Doors, memory: Option<Memory>) -> Arc<Self> {
        let exporter =
            settings.otlp.clone().map(|endpoint| Exporter::start(endpoint, "procall-engine"));
        Arc::new_cyclic(|this| Self {
            state: Mutex::default(),
            settings,
            doors,
            events: Events::default(),
            memory,
            exporter,
            meter: Arc::default(),
            inside: Arc::default(),
            stop: Notify::new(),
            looks: Semaphore::new(LOOKS),
            strays: Strays::default(),
            unknown: Tally::default(),
            hurry: Notify::new(),
            phases: Notify::new(),
            handing: AtomicU8::new(0),
            telling: AtomicU8::new(0),
            remembered: Mutex::default(),
            next: AtomicU64::new(1),
            this: this.clone(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that was never used before.
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// The last part of a name.
fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
