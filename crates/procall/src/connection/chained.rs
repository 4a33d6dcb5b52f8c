//! What a connection knows of chains of calls: which of its calls are in one.

use procall_proto::CallId;

use super::Connection;
use crate::chain::{self, Chain};

impl Connection {
    /// How many of the calls that the peer was given with a lease, and is not done with, are in this chain.
    pub fn held_by(&self, chain: &Chain) -> usize {
        let state = self.shared.lock();
        let Some(peer) = state.session.peer().filter(|peer| !peer.mark.is_empty()) else {
            return 0;
        };
        let held = state.slots.iter().filter(|(_, slot)| slot.lease.is_some());
        held.filter(|(_, slot)| chain.has(&peer.mark, slot.id)).count()
    }

    /// Whether a call of a [chain](Chain::calls) is the one of ours that has this number here.
    pub fn is_named(&self, call: &str, id: CallId) -> bool {
        let state = self.shared.lock();
        let peer = state.session.peer().filter(|peer| !peer.mark.is_empty());
        peer.is_some_and(|peer| chain::is_at(call, &peer.mark, id))
    }

    /// Whether a call of a [chain](Chain::calls) is served by the peer.
    pub fn leads_to(&self, call: &str) -> bool {
        let state = self.shared.lock();
        let peer = state.session.peer().filter(|peer| !peer.mark.is_empty());
        peer.is_some_and(|peer| chain::is_served_by(call, &peer.mark))
    }

    /// The calls that wait for those that the handler of this call makes.
    pub(crate) fn chain_of(&self, id: CallId) -> Chain {
        let state = self.shared.lock();
        let meta = state.served.get(&id).and_then(|served| served.chained.as_deref());
        chain::onward(meta.unwrap_or_default(), format!("{}/{id}", state.mark))
    }

    /// How a call that is served here is named in chains.
    #[cfg(feature = "tokio")]
    pub(crate) fn place_of(&self, id: CallId) -> String {
        format!("{}/{id}", self.shared.lock().mark)
    }
}
