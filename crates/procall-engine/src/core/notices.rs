//! What is sent without an answer, and what the engine itself answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use procall::{
    Batch, Body, CallOptions, Connection, Encoded, Error, Incoming, MethodInfo, Registration,
    Request,
};

use super::admission::RESERVED;
use super::method::Method;
use super::peer::Number;
use super::wishes::Wishes;
use super::{Core, State};
use crate::events::{Event, Oneself, as_json};

impl Core {
    /// Passes a notification on: to whom it names, to everybody, or to one who serves the method. Nobody hears of it when that fails.
    pub(crate) fn notified(&self, from: Number, batch: &Batch, incoming: &Incoming) {
        let wishes = Wishes::read(batch.meta(incoming));
        let method = batch.method(incoming);
        if method.starts_with(RESERVED) {
            // Those names do things to the engine and to pools, for which a right is needed that only calls are asked for.
            return;
        }
        let body = Body::new(incoming.encoding, batch.body(incoming));
        let (targets, meta) = {
            let mut state = self.lock();
            let Some(sender) = state.peers.get_mut(&from) else { return };
            sender.last_seen = std::time::Instant::now();
            let meta = wishes.sent(&sender.id);
            let allowed = state.allow_notice(from, method, &wishes);
            (allowed.map(|()| state.hearers(from, method, &wishes)), meta)
        };
        let targets = match targets {
            Ok(targets) => targets,
            Err(error) => {
                if self.events.is_watched()
                    && let Some(peer) = self.lock().who(from)
                {
                    self.events.tell(Event::Refused { peer, why: error.message().to_owned() });
                }
                return;
            }
        };
        for (connection, name) in targets {
            let options = CallOptions { meta: meta.clone(), ..CallOptions::default() };
            let request =
                Request { method: name.as_deref().unwrap_or(method), body: body.clone(), options };
            // At most once: a receiver that is gone or full misses it, and counts it if it can.
            let _ = connection.notify(request);
        }
        if wishes.broadcast && self.events.is_watched() {
            let who = self.lock().who(from);
            if let Some(peer) = who {
                let params = as_json(&Encoded::new(incoming.encoding, body.bytes().to_vec()));
                self.events.tell(Event::Notified { peer, method: method.to_owned(), params });
            }
        }
    }

    /// The answer to a call that is meant for the engine itself and depends on who asks; `None` for all others.
    pub(crate) fn own(&self, client: Number, method: &str) -> Option<Result<Encoded, Error>> {
        match method {
            "procall.ping" => Some(Ok(Encoded::NONE)),
            "procall.methods" => {
                let state = self.lock();
                let want = state.peers.get(&client).and_then(|peer| peer.want.clone());
                Some(Encoded::of(&state.registration(want.as_deref())))
            }
            "procall.engine.self" => {
                let who = {
                    let state = self.lock();
                    let left_out = state.peers.get(&client).map(|peer| peer.quarantined.clone());
                    let left_out = left_out.unwrap_or_default().into_iter();
                    let quarantined = left_out.map(|wrong| (wrong.path, wrong.message)).collect();
                    state.who(client).map(|peer| Oneself { peer, quarantined })
                };
                Some(Encoded::of(&who))
            }
            _ => None,
        }
    }
}

impl State {
    /// Whether a peer may send this.
    fn allow_notice(&self, from: Number, method: &str, wishes: &Wishes<'_>) -> Result<(), Error> {
        let Some(sender) = self.peers.get(&from) else { return Ok(()) };
        if wishes.broadcast && wishes.to.is_none() {
            return sender.standing().broadcast();
        }
        let full = self.full_name_of(method);
        sender.standing().call(full.as_deref().unwrap_or(method))
    }

    /// The full name of the one method that a notification means.
    fn full_name_of(&self, method: &str) -> Option<Arc<str>> {
        let full = self.methods.get_key_value(method).map(|(full, _)| full.clone());
        full.or_else(|| {
            let names = self.bare.get(method)?;
            (names.len() == 1).then(|| names.first().cloned())?
        })
    }

    /// Who is to hear a notification, and what they call its method.
    fn hearers(
        &mut self,
        from: Number,
        method: &str,
        wishes: &Wishes<'_>,
    ) -> Vec<(Connection, Option<String>)> {
        if let Some(to) = wishes.to {
            let peer = self.named(to).and_then(|number| self.peers.get(&number));
            return peer
                .map(|peer| (peer.connection.clone(), self.name_for(peer.number, method)))
                .into_iter()
                .collect();
        }
        if wishes.broadcast {
            let hearing = self
                .peers
                .values()
                .filter(|peer| peer.number != from && peer.facts.hears_broadcasts);
            return hearing.map(|peer| (peer.connection.clone(), None)).collect();
        }
        let Some(entry) = self.full_name_of(method).and_then(|full| self.methods.get(&full)) else {
            return Vec::new();
        };
        let mut serving: Vec<(u32, Connection, String)> = entry
            .providers
            .iter()
            .filter_map(|provider| {
                let peer = self.peers.get(&provider.peer).filter(|peer| peer.is_routed())?;
                Some((peer.in_flight, peer.connection.clone(), provider.offer.info.name.clone()))
            })
            .collect();
        if !wishes.all {
            serving.sort_by_key(|(in_flight, ..)| *in_flight);
            serving.truncate(1);
        }
        serving.into_iter().map(|(_, connection, name)| (connection, Some(name))).collect()
    }

    /// What a peer calls a method.
    fn name_for(&self, peer: Number, method: &str) -> Option<String> {
        self.methods.get(method)?.provider(peer).map(|provider| provider.offer.info.name.clone())
    }

    /// What there is: of one service, or of all.
    pub(crate) fn registration(&self, service: Option<&str>) -> Registration {
        let of_service = |method: &&Method| {
            service.is_none_or(|service| {
                *method.offer.service == *service
                    || method.name.strip_prefix(service).is_some_and(|rest| rest.starts_with('.'))
            })
        };
        let mut methods: BTreeMap<&str, MethodInfo> = BTreeMap::new();
        let mut version = "";
        for method in self.methods.values().filter(of_service) {
            let starts = self.sleepers.contains_key(&method.offer.service);
            if method.guessed || (method.is_away() && !starts && service.is_none()) {
                continue;
            }
            version = &method.offer.version;
            methods.insert(&method.name, method.offer.full_info(&method.name));
        }
        Registration {
            name: service.unwrap_or("engine").to_owned(),
            version: service.map(|_| version.to_owned()).unwrap_or_default(),
            methods: methods
                .into_values()
                .filter(|method| service.is_some() || !method.name.starts_with("procall."))
                .collect(),
            ..Registration::default()
        }
    }
}

impl Core {
    /// For the engine's own lists.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.lock())
    }

    /// Ends everything: new calls are refused from now on.
    pub(crate) fn begin_drain(&self) -> Vec<Connection> {
        // Else those who follow them would keep the engine for as long as a drain may take.
        self.events.end();
        let mut state = self.lock();
        state.draining = true;
        state.peers.values().map(|peer| peer.connection.clone()).collect()
    }

    /// Calls under way through the engine.
    pub(crate) fn under_way(&self) -> u32 {
        self.lock().peers.values().map(|peer| peer.in_flight).sum()
    }
}
