//! A method, and who serves it.

use std::sync::Arc;

use procall::{MethodInfo, Validator};

use super::line::Line;
use super::peer::Number;
use super::{Peers, Tally, Ticket};
use crate::settings::Policy;

/// A method by its full name.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) name: Arc<str>,
    pub(crate) providers: Vec<Provider>,
    /// As it was last told; kept while nobody serves it.
    pub(crate) offer: Arc<Offer>,
    pub(crate) waiting: Line,
    pub(crate) tally: Arc<Tally>,
    /// Nobody has told of it yet: whether there is such a method shows when its service has started.
    pub(crate) guessed: bool,
    /// The peer that was picked last.
    last: Number,
}

/// One who serves a method.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) peer: Number,
    pub(crate) offer: Arc<Offer>,
}

/// What a worker says of a method.
#[derive(Debug)]
pub(crate) struct Offer {
    /// As the worker calls it.
    pub(crate) info: MethodInfo,
    pub(crate) service: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) params: Option<Validator>,
    pub(crate) result: Option<Validator>,
}

impl Offer {
    pub(crate) fn full_info(&self, name: &str) -> MethodInfo {
        MethodInfo { name: name.to_owned(), ..self.info.clone() }
    }
}

impl Method {
    pub(crate) fn new(name: Arc<str>, offer: Arc<Offer>) -> Self {
        Self {
            name,
            providers: Vec::new(),
            offer,
            waiting: Line::default(),
            tally: Arc::default(),
            guessed: false,
            last: 0,
        }
    }

    /// Nobody serves it now.
    pub(crate) fn is_away(&self) -> bool {
        self.providers.is_empty()
    }

    pub(crate) fn provider(&self, peer: Number) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.peer == peer)
    }

    /// The worker with room that a call may go to and the policy wants.
    pub(crate) fn pick(
        &mut self,
        ticket: &Ticket,
        peers: &Peers,
        policy: Policy,
    ) -> Option<Provider> {
        let fits = |provider: &&Provider| {
            ticket.may_go_to(provider)
                && peers.get(&provider.peer).is_some_and(|peer| peer.has_room(ticket.number))
        };
        let load = |provider: &&Provider| {
            peers.get(&provider.peer).map(|peer| (peer.in_flight, peer.slots, peer.calls))
        };
        let fitting = self.providers.iter().filter(fits);
        let picked = match policy {
            // Of equal ones the one whose turn it is, so that idle workers all get some.
            Policy::IdleFirst => fitting.min_by_key(|provider| {
                (
                    load(provider).map(|(in_flight, ..)| in_flight),
                    provider.peer <= self.last,
                    provider.peer,
                )
            }),
            Policy::LeastLoaded => fitting.min_by(|a, b| {
                let (Some(a), Some(b)) = (load(a), load(b)) else {
                    return std::cmp::Ordering::Equal;
                };
                let shares =
                    (u64::from(a.0) * u64::from(b.1)).cmp(&(u64::from(b.0) * u64::from(a.1)));
                shares.then(a.2.cmp(&b.2))
            }),
            Policy::RoundRobin => {
                fitting.min_by_key(|provider| (provider.peer <= self.last, provider.peer))
            }
        }?
        .clone();
        self.last = picked.peer;
        Some(picked)
    }
}
