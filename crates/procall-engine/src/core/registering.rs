//! Who serves what: registrations come, are replaced, and go with their peers.

use std::sync::Arc;

use procall::{Error, ErrorCode, Registration};

use super::admission::{Admitted, admit};
use super::method::{Method, Provider};
use super::peer::Number;
use super::{Core, State, Ticket};
use crate::events::{Event, PeerName};
use crate::facts::Speaks;

/// Methods that are known although nobody serves them now; beyond that, some are forgotten.
const MAX_AWAY: usize = 4_096;

impl Core {
    /// A peer tells what it serves: all of it counts from now on, in place of what it told before, or none.
    pub(crate) fn register(
        self: &Arc<Self>,
        number: Number,
        registration: Registration,
    ) -> Result<Arc<Registration>, Error> {
        let (builtin, label) = {
            let state = self.lock();
            let Some(peer) = state.peers.get(&number) else { return Err(gone()) };
            let speaks = peer.facts.speaks;
            (speaks == Speaks::Inside, !matches!(speaks, Speaks::Native | Speaks::Inside))
        };
        // Schemas are compiled without the lock: that may take a while.
        let admitted = match admit(registration, builtin) {
            Ok(admitted) => admitted,
            Err(error) => {
                let who = self.lock().who(number);
                if let Some(peer) = who {
                    self.events.tell(Event::Refused { peer, why: error.message().to_owned() });
                }
                return Err(error);
            }
        };
        let (known, orphans, key) = {
            let mut state = self.lock();
            state.name_worker(number, &admitted.registration, label)?;
            let orphans = state.withdraw(number);
            state.offer(number, &admitted);
            (state.who(number), orphans, state.key_of(number, &admitted.registration.name))
        };
        if let (Some(memory), Some(key)) = (&self.memory, key)
            && !builtin
        {
            memory.remember(key, &admitted.registration);
        }
        if let Some(peer) = known {
            self.events.tell(Event::Registered {
                peer,
                methods: admitted.methods.iter().map(|(name, _)| name.to_string()).collect(),
                quarantined: admitted.quarantined.iter().map(ToString::to_string).collect(),
            });
        }
        Self::refuse(orphans);
        self.hand_over();
        self.tell_those_who_want(&admitted.registration.name);
        Ok(admitted.registration)
    }

    /// Ends calls that nobody can serve any more.
    pub(super) fn refuse(orphans: Vec<(Arc<Ticket>, Error)>) {
        for (ticket, error) in orphans {
            ticket.handover.resolve(Err(error));
        }
    }
}

impl State {
    pub(crate) fn who(&self, number: Number) -> Option<PeerName> {
        let peer = self.peers.get(&number)?;
        Some(PeerName { id: peer.id.to_string(), name: peer.name.to_string() })
    }

    /// Settles what a worker is called.
    fn name_worker(
        &mut self,
        number: Number,
        registration: &Registration,
        label: bool,
    ) -> Result<(), Error> {
        let Some(peer) = self.peers.get(&number) else { return Err(gone()) };
        if peer.registration.is_some() {
            // It keeps the name it has.
            return Ok(());
        }
        let service = registration.name.as_str();
        let told = peer.connection.peer().map(|peer| peer.name).unwrap_or_default();
        let chosen =
            !label && peer.facts.speaks == Speaks::Native && !told.is_empty() && told != service;
        if chosen {
            if let Some(&holder) = self.names.get(told.as_str())
                && holder != number
                && let Some(holder) = self.peers.get(&holder)
                && holder.owns_name
            {
                return Err(Error::new(
                    ErrorCode::NameTaken,
                    format!("\"{told}\" is the name of another worker ({})", holder.facts.address),
                ));
            }
            self.rename(number, &told, true);
            return Ok(());
        }
        if !service.is_empty() {
            let name =
                if label { self.free_label(service, number) } else { self.free_place(service) };
            self.rename(number, &name, false);
        }
        Ok(())
    }

    /// `calc/1`, `calc/2`: the first that is free.
    fn free_place(&self, service: &str) -> String {
        let mut names = (1_u64..).map(|place| format!("{service}/{place}"));
        names.find(|name| !self.names.contains_key(name.as_str())).unwrap_or_default()
    }

    /// `client`, `client-2`: the first that is free.
    pub(super) fn free_label(&self, label: &str, own: Number) -> String {
        let free = |name: &str| self.names.get(name).is_none_or(|&holder| holder == own);
        if free(label) {
            return label.to_owned();
        }
        let mut names = (2_u64..).map(|at| format!("{label}-{at}"));
        names.find(|name| free(name)).unwrap_or_default()
    }

    pub(super) fn rename(&mut self, number: Number, name: &str, owns: bool) {
        let name: Arc<str> = name.into();
        // Whoever had it without a claim to it gives way.
        if let Some(&holder) = self.names.get(&name)
            && holder != number
        {
            self.names.remove(&name);
            let other = self.free_label(&name, holder);
            let other: Arc<str> =
                if *other == *name { format!("{name}-2").into() } else { other.into() };
            if let Some(peer) = self.peers.get_mut(&holder) {
                peer.name = other.clone();
                self.names.insert(other, holder);
            }
        }
        let Some(peer) = self.peers.get_mut(&number) else { return };
        self.names.remove(&peer.name);
        peer.name = name.clone();
        peer.owns_name = owns;
        self.names.insert(name, number);
    }

    fn offer(&mut self, number: Number, admitted: &Admitted) {
        for (name, offer) in &admitted.methods {
            self.note_bare(name);
            let method = self
                .methods
                .entry(name.clone())
                .or_insert_with(|| Method::new(name.clone(), offer.clone()));
            method.offer = offer.clone();
            method.guessed = false;
            method.providers.push(Provider { peer: number, offer: offer.clone() });
        }
        if let Some(peer) = self.peers.get_mut(&number) {
            peer.methods = admitted.methods.iter().map(|(name, _)| name.clone()).collect();
            peer.take(admitted.registration.clone());
        }
    }

    /// A peer serves nothing any more; gives back the calls that waited for it in vain.
    pub(super) fn withdraw(&mut self, number: Number) -> Vec<(Arc<Ticket>, Error)> {
        let mut orphans = Vec::new();
        let names = self.peers.get_mut(&number).map(|peer| std::mem::take(&mut peer.methods));
        let gone = !self.peers.contains_key(&number);
        for name in names.into_iter().flatten() {
            self.withdraw_from(number, &name, gone, &mut orphans);
        }
        orphans
    }

    pub(super) fn withdraw_from(
        &mut self,
        number: Number,
        name: &Arc<str>,
        gone: bool,
        orphans: &mut Vec<(Arc<Ticket>, Error)>,
    ) {
        let Some(method) = self.methods.get_mut(name) else { return };
        method.providers.retain(|provider| provider.peer != number);
        let away = method.is_away();
        let starts = self.sleepers.contains_key(&method.offer.service);
        let stranded = method.waiting.take(|ticket| {
            ticket.only == Some(number)
                || (away && !starts && ticket.only.is_none() && !ticket.waits)
        });
        if method.waiting.is_empty() {
            self.busy.remove(name);
        }
        for ticket in stranded {
            let error = match ticket.only {
                Some(_) if gone => lost(),
                _ => super::calls::no_worker(name),
            };
            orphans.push((ticket, error));
        }
        if away {
            self.forget_away(name);
        }
    }

    /// Methods that nobody serves are remembered, so that callers learn of it and can wait, but not without end.
    fn forget_away(&mut self, newest: &Arc<str>) {
        let away: Vec<Arc<str>> = self
            .methods
            .values()
            .filter(|method| {
                method.is_away() && method.waiting.is_empty() && method.name != *newest
            })
            .map(|method| method.name.clone())
            .collect();
        let many = away.len().saturating_sub(MAX_AWAY);
        for name in away.into_iter().take(many) {
            self.forget(&name);
        }
    }

    pub(super) fn forget(&mut self, name: &Arc<str>) {
        self.methods.remove(name);
        let last = super::last_part(name);
        if let Some(names) = self.bare.get_mut(last) {
            names.remove(name);
            if names.is_empty() {
                self.bare.remove(last);
            }
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorCode::Closed, "the connection is over")
}

fn lost() -> Error {
    Error::new(ErrorCode::WorkerLost, "the worker that this call was meant for has gone")
        .with_executed(procall::Executed::No)
}
