//! Peers come and go.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use procall::transport::Link;
use procall::{Config, Connection, Error, ErrorCode, RawService, Side};

use super::Core;
use super::peer::{Number, Peer};
use super::registering::Pace;
use super::seat::Seat;
use crate::events::Event;
use crate::facts::{Facts, Speaks};
use crate::tokens::Pass;

/// A peer that has just come.
pub(crate) struct Joined {
    pub(crate) number: Number,
    pub(crate) connection: Connection,
}

impl Core {
    /// Whether there is room for another peer.
    ///
    /// # Errors
    ///
    /// OVERLOADED when there are too many, of this user or address or of all; UNAVAILABLE when the engine is stopping.
    pub(crate) fn check_room(&self, facts: &Facts) -> Result<(), Error> {
        let state = self.lock();
        if state.draining {
            return Err(Error::new(ErrorCode::Unavailable, "the engine is stopping"));
        }
        let each = state.peers.values().filter(|peer| peer.facts.whose() == facts.whose()).count();
        if facts.speaks != Speaks::Inside && each >= self.settings.peers_each {
            return Err(Error::new(
                ErrorCode::Overloaded,
                format!("{each} peers of this user or address are connected already"),
            ));
        }
        if state.peers.len() >= self.settings.peers {
            return Err(Error::new(
                ErrorCode::Overloaded,
                format!("{} peers are connected already", self.settings.peers),
            ));
        }
        Ok(())
    }

    /// A link that somebody opened: from now on there is a peer.
    pub(crate) fn join(
        self: &Arc<Self>,
        link: Box<dyn Link>,
        side: Side,
        facts: Facts,
    ) -> Result<Joined, Error> {
        let number = self.number();
        self.check_room(&facts)?;
        let id: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let config = Config {
            name: "engine".to_owned(),
            features: vec![procall::ROUTER.to_owned()],
            pid: std::process::id(),
            secrets: self.doors.secrets(facts.pass.is_none()),
            heartbeat: self.settings.heartbeat.clone(),
            compression: self.settings.compression,
            ..Config::default()
        };
        let service =
            Arc::new(PeerService { core: self.clone(), number, known: AtomicBool::new(false) });
        // The task that reads the link waits for the lock: it finds the peer when it gets it.
        let mut state = self.lock();
        let connection = procall::serve_raw(link, side, config, service)?;
        let now = Instant::now();
        let peer = Peer {
            number,
            id: id.clone(),
            name: id.clone(),
            owns_name: false,
            // Before the handshake nothing can be asked for; after it, a token that was shown counts.
            pass: facts.pass.clone().unwrap_or_else(Pass::empty),
            want: facts.want.as_deref().map(Into::into),
            facts,
            connection: connection.clone(),
            since: now,
            pace: Pace::new(now),
            last_seen: now,
            registration: None,
            quarantined: Vec::new(),
            methods: HashSet::new(),
            slots: 0,
            in_flight: 0,
            seat: Arc::new(Seat::new(self.this.clone(), number)),
            calls: 0,
            suspected: false,
            going: false,
            drained: None,
            identity: None,
            ready: false,
        };
        state.ids.insert(id.clone(), number);
        state.names.insert(id, number);
        state.peers.insert(number, peer);
        Ok(Joined { number, connection })
    }

    /// Takes note of what has changed about a peer.
    fn look(self: &Arc<Self>, number: Number, connection: &Connection) {
        if connection.is_closed() {
            return self.leave(number, connection);
        }
        let Some(info) = connection.peer() else { return };
        let mut told = Vec::new();
        let mut wants = false;
        let mut claimed = None;
        {
            let mut state = self.lock();
            let Some(peer) = state.peers.get_mut(&number) else { return };
            if !std::mem::replace(&mut peer.ready, true) {
                if let Some(pass) = info.secret.and_then(|secret| self.doors.pass(secret)) {
                    peer.pass = pass;
                }
                if !info.want.is_empty() {
                    peer.want = Some(info.want.as_str().into());
                    wants = true;
                }
                let label = if info.name.is_empty() { None } else { Some(info.name.clone()) };
                if let Some(label) = label {
                    let name = state.free_label(&label, number);
                    state.rename(number, &name, false);
                }
                told.extend(state.who(number).map(|peer| Event::Joined { peer }));
                if self.memory.is_some() {
                    state.ask_for_identity(number, &info.id);
                    claimed = state.claim_identity(number);
                    if claimed.is_none() && state.is_impostor(number) {
                        let why = format!(
                            "the id \"{}\" is that of another, who is connected",
                            info.id.escape_debug()
                        );
                        told.extend(state.who(number).map(|peer| Event::Refused { peer, why }));
                    }
                }
            }
            let Some(peer) = state.peers.get_mut(&number) else { return };
            let suspected = connection.is_suspected();
            let going = connection.is_going_away();
            let before = (peer.suspected, peer.going);
            (peer.suspected, peer.going) = (suspected, going || peer.going);
            if let Some(peer) = state.who(number) {
                if suspected && !before.0 {
                    claimed = claimed.or_else(|| state.claim_after(number));
                    told.push(Event::Suspected { peer: peer.clone() });
                }
                if !suspected && before.0 {
                    told.push(Event::Recovered { peer: peer.clone() });
                }
                if going && !before.1 {
                    told.push(Event::GoingAway { peer });
                }
            }
        }
        told.into_iter().for_each(|event| self.events.tell(event));
        if wants {
            self.tell(number);
        }
        if let Some(claimed) = claimed {
            self.recognise(claimed);
        }
        // One that is heard again has room.
        self.hand_over();
    }

    /// Nothing of a peer is left, whose connection is over. Nothing happens when it has gone already.
    pub(crate) fn leave(self: &Arc<Self>, number: Number, connection: &Connection) {
        let why =
            connection.closed_reason().map_or_else(String::new, |error| error.message().to_owned());
        let (left, orphans, claimed, wanted) = {
            let mut state = self.lock();
            // Of one that was never let in nobody has heard.
            let who = state.peers.get(&number).filter(|peer| peer.ready);
            let who = who.and_then(|_| state.who(number));
            let names = state.withdraw(number);
            let Some(peer) = state.peers.remove(&number) else { return };
            state.ids.remove(&peer.id);
            if state.names.get(&peer.name) == Some(&number) {
                state.names.remove(&peer.name);
            }
            let orphans = state.strand(number, &names);
            let claimed = state.give_up_identity(&peer);
            let wanted = state.wanted_sleepers(&names);
            (who, orphans, claimed, wanted)
        };
        Self::refuse(orphans);
        wanted.iter().for_each(|wanted| wanted.notify_one());
        if let Some(claimed) = claimed {
            self.recognise(claimed);
        }
        if let Some(peer) = left {
            self.events.tell(Event::Left { peer, why });
        }
        // Who is left for a call that waits may be busy with calls that wait for it.
        self.break_cycles();
    }
}

/// One peer's side of the engine.
struct PeerService {
    core: Arc<Core>,
    number: Number,
    /// What the peer says of itself was looked at.
    known: AtomicBool,
}

impl PeerService {
    /// The first calls and registrations may come in the same turn as the greeting, before anybody was told of that.
    fn look_first(&self, connection: &Connection) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.core.look(self.number, connection);
        }
    }
}

impl RawService for PeerService {
    fn calls(&self, connection: &Connection, batch: &procall::Batch) {
        self.look_first(connection);
        let mut answers = Vec::new();
        for incoming in batch.iter() {
            match incoming.id {
                None => self.core.notified(self.number, batch, incoming),
                Some(id) => match self.core.own(self.number, batch.method(incoming)) {
                    Some(answer) => answers.push((id, answer)),
                    None => {
                        let taken = self.core.take(self.number, connection, batch, incoming);
                        answers.extend(taken.err().map(|error| {
                            self.core.refused(batch.method(incoming), &error);
                            (id, Err(error))
                        }));
                    }
                },
            }
        }
        if !answers.is_empty() {
            connection.answer_all(&mut answers);
        }
    }

    fn registers(&self, connection: &Connection) {
        self.look_first(connection);
        if let Some((id, registration)) = connection.take_registration() {
            let answer =
                registration.and_then(|registration| self.core.register(self.number, registration));
            connection.answer_registration(id, answer);
        }
    }

    fn changed(&self, connection: &Connection) {
        self.core.look(self.number, connection);
    }
}
