//! Calls that would wait for themselves: every slot of those who could take one is held by calls that wait for it.
//!
//! Calls of a chain keep their slots until the innermost has its answer, so that such a call has nothing to hope for. Any other call ends by
//! itself. What is looked at is true of one moment: a call that has just got or given back its slot counts as somebody else's, and whoever
//! changes that looks again.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use procall::{Chain, Connection, Error, ErrorCode, Executed, Room, is_cycle};

use super::peer::Peer;
use super::{Core, State, Ticket};

impl State {
    /// Whether a call would wait for itself.
    pub(super) fn is_cycle(&self, ticket: &Ticket) -> bool {
        let Some(chain) = &ticket.chain else { return false };
        is_cycle(self.takers(ticket).map(|peer| room(peer, chain)))
    }

    /// Those who could take a call if they had room.
    fn takers<'a>(&'a self, ticket: &'a Ticket) -> impl Iterator<Item = &'a Peer> {
        let method = self.methods.get(&ticket.method);
        let providers = method.into_iter().flat_map(|method| &method.providers);
        providers
            .filter(|provider| ticket.may_go_to(provider))
            .filter_map(|provider| self.peers.get(&provider.peer))
            .filter(|peer| !peer.going && peer.takes(ticket.number))
    }
}

fn room(peer: &Peer, chain: &Chain) -> Room {
    let own = peer.connection.held_by(chain);
    Room { slots: peer.slots as usize, taken: peer.in_flight as usize, own }
}

impl Core {
    /// Ends the waiting calls that now wait for themselves: a worker has left, or takes fewer calls, or another one's call has ended.
    pub(super) fn break_cycles(&self) {
        let stuck = {
            let mut state = self.lock();
            let lines = state.busy.iter().filter_map(|name| state.methods.get(name));
            let chained = lines.flat_map(|method| method.waiting.chained());
            let stuck: Vec<Arc<Ticket>> =
                chained.filter(|ticket| state.is_cycle(ticket)).cloned().collect();
            for ticket in &stuck {
                state.take_out(ticket);
            }
            stuck
        };
        for ticket in stuck {
            ticket.handover.resolve(Err(self.cycle(&ticket)));
        }
    }

    /// The error of a call that would wait for itself.
    pub(super) fn cycle(&self, ticket: &Ticket) -> Error {
        let names = self.cycle_names(ticket);
        let message = format!(
            "no slot for \"{}\" will come free: calls that wait for this one hold all of them: {}",
            ticket.method,
            names.join(" → ")
        );
        Error::new(ErrorCode::Deadlock, message).with_executed(Executed::No).with_chain(names)
    }

    /// The calls of the cycle by their methods, from the outermost that holds a slot which this call wants, to itself. Calls that went
    /// another way than through here are named as the chain has them.
    fn cycle_names(&self, ticket: &Ticket) -> Vec<String> {
        let (calls, connections, wanted) = {
            let state = self.lock();
            let calls: Vec<Arc<Ticket>> = state.calls.values().filter_map(Weak::upgrade).collect();
            let connections: HashMap<Arc<str>, Connection> = state
                .peers
                .values()
                .map(|peer| (peer.name.clone(), peer.connection.clone()))
                .collect();
            let wanted: Vec<Arc<str>> =
                state.takers(ticket).map(|peer| peer.name.clone()).collect();
            (calls, connections, wanted)
        };
        let mut wants = false;
        let mut names = Vec::new();
        for call in ticket.chain.iter().flat_map(|chain| chain.calls()) {
            let known = calls.iter().find_map(|other| {
                let worker = other.chosen().worker.clone()?;
                let number = other.at_worker.load(Ordering::Acquire);
                let here = connections.get(&worker)?.is_named(call, number);
                here.then(|| (other.method.to_string(), worker))
            });
            wants |= known.as_ref().is_some_and(|(_, worker)| wanted.contains(worker));
            if wants {
                names.push(known.map_or_else(|| call.to_owned(), |(method, _)| method));
            }
        }
        names.push(ticket.method.to_string());
        names
    }
}
