//! Peers come and go.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use procall::transport::Link;
use procall::{Config, Connection, Error, ErrorCode, RawService, Side};

use super::Core;
use super::peer::{Number, Peer};
use super::seat::Seat;
use crate::events::Event;
use crate::facts::Facts;

impl Core {
    /// A link that somebody opened: from now on there is a peer.
    pub(crate) fn join(
        self: &Arc<Self>,
        link: Box<dyn Link>,
        side: Side,
        facts: Facts,
    ) -> Result<Connection, Error> {
        self.join_numbered(link, side, facts).map(|(_, connection)| connection)
    }

    /// The same, with the number of the peer.
    pub(crate) fn join_numbered(
        self: &Arc<Self>,
        link: Box<dyn Link>,
        side: Side,
        facts: Facts,
    ) -> Result<(Number, Connection), Error> {
        let number = self.number();
        {
            let state = self.lock();
            if state.draining {
                return Err(Error::new(ErrorCode::Unavailable, "the engine is stopping"));
            }
            if state.peers.len() >= self.settings.peers {
                return Err(Error::new(
                    ErrorCode::Overloaded,
                    format!("{} peers are connected already", self.settings.peers),
                ));
            }
        }
        let id: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let config = Config {
            name: "engine".to_owned(),
            features: vec![procall::ROUTER.to_owned()],
            pid: std::process::id(),
            heartbeat: self.settings.heartbeat.clone(),
            ..Config::default()
        };
        let service = Arc::new(PeerService { core: self.clone(), number });
        // The task that reads the link waits for the lock: it finds the peer when it gets it.
        let mut state = self.lock();
        let connection = procall::serve_raw(link, side, config, service)?;
        let now = Instant::now();
        let peer = Peer {
            number,
            id: id.clone(),
            name: id.clone(),
            owns_name: false,
            facts,
            connection: connection.clone(),
            want: None,
            since: now,
            last_seen: now,
            registration: None,
            methods: HashSet::new(),
            slots: 0,
            in_flight: 0,
            seat: Arc::new(Seat::new(self.this.clone(), number)),
            calls: 0,
            suspected: false,
            going: false,
            identity: None,
            told_later: false,
            ready: false,
        };
        state.ids.insert(id.clone(), number);
        state.names.insert(id, number);
        state.peers.insert(number, peer);
        Ok((number, connection))
    }

    /// Takes note of what has changed about a peer.
    fn look(self: &Arc<Self>, number: Number, connection: &Connection) {
        if connection.is_closed() {
            return self.leave(number, connection);
        }
        let Some(info) = connection.peer() else { return };
        let mut told = Vec::new();
        let mut wants = None;
        let mut claimed = None;
        {
            let mut state = self.lock();
            let Some(peer) = state.peers.get_mut(&number) else { return };
            if !std::mem::replace(&mut peer.ready, true) {
                peer.want = (!info.want.is_empty()).then(|| info.want.as_str().into());
                wants = peer.want.clone();
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
        if let Some(want) = wants {
            self.tell(number, connection, &want);
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
            let who = state.who(number);
            let Some(peer) = state.peers.remove(&number) else { return };
            state.ids.remove(&peer.id);
            if state.names.get(&peer.name) == Some(&number) {
                state.names.remove(&peer.name);
            }
            let mut orphans = Vec::new();
            for name in &peer.methods {
                state.withdraw_from(number, name, true, &mut orphans);
            }
            let claimed = state.give_up_identity(&peer);
            (who, orphans, claimed, state.wanted_sleepers(&peer.methods))
        };
        Self::refuse(orphans);
        wanted.iter().for_each(|wanted| wanted.notify_one());
        if let Some(claimed) = claimed {
            self.recognise(claimed);
        }
        if let Some(peer) = left {
            self.events.tell(Event::Left { peer, why });
        }
    }
}

/// One peer's side of the engine.
struct PeerService {
    core: Arc<Core>,
    number: Number,
}

impl RawService for PeerService {
    fn calls(&self, connection: &Connection, batch: &procall::Batch) {
        let mut answers = Vec::new();
        for incoming in batch.iter() {
            match incoming.id {
                None => self.core.notified(self.number, batch, incoming),
                Some(id) => match self.core.own(self.number, batch.method(incoming)) {
                    Some(answer) => answers.push((id, answer)),
                    None => {
                        let taken = self.core.take(self.number, connection, batch, incoming);
                        answers.extend(taken.err().map(|error| (id, Err(error))));
                    }
                },
            }
        }
        if !answers.is_empty() {
            connection.answer_all(&mut answers);
        }
    }

    fn registers(&self, connection: &Connection) {
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
