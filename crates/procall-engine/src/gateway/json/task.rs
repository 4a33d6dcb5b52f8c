//! The task of one link: it moves what comes from the peer to the engine, and back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use procall::json::{JsonId, JsonMessage};
use procall::{Connection, Readiness};
use slab::Slab;
use tokio::time::{Instant, Sleep};

use super::Counters;
use super::inbound::Inbound;
use super::inbox::Inbox;
use super::names::Names;
use super::object::Object;
use super::outbound::{Asked, Asker, Outbound};
use super::peer::Peer;
use super::read::Received;
use super::ready::{Key, Ready};
use super::register::Registering;
use super::wire::Wire;
use crate::gateway::Host;

/// Steps in one go, before others of the runtime get their turn.
const ROUND: usize = 128;

/// A JSON peer's link on one side, its connection to the engine on the other.
///
/// All that has news is dealt with step by step, and only while the peer reads what is sent to it: then neither more is read from it, nor
/// taken from the engine, so a slow reader fills its own bounded queue and nobody else's.
pub(super) struct Gate {
    pub(super) wire: Wire,
    readiness: Readiness,
    pub(super) native: Connection,
    pub(super) peer: Peer,
    pub(super) inbox: Arc<Inbox>,
    pub(super) ready: Arc<Ready>,
    /// What has news and was not looked at yet.
    pub(super) keys: VecDeque<Key>,
    /// The peer's calls, and where they are by the peer's ids.
    pub(super) calls: Slab<Outbound>,
    pub(super) by_id: HashMap<JsonId, usize>,
    /// Calls to the peer, and where they are by the ids that it knows.
    pub(super) served: Slab<Inbound>,
    pub(super) by_uuid: HashMap<String, usize>,
    /// Calls that were given up while the peer worked on them, the oldest first.
    pub(super) late: VecDeque<String>,
    pub(super) late_ids: HashSet<String>,
    pub(super) registering: Option<Registering>,
    /// The parameters of what the peer serves, where it takes them by name only.
    pub(super) names: Names,
    /// The rest of a batch.
    backlog: VecDeque<JsonMessage>,
    pub(super) counters: Counters,
    /// What of that the engine was told.
    told: Counters,
    host: Arc<dyn Host>,
    /// The peer has asked for the end.
    pub(super) over: bool,
    /// The peer knows that the engine goes away.
    told_away: bool,
    /// Whose turn it is: the engine's, or the peer's.
    engines_turn: bool,
    /// After how long a silent peer is let go; none for those that may be silent.
    idle: Option<Duration>,
    /// When the peer was last heard or answered.
    pub(super) heard: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a link begins with.
pub(super) struct Parts {
    pub(super) wire: Wire,
    pub(super) readiness: Readiness,
    pub(super) native: Connection,
    pub(super) inbox: Arc<Inbox>,
    pub(super) ready: Arc<Ready>,
    pub(super) idle: Option<Duration>,
    pub(super) host: Arc<dyn Host>,
}

impl Gate {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { wire, readiness, native, inbox, ready, idle, host } = parts;
        Self {
            wire,
            readiness,
            native,
            peer: Peer::new(),
            inbox,
            ready,
            keys: VecDeque::new(),
            calls: Slab::new(),
            by_id: HashMap::new(),
            served: Slab::new(),
            by_uuid: HashMap::new(),
            late: VecDeque::new(),
            late_ids: HashSet::new(),
            registering: None,
            names: Names::new(),
            backlog: VecDeque::new(),
            counters: Counters::default(),
            told: Counters::default(),
            host,
            over: false,
            told_away: false,
            engines_turn: false,
            timer: idle.map(|idle| Box::pin(tokio::time::sleep(idle))),
            idle,
            heard: Instant::now(),
        }
    }

    fn is_roadmap(&self) -> bool {
        self.idle.is_some()
    }

    /// Deals with one piece of news; false when there is none.
    fn step(&mut self) -> bool {
        if self.keys.is_empty() {
            self.ready.take(&mut self.keys);
        }
        if let Some(key) = self.keys.pop_front() {
            match key {
                Key::Call(place) => self.drive_call(place),
                Key::Served(place) => self.drive_served(place),
                Key::Registration => self.drive_registration(),
            }
            return true;
        }
        self.engines_turn = !self.engines_turn;
        (self.engines_turn && self.step_engine())
            || self.step_peer()
            || (!self.engines_turn && self.step_engine())
    }

    fn step_engine(&mut self) -> bool {
        match self.inbox.take() {
            Some(arrival) => {
                self.forward(arrival);
                true
            }
            None => false,
        }
    }

    fn step_peer(&mut self) -> bool {
        // What comes behind a registration is meant for the time after it.
        if self.over || self.registering.is_some() {
            return false;
        }
        if let Some(message) = self.backlog.pop_front() {
            self.handle(message);
            return true;
        }
        let roadmap = self.is_roadmap();
        let received = match self.wire.receive(|bytes| Received::read(bytes, roadmap)) {
            Ok(Some(received)) => received,
            Ok(None) => return false,
            Err(_) => {
                // Whatever ended it: the peer is gone.
                self.over = true;
                return true;
            }
        };
        self.heard = Instant::now();
        self.take(received);
        true
    }

    /// Deals with one message of the link.
    pub(super) fn take(&mut self, received: Received) {
        match received {
            Received::Messages(messages) => self.backlog.extend(messages),
            Received::Request(request) => {
                let asker = Asker::Roadmap(request.asker);
                match request.call {
                    Ok(call) => {
                        let (params, options) = (Ok(call.params), call.options);
                        self.call(asker, Asked { method: call.method, params, options });
                    }
                    Err(error) => self.answer(&asker, Err(&error)),
                }
            }
            Received::Refused(refusal) => self.refused(&refusal),
        }
    }

    /// Tells a peer that knows our own form to send no more calls.
    fn tell_away(&mut self) {
        if self.peer.hello && !self.told_away && self.native.is_going_away() {
            self.told_away = true;
            self.wire.send(Object::message("goaway").uint("step", 1).finish());
        }
    }

    /// Whether the peer was silent for too long, with nothing under way.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(idle), Some(timer)) = (self.idle, &mut self.timer) else { return Poll::Pending };
        while timer.as_mut().poll(cx).is_ready() {
            let due = self.heard + idle;
            if self.calls.is_empty() && due <= Instant::now() {
                return Poll::Ready(());
            }
            // While calls are under way, it is the engine that the peer waits for.
            timer.as_mut().reset(due.max(Instant::now() + idle / 2));
        }
        Poll::Pending
    }

    /// Hangs up on both sides, and says what was counted.
    fn end(&mut self) -> Counters {
        self.wire.close();
        self.native.close();
        self.report();
        self.counters
    }

    /// Tells the engine what was counted since it was told last.
    fn report(&mut self) {
        self.counters.dropped = self.inbox.dropped();
        let more = self.counters.since(self.told);
        if more != Counters::default() {
            self.told = self.counters;
            self.host.strayed(more);
        }
    }
}

impl Future for Gate {
    type Output = Counters;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Counters> {
        let this = &mut *self;
        this.ready.watch(cx.waker());
        let mut steps = ROUND;
        loop {
            let mut more = true;
            while more && steps > 0 && this.wire.has_room() {
                more = this.step();
                steps -= 1;
            }
            this.tell_away();
            let had_room = this.wire.has_room();
            if this.wire.flush().is_err() || this.over {
                return Poll::Ready(this.end());
            }
            if this.native.is_closed() && (!more || !had_room) {
                // All that was under way has been answered, or the peer does not listen.
                return Poll::Ready(this.end());
            }
            if steps == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if more && this.wire.has_room() {
                continue;
            }
            match this.readiness.poll_news(cx) {
                Poll::Ready(Ok(())) => this.wire.note_news(),
                // The runtime is shutting down.
                Poll::Ready(Err(_)) => return Poll::Ready(this.end()),
                Poll::Pending => break,
            }
        }
        if this.poll_idle(cx).is_ready() {
            return Poll::Ready(this.end());
        }
        this.report();
        Poll::Pending
    }
}
