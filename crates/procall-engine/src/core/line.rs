//! Calls that wait for a worker of one method: first come first served for each client, and the clients in turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use procall::{Error, ErrorCode};

use super::Ticket;
use super::peer::Number;

/// Longest pause that a full line asks for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);
/// What a full line asks callers to wait for each call that stands in it.
const PAUSE_EACH: Duration = Duration::from_millis(1);

/// Calls that wait.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The clients in the order of their turns.
    turns: VecDeque<Number>,
    clients: HashMap<Number, VecDeque<Arc<Ticket>>>,
    len: usize,
    /// Of those, calls that others wait for.
    chained: usize,
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a call: behind those of its client that came before it, and before those that came later, when it is put back.
    pub(crate) fn push(&mut self, ticket: Arc<Ticket>) {
        let client = ticket.client;
        self.chained += usize::from(ticket.chain.is_some());
        let own = self.clients.entry(client).or_default();
        if own.is_empty() {
            self.turns.push_back(client);
        }
        let behind = own.iter().rposition(|other| other.number < ticket.number);
        own.insert(behind.map_or(0, |at| at + 1), ticket);
        self.len += 1;
    }

    /// The next call that fits. Of one client and one key nobody is overtaken.
    pub(crate) fn next(&self, mut fits: impl FnMut(&Ticket) -> bool) -> Option<Arc<Ticket>> {
        self.turns.iter().find_map(|client| {
            let own = self.clients.get(client)?;
            let mut refused: Option<u64> = None;
            own.iter()
                .find(|ticket| {
                    if ticket.key.is_some() && ticket.key == refused {
                        return false;
                    }
                    let fit = fits(ticket);
                    if !fit {
                        refused = ticket.key.or(refused);
                    }
                    fit
                })
                .cloned()
        })
    }

    /// Takes a call out; its client goes to the end of the turns.
    pub(crate) fn remove(&mut self, ticket: &Ticket) -> Option<Arc<Ticket>> {
        let own = self.clients.get_mut(&ticket.client)?;
        let at = own.iter().position(|other| other.number == ticket.number)?;
        let removed = own.remove(at)?;
        self.len -= 1;
        self.chained -= usize::from(removed.chain.is_some());
        if own.is_empty() {
            self.clients.remove(&ticket.client);
        }
        let turn = self.turns.iter().position(|&client| client == ticket.client);
        if let Some(turn) = turn {
            self.turns.remove(turn);
            if self.clients.contains_key(&ticket.client) {
                self.turns.push_back(ticket.client);
            }
        }
        Some(removed)
    }

    /// What is said of it when it is full.
    pub(crate) fn full(&self, method: &str) -> Error {
        let message = format!("{} calls wait for \"{method}\" already", self.len);
        let pause = PAUSE_EACH.saturating_mul(u32::try_from(self.len).unwrap_or(u32::MAX));
        Error::new(ErrorCode::Overloaded, message).with_retry_after(pause.min(MAX_RETRY_AFTER))
    }

    /// Room for one more call of this client in a line that is full: the newest call of whoever has most in it, if that is more than this client
    /// would have then.
    pub(crate) fn make_room(&mut self, client: Number) -> Option<Arc<Ticket>> {
        let own = self.clients.get(&client).map_or(0, VecDeque::len);
        let (_, most) = self.clients.iter().max_by_key(|(_, calls)| calls.len())?;
        let newest = most.back().filter(|_| most.len() > own + 1)?.clone();
        self.withdraw(&newest)
    }

    /// Takes a call out that nobody has served; its client keeps its turn.
    fn withdraw(&mut self, ticket: &Ticket) -> Option<Arc<Ticket>> {
        let own = self.clients.get_mut(&ticket.client)?;
        let at = own.iter().position(|other| other.number == ticket.number)?;
        let removed = own.remove(at)?;
        self.len -= 1;
        if own.is_empty() {
            self.clients.remove(&ticket.client);
            self.turns.retain(|&client| client != ticket.client);
        }
        Some(removed)
    }

    /// Takes out all that are not to wait any longer.
    pub(crate) fn take(&mut self, mut which: impl FnMut(&Ticket) -> bool) -> Vec<Arc<Ticket>> {
        let mut taken = Vec::new();
        for own in self.clients.values_mut() {
            let (gone, kept) = std::mem::take(own).into_iter().partition(|ticket| which(ticket));
            *own = kept;
            taken.extend::<VecDeque<Arc<Ticket>>>(gone);
        }
        self.clients.retain(|_, own| !own.is_empty());
        self.turns.retain(|client| self.clients.contains_key(client));
        self.len -= taken.len();
        self.chained -= taken.iter().filter(|ticket| ticket.chain.is_some()).count();
        taken.sort_by_key(|ticket| ticket.number);
        taken
    }

    /// Those that others wait for.
    pub(crate) fn chained(&self) -> impl Iterator<Item = &Arc<Ticket>> {
        // Mostly there are none, and the others need not be looked at.
        let clients = (self.chained > 0).then(|| self.iter());
        clients.into_iter().flatten().filter(|ticket| ticket.chain.is_some())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Ticket>> {
        self.clients.values().flatten()
    }
}
