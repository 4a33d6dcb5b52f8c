//! From a call that arrived to the worker that gets it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::Instant;

use procall::{
    Batch, Chain, Connection, Error, ErrorCode, Executed, Incoming, Pending, Queued, Shape,
    Started, similar,
};

use super::admission::RESERVED;
use super::keeping::{Recalled, Repeated};
use super::method::Provider;
use super::passage::Passage;
use super::peer::Number;
use super::sleepers::Sleeper;
use super::ticket::{Aim, Arrived, expired};
use super::wishes::Wishes;
use super::{Core, Method, Peers, State, Tally, Ticket, last_part};
use crate::settings::Policy;
use crate::spans::Span;

/// States of `Core::handing` and `Core::telling`.
pub(super) const IDLE: u8 = 0;
pub(super) const RUNNING: u8 = 1;
pub(super) const AGAIN: u8 = 2;

/// A call that has to leave a full line, and what its caller is told.
type Displaced = (Arc<Ticket>, Error);

/// A slot of a worker, taken for one call.
pub(super) struct Claim {
    connection: Connection,
    provider: Provider,
    worker: Arc<str>,
    /// It is the pool of a service that the engine starts.
    inside: bool,
    seat: Arc<super::seat::Seat>,
}

impl Core {
    /// Takes a call of this client's on; its answer comes through the connection.
    pub(crate) fn take(
        self: &Arc<Self>,
        client: Number,
        connection: &Connection,
        batch: &Batch,
        incoming: &Incoming,
    ) -> Result<(), Error> {
        let Some(id) = incoming.id else { return Ok(()) };
        let arrived = Arrived::new(batch, incoming)?;
        let mut wishes = Wishes::read(batch.meta(incoming));
        let keeper = match wishes.idempotency_key {
            None => None,
            Some(_) if wishes.all => {
                return Err(Error::invalid("a call to all workers cannot have an idempotency key"));
            }
            Some(key) => match self.recall(client, batch, incoming, key)? {
                Recalled::First(keeper) => Some(keeper),
                Recalled::Known(started) => {
                    connection.answer_with(id, incoming.shape(), started, Repeated);
                    return Ok(());
                }
            },
        };
        if let Some(chain) = wishes.chain.and_then(Chain::read) {
            chain.check(batch.method(incoming))?;
        }
        if wishes.all {
            return self.fan_out(client, connection, id, batch.method(incoming), arrived, &wishes);
        }
        if self.exporter.is_some() && !batch.method(incoming).starts_with(RESERVED) {
            wishes.span = Span::begin(wishes.traceparent).map(Arc::new);
        }
        let shape = incoming.shape();
        let (ticket, tally, claim) = {
            let mut state = self.lock();
            let (method, tally) = state.resolve(client, batch.method(incoming), shape)?;
            let aim = state.aim(&method, &wishes)?;
            let from = match state.peers.get_mut(&client) {
                Some(peer) => {
                    peer.last_seen = arrived.since;
                    &*peer.id
                }
                None => "",
            };
            let client = (client, from);
            let ticket = Ticket::new(self.number(), client, method, arrived, &wishes, aim);
            let ticket = Arc::new(ticket);
            state.calls.insert(ticket.number, Arc::downgrade(&ticket));
            let claim = self.claim_or_enqueue(&mut state, &ticket);
            (ticket, tally, claim)
        };
        let claim = claim.map(give_way);
        let mut passage = Passage::new(self.clone(), ticket.clone(), tally, keeper);
        let started = claim.and_then(|claim| self.begin_with(&ticket, claim));
        let started = started.inspect_err(|error| passage.refused(error))?;
        ticket.set_relaying(connection.answer_with(id, shape, started, passage));
        Ok(())
    }

    /// Starts a call with a worker that has room, or puts it in line.
    pub(super) fn begin(self: &Arc<Self>, ticket: &Arc<Ticket>) -> Result<Started, Error> {
        let claim = self.claim_or_enqueue(&mut self.lock(), ticket)?;
        self.begin_with(ticket, give_way(claim))
    }

    /// A worker with room for the call; `None` when it stands in line from now on. See [`give_way`].
    fn claim_or_enqueue(
        &self,
        state: &mut State,
        ticket: &Arc<Ticket>,
    ) -> Result<(Option<Claim>, Option<Displaced>), Error> {
        if state.draining {
            return Err(Error::new(ErrorCode::Unavailable, "the engine is stopping")
                .with_executed(Executed::No));
        }
        Ok(match state.claim_at_once(ticket, self.settings.policy) {
            Some(claim) => (Some(claim), None),
            None => (None, self.enqueue(state, ticket.clone())?),
        })
    }

    fn begin_with(
        self: &Arc<Self>,
        ticket: &Arc<Ticket>,
        claim: Option<Claim>,
    ) -> Result<Started, Error> {
        match claim {
            Some(claim) => match self.start(ticket, &claim) {
                Ok(pending) => Ok(Started::from(pending)),
                Err(error) => self.again(ticket, error),
            },
            None => Ok(self.waiting(ticket.clone())),
        }
    }

    /// A call in line, as its caller has it.
    fn waiting(self: &Arc<Self>, ticket: Arc<Ticket>) -> Started {
        self.hurry.notify_one();
        self.wake(&ticket.method);
        let queued: Box<dyn Queued> = Box::new(Waiting { core: self.clone(), ticket, over: false });
        self.hand_over();
        Started::from(queued)
    }

    /// Counts a call that was refused before anybody had it.
    pub(super) fn refused(&self, name: &str, error: &Error) {
        let tally = self.lock().methods.get(name).map(|method| method.tally.clone());
        tally.as_deref().unwrap_or(&self.unknown).refuse(error.code());
    }

    /// Ends a call on its way: its caller is told so, its worker asked to cancel it. False when there is none of this number.
    pub(crate) fn cancel(&self, number: u64) -> bool {
        let ticket = self.lock().calls.get(&number).and_then(Weak::upgrade);
        ticket.is_some_and(|ticket| {
            let started = ticket.chosen().started.is_some();
            let executed = if started { Executed::Maybe } else { Executed::No };
            let error = Error::new(ErrorCode::Cancelled, "the call was cancelled at the engine");
            ticket.stop(error.with_executed(executed))
        })
    }

    fn start(&self, ticket: &Ticket, claim: &Claim) -> Result<Pending, Error> {
        let Claim { connection, provider, worker, inside, seat } = claim;
        let now = procall::now();
        {
            let mut chosen = ticket.chosen();
            chosen.wire = self.is_recorded().then(|| connection.round_trip()).flatten();
            chosen.offer = Some(provider.offer.clone());
            chosen.worker = Some(worker.clone());
            chosen.attempts += 1;
            chosen.started = Some(now);
        }
        let method = &*provider.offer.info.name;
        let request = ticket.request(method, now).and_then(|request| {
            if self.settings.validate {
                super::admission::check_params(&provider.offer, ticket.body())?;
            }
            Ok(request)
        });
        match request {
            // The deadline of whatever this thread happens to serve is not this call's.
            Ok(request) => procall::with_remaining(None, || {
                let waited = now - ticket.since;
                let lease: Arc<dyn procall::Lease> = seat.clone();
                let lease = (lease, &ticket.at_worker);
                connection.start_routed(request, &ticket.meta(*inside), lease, waited)
            }),
            Err(error) => {
                procall::Lease::release(&**seat);
                Err(error)
            }
        }
    }

    /// A call that failed before a worker had it, or that no handler has seen: another worker may have it.
    pub(super) fn again(
        self: &Arc<Self>,
        ticket: &Arc<Ticket>,
        error: Error,
    ) -> Result<Started, Error> {
        /// Workers that a call is offered to one after the other; then it is told why.
        const ATTEMPTS: u32 = 8;
        let unreached = error.executed() == Executed::No
            && matches!(
                error.code(),
                ErrorCode::Unavailable | ErrorCode::ConnectionLost | ErrorCode::Closed
            );
        let (attempts, last) = {
            let chosen = ticket.chosen();
            (chosen.attempts, chosen.worker.clone())
        };
        if !unreached || attempts >= ATTEMPTS || ticket.only.is_some() {
            return Err(error);
        }
        let displaced = {
            let mut state = self.lock();
            // Whoever refuses takes nothing any more; if that is wrong, its connection will say so.
            if let Some(last) = last
                && let Some(&number) = state.names.get(&last)
                && let Some(peer) = state.peers.get_mut(&number)
            {
                peer.going = true;
            }
            self.enqueue(&mut state, ticket.clone())?
        };
        give_way(((), displaced));
        Ok(self.waiting(ticket.clone()))
    }

    /// Puts a call in line; gives the one that must leave it for that, if it is full and somebody else has more than a fair part of it.
    fn enqueue(&self, state: &mut State, ticket: Arc<Ticket>) -> Result<Option<Displaced>, Error> {
        let name = ticket.method.clone();
        let State { methods, peers, sleepers, .. } = state;
        let Some(method) = methods.get_mut(&name) else {
            return Err(no_worker(&name));
        };
        let takes = |provider: &&Provider| {
            ticket.may_go_to(provider)
                && peers.get(&provider.peer).is_none_or(|peer| peer.takes(ticket.number))
        };
        let hopeful = method.providers.iter().filter(takes).count();
        let sleeper = sleepers.get(&method.offer.service).filter(|_| ticket.only.is_none());
        if hopeful == 0
            && method.is_away()
            && let Some(error) = sleeper.and_then(Sleeper::refuses)
            && !ticket.waits
        {
            return Err(error);
        }
        if hopeful == 0 && !ticket.waits && (sleeper.is_none() || !method.is_away()) {
            return Err(match (ticket.only, ticket.version()) {
                (Some(only), _) if method.provider(only).is_some() => drained(&name),
                (Some(only), _) if peers.contains_key(&only) => Error::new(
                    ErrorCode::NotFound,
                    format!("{} does not serve \"{name}\"", peers[&only].name),
                ),
                (None, Some(_)) if !method.is_away() => no_version(&ticket),
                (None, None) if !method.is_away() => drained(&name),
                _ => no_worker(&name),
            });
        }
        let most = self.settings.queue.saturating_mul(hopeful.max(1));
        let mut displaced = None;
        if method.waiting.len() >= most {
            let error = method.waiting.full(&name);
            let Some(other) = method.waiting.make_room(ticket.client) else { return Err(error) };
            displaced = Some((other, error));
        }
        method.waiting.push(ticket);
        state.busy.insert(name);
        Ok(displaced)
    }

    /// Gives waiting calls to free workers, as long as there are both. One thread does it at a time, so that calls with a key start in their
    /// order; others leave word.
    pub(crate) fn hand_over(self: &Arc<Self>) {
        if self.handing.swap(AGAIN, Ordering::AcqRel) != IDLE {
            return;
        }
        loop {
            self.handing.store(RUNNING, Ordering::Release);
            while let Some((ticket, claim)) = self.next_waiting() {
                match self.start(&ticket, &claim) {
                    Ok(pending) => ticket.handover.resolve(Ok(pending)),
                    Err(error) => ticket.handover.resolve(Err(error)),
                }
            }
            self.break_cycles();
            let idle =
                self.handing.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire);
            if idle.is_ok() {
                return;
            }
        }
    }

    fn next_waiting(&self) -> Option<(Arc<Ticket>, Claim)> {
        let mut state = self.lock();
        let State { methods, peers, busy, .. } = &mut *state;
        // Among methods, the one who has waited longest; within one, the clients in turn.
        let ticket = busy
            .iter()
            .filter_map(|name| {
                let method = methods.get(name)?;
                method.waiting.next(|ticket| {
                    method.providers.iter().any(|provider| {
                        ticket.may_go_to(provider)
                            && peers
                                .get(&provider.peer)
                                .is_some_and(|peer| peer.has_room(ticket.number))
                    })
                })
            })
            .min_by_key(|ticket| ticket.number)?;
        let claim = state.claim(&ticket, self.settings.policy)?;
        state.take_out(&ticket);
        Some((ticket, claim))
    }

    /// Ends the calls whose deadline passed while they waited; returns when to look again.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let (expired, next) = {
            let mut state = self.lock();
            let names: Vec<Arc<str>> = state.busy.iter().cloned().collect();
            let mut expired = Vec::new();
            for name in names {
                let Some(method) = state.methods.get_mut(&name) else { continue };
                expired.append(
                    &mut method.waiting.take(|ticket| ticket.due().is_some_and(|due| due <= now)),
                );
                if method.waiting.is_empty() {
                    state.busy.remove(&name);
                }
            }
            let waiting = state.busy.iter().filter_map(|name| state.methods.get(name));
            let next = waiting
                .flat_map(|method| method.waiting.iter().filter_map(|ticket| ticket.due()))
                .min();
            (expired, next)
        };
        for ticket in expired {
            ticket.handover.resolve(Err(self::expired()));
        }
        next
    }
}

/// Ends the call that had to leave a full line; not under the lock, for its caller is told.
fn give_way<C>((claim, displaced): (C, Option<Displaced>)) -> C {
    if let Some((ticket, error)) = displaced {
        ticket.handover.resolve(Err(error));
    }
    claim
}

impl State {
    /// The full name of the method that a client means, and what is counted of it.
    pub(crate) fn resolve(
        &mut self,
        client: Number,
        name: &str,
        shape: Shape,
    ) -> Result<(Arc<str>, Arc<Tally>), Error> {
        let full = match self.methods.get_key_value(name) {
            Some((full, _)) => full.clone(),
            None => match self.resolve_bare(client, name) {
                Ok(full) => full,
                Err(error) => self.guess(client, name).unwrap_or(Err(error))?,
            },
        };
        if let Some(peer) = self.peers.get(&client) {
            peer.standing().call(&full)?;
        }
        let Method { offer, guessed, tally, .. } = &self.methods[&full];
        if offer.info.shape != shape && !guessed {
            return Err(Error::invalid(format!(
                "{full} {}, but it was called as if it {}",
                offer.info.shape.says(),
                shape.says()
            )));
        }
        Ok((full, tally.clone()))
    }

    /// Which streams a method has that is called by its full name, or by a last part that is the only one.
    pub(crate) fn shape(&self, name: &str) -> Option<Shape> {
        let of = |name: &str| self.methods.get(name).map(|method| method.offer.info.shape);
        of(name).or_else(|| of(&self.resolve_bare(0, name).ok()?))
    }

    fn resolve_bare(&self, client: Number, name: &str) -> Result<Arc<str>, Error> {
        let want = self.peers.get(&client).and_then(|peer| peer.want.as_deref());
        if let Some(want) = want {
            let scoped = [want, ".", name].concat();
            if let Some((full, _)) = self.methods.get_key_value(&*scoped) {
                return Ok(full.clone());
            }
        }
        let empty = std::collections::BTreeSet::new();
        let candidates = self.bare.get(name).unwrap_or(&empty);
        if candidates.len() == 1 {
            return candidates.first().cloned().ok_or_else(|| no_worker(name));
        }
        // Those that nobody serves now count only where there are no others.
        let is_served =
            |name: &&Arc<str>| self.methods.get(*name).is_some_and(|method| !method.is_away());
        let served: Vec<&Arc<str>> = candidates.iter().filter(is_served).collect();
        let candidates = if served.is_empty() { candidates.iter().collect() } else { served };
        match candidates.as_slice() {
            [only] => Ok((*only).clone()),
            [] => {
                let near = similar(name, self.methods.keys().map(|name| &**name));
                let hint = match (&*near, &want) {
                    ([], Some(want)) => format!("; is the service \"{want}\" running?"),
                    ([], None) => "; `procall ls` shows what is there".to_owned(),
                    (names, _) => format!("; did you mean {}?", names.join(" or ")),
                };
                Err(Error::new(ErrorCode::NotFound, format!("there is no method \"{name}\"{hint}"))
                    .with_candidates(near))
            }
            several => Err(Error::new(
                ErrorCode::NotFound,
                format!("\"{name}\" could be one of {} methods; use a full name", several.len()),
            )
            .with_candidates(several.iter().take(8).map(|name| name.to_string()).collect())),
        }
    }

    /// Whom `to` names: an id, a name, or the address of a TCP peer.
    pub(crate) fn named(&self, to: &str) -> Option<Number> {
        let known = self.ids.get(to).or_else(|| self.names.get(to)).copied();
        known.or_else(|| {
            let found = self.peers.values().find(|peer| *peer.facts.address == *to);
            found.map(|peer| peer.number)
        })
    }

    /// The only worker that a call may go to, if there is such.
    fn aim(&mut self, method: &Arc<str>, wishes: &Wishes<'_>) -> Result<Aim, Error> {
        if let Some(to) = wishes.to {
            let only = self.named(to).ok_or_else(|| self.nobody(to))?;
            return Ok(Aim { key: None, only: Some(only) });
        }
        let Some(key) = wishes.key else { return Ok(Aim::default()) };
        let Some(entry) = self.methods.get(method) else { return Err(no_worker(method)) };
        let hash = self.pins.hash(&entry.offer.service, key);
        if let Some(pinned) = self.pins.find(hash) {
            let drained = self.peers.get(&pinned).map(|peer| peer.drained.is_some());
            if drained == Some(false) {
                return Ok(Aim { key: Some(hash), only: Some(pinned) });
            }
            self.pins.remove(hash);
            // Who is being drained finishes what it has of this key; what comes now goes to another.
            if drained.is_none() {
                return Err(Error::new(
                    ErrorCode::WorkerLost,
                    "the worker was lost to which the calls with this key went; the next one goes to another",
                )
                .with_executed(Executed::No));
            }
        }
        let serving = entry.providers.iter().map(|provider| provider.peer);
        let stays = |peer: &Number| self.peers.get(peer).is_some_and(|peer| peer.drained.is_none());
        let home = self.pins.home(hash, serving.filter(stays));
        let Some(home) = home else {
            return match self.sleepers.contains_key(&entry.offer.service) || wishes.wait {
                // It is given a home once there are workers to choose from.
                true => Ok(Aim::default()),
                false => Err(no_worker(method)),
            };
        };
        self.pins.insert(hash, home);
        Ok(Aim { key: Some(hash), only: Some(home) })
    }

    pub(crate) fn nobody(&self, to: &str) -> Error {
        let near = similar(to, self.names.keys().map(|name| &**name));
        let hint = match &*near {
            [] => "; `procall ps` shows who is there".to_owned(),
            names => format!("; did you mean {}?", names.join(" or ")),
        };
        Error::new(ErrorCode::NotFound, format!("nobody here is called \"{to}\"{hint}"))
            .with_candidates(near)
    }

    /// A slot for a call that nobody stands before; calls with a key always take their turn in the line.
    fn claim_at_once(&mut self, ticket: &Ticket, policy: Policy) -> Option<Claim> {
        let Self { methods, peers, .. } = self;
        let method = methods.get_mut(&ticket.method)?;
        if ticket.key.is_some() || !method.waiting.is_empty() {
            return None;
        }
        Self::claim_of(method, peers, ticket, policy)
    }

    fn claim(&mut self, ticket: &Ticket, policy: Policy) -> Option<Claim> {
        let Self { methods, peers, .. } = self;
        Self::claim_of(methods.get_mut(&ticket.method)?, peers, ticket, policy)
    }

    fn claim_of(
        method: &mut Method,
        peers: &mut Peers,
        ticket: &Ticket,
        policy: Policy,
    ) -> Option<Claim> {
        let provider = method.pick(ticket, peers, policy)?;
        let peer = peers.get_mut(&provider.peer)?;
        peer.in_flight += 1;
        peer.calls += 1;
        Some(Claim {
            connection: peer.connection.clone(),
            worker: peer.name.clone(),
            inside: peer.facts.is_own(),
            seat: peer.seat.clone(),
            provider,
        })
    }

    /// Takes a call out of its line.
    pub(super) fn take_out(&mut self, ticket: &Ticket) -> bool {
        let Some(method) = self.methods.get_mut(&ticket.method) else { return false };
        let found = method.waiting.remove(ticket).is_some();
        if method.waiting.is_empty() {
            self.busy.remove(&ticket.method);
        }
        found
    }

    /// Puts a name among those that can be found by their last part.
    pub(super) fn note_bare(&mut self, full: &Arc<str>) {
        self.bare.entry(last_part(full).into()).or_default().insert(full.clone());
    }
}

pub(super) fn no_version(ticket: &Ticket) -> Error {
    let (wanted, name) = (ticket.version().unwrap_or_default(), &ticket.method);
    Error::new(ErrorCode::NoWorker, format!("nobody serves version {wanted} of \"{name}\" now"))
}

pub(super) fn no_worker(method: &str) -> Error {
    Error::new(
        ErrorCode::NoWorker,
        format!("nobody serves \"{method}\" now; start its service, or let the call wait for it"),
    )
}

fn drained(method: &str) -> Error {
    Error::new(
        ErrorCode::Unavailable,
        format!("whoever serves \"{method}\" is being drained, and takes no new calls"),
    )
    .with_executed(Executed::No)
}

/// The caller's side of a call that waits. Dropping it takes the call out of the line.
struct Waiting {
    core: Arc<Core>,
    ticket: Arc<Ticket>,
    over: bool,
}

impl Queued for Waiting {
    fn poll_started(&mut self, waker: &Waker) -> Poll<Result<Pending, Error>> {
        let polled = self.ticket.handover.poll(waker);
        self.over |= polled.is_ready();
        polled
    }

    fn cancel(&self) {
        if self.core.lock().take_out(&self.ticket) {
            let error = Error::new(
                ErrorCode::Cancelled,
                "the call was cancelled while it waited for a worker",
            );
            self.ticket.handover.resolve(Err(error.with_executed(Executed::No)));
        } else {
            self.ticket.handover.cancel();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over {
            self.ticket.handover.abandon();
            self.core.lock().take_out(&self.ticket);
        }
    }
}
