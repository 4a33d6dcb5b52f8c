//! Processes that are recognised when they come back.
//!
//! An identity is the id that a process gives in its hello, among those of its user. Only the kernel's word for the user counts, so a process
//! that comes over TCP has none: whoever runs on the machine, or reaches it, could claim any id there. It registers anew.

use std::sync::Arc;

use procall::{Connection, Registration};

use super::peer::{Number, Peer};
use super::{Core, State};
use crate::facts::Speaks;
use crate::state::{Identity, Key};

/// Longest id of a process that counts, in bytes.
const MAX_ID: usize = 255;

/// An identity that has got a new holder.
#[derive(Debug)]
pub(super) struct Claimed {
    number: Number,
    identity: Identity,
    /// The one that held it and does not answer: its place is taken.
    ghost: Option<Connection>,
}

impl Core {
    /// What somebody served before who is back now, it serves again.
    pub(super) fn recognise(self: &Arc<Self>, claimed: Claimed) {
        let Claimed { number, identity, ghost } = claimed;
        if let Some(ghost) = ghost {
            ghost.close();
        }
        let Some(known) = self.memory.as_ref().and_then(|memory| memory.of(&identity)) else {
            return;
        };
        let told = self.lock().peers.get(&number).is_some_and(|peer| peer.registration.is_some());
        if !told {
            // If it is refused now, for its name is taken meanwhile, the event says so; the process may register itself.
            let _ = self.register(number, Registration::clone(&known));
        }
    }

    /// Takes over what is remembered: its methods are known from now on, although nobody serves them yet. Gives what could not be used.
    pub(crate) fn restore(&self) -> Vec<String> {
        let Some(memory) = &self.memory else { return Vec::new() };
        let mut unusable = Vec::new();
        for (key, registration) in memory.all() {
            let lenient = Registration { quarantine: true, ..Registration::clone(&registration) };
            match super::admission::admit(lenient, false) {
                Ok(admitted) => {
                    unusable
                        .extend(admitted.quarantined.iter().map(|wrong| format!("{key}: {wrong}")));
                    self.lock().know(&admitted);
                }
                Err(error) => unusable.push(format!("{key}: {}", error.message())),
            }
        }
        unusable
    }
}

impl State {
    /// Takes note of who somebody says it is.
    pub(super) fn ask_for_identity(&mut self, number: Number, id: &str) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        let fits = !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control);
        if let (Some(credentials), Speaks::Native, true) =
            (peer.facts.credentials, peer.facts.speaks, fits)
        {
            peer.identity = Some(Identity { uid: credentials.uid, id: id.into() });
        }
    }

    /// Gives somebody the identity that it asks for, unless another holds it who is heard of.
    pub(super) fn claim_identity(&mut self, number: Number) -> Option<Claimed> {
        let identity = self.peers.get(&number)?.identity.clone()?;
        let holder = self.identities.get(&identity).filter(|&&holder| holder != number);
        let holder = holder.and_then(|holder| self.peers.get(holder));
        let ghost = match holder {
            Some(holder) if !holder.suspected && !holder.connection.is_closed() => return None,
            holder => holder.map(|holder| holder.connection.clone()),
        };
        self.identities.insert(identity.clone(), number);
        Some(Claimed { number, identity, ghost })
    }

    /// The same for whoever waits for the identity of one that has gone or does not answer.
    pub(super) fn claim_after(&mut self, number: Number) -> Option<Claimed> {
        let identity = self.peers.get(&number)?.identity.clone()?;
        self.claim_next(&identity, number)
    }

    pub(super) fn give_up_identity(&mut self, peer: &Peer) -> Option<Claimed> {
        let identity = peer.identity.as_ref()?;
        if self.identities.get(identity) != Some(&peer.number) {
            return None;
        }
        self.identities.remove(identity);
        self.claim_next(identity, peer.number)
    }

    fn claim_next(&mut self, identity: &Identity, before: Number) -> Option<Claimed> {
        let asking = self.peers.values().filter(|peer| {
            peer.number != before && peer.identity.as_ref() == Some(identity) && !peer.suspected
        });
        let next = asking.map(|peer| peer.number).min()?;
        self.claim_identity(next)
    }

    /// Under which key a registration of somebody's is remembered.
    pub(super) fn key_of(&self, number: Number, service: &str) -> Option<Key> {
        let peer = self.peers.get(&number)?;
        let own = |identity: &&Identity| self.identities.get(*identity) == Some(&number);
        match peer.identity.as_ref().filter(own) {
            Some(identity) => Some(Key::Peer(identity.clone())),
            None => (!service.is_empty()).then(|| Key::Service(service.into())),
        }
    }

    /// The id of the identity that somebody holds.
    pub(crate) fn identity_of<'a>(&self, peer: &'a Peer) -> Option<&'a str> {
        let identity = peer.identity.as_ref()?;
        (self.identities.get(identity) == Some(&peer.number)).then_some(&*identity.id)
    }

    /// Whether somebody asks for an identity that another holds.
    pub(super) fn is_impostor(&self, number: Number) -> bool {
        let identity = self.peers.get(&number).and_then(|peer| peer.identity.as_ref());
        identity
            .and_then(|identity| self.identities.get(identity))
            .is_some_and(|&holder| holder != number)
    }
}
