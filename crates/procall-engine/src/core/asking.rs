//! What somebody asks of the engine about others: to drain them, and to have the pool behind them act.

use std::sync::Arc;

use procall::{Connection, Error};

use super::peer::{Number, Peer};
use super::{Core, State};
use crate::events::Event;
use crate::facts::Speaks;

impl Core {
    /// No new calls for these peers, or new ones again; what they have, the calls that wait for them included, they finish.
    pub(crate) fn drain(self: &Arc<Self>, target: &str, undo: bool) -> Result<Vec<Number>, Error> {
        let (numbers, changed) = {
            let mut state = self.lock();
            let numbers = state.meant(target)?;
            // Calls get their numbers under this lock too.
            let from = self.number();
            let mut changed = Vec::new();
            for number in &numbers {
                let Some(peer) = state.peers.get_mut(number) else { continue };
                let before = peer.drained.is_some();
                peer.drained = if undo { None } else { peer.drained.or(Some(from)) };
                if before == undo {
                    changed.extend(state.who(*number));
                }
            }
            (numbers, changed)
        };
        for peer in changed {
            self.events.tell(match undo {
                true => Event::Resumed { peer },
                false => Event::GoingAway { peer },
            });
        }
        if undo {
            self.hand_over();
        }
        Ok(numbers)
    }

    /// The connections behind which a pool can be asked for this, with the names of their peers.
    ///
    /// # Errors
    ///
    /// NOT_FOUND when nobody is meant, INVALID_ARGUMENT when somebody is who has no pool.
    pub(crate) fn behind(
        &self,
        target: &str,
        method: &str,
    ) -> Result<Vec<(String, Connection)>, Error> {
        let state = self.lock();
        let numbers = state.meant(target)?;
        let peers = numbers.iter().filter_map(|number| state.peers.get(number));
        peers
            .map(|peer| match peer.offers(method) {
                true => Ok((peer.name.to_string(), peer.connection.clone())),
                false => Err(no_pool(peer)),
            })
            .collect()
    }
}

impl Peer {
    /// Whether its registration has this method, which is one of the relay's own.
    fn offers(&self, method: &str) -> bool {
        self.registration
            .as_ref()
            .is_some_and(|known| known.methods.iter().any(|offered| offered.name == method))
    }
}

fn no_pool(peer: &Peer) -> Error {
    let how = match peer.facts.credentials {
        Some(process) => format!("end its process, {}, by a signal", process.pid),
        None => "end its process by a signal".to_owned(),
    };
    Error::invalid(format!(
        "{} has no pool behind it that could do this; drain it, then {how}",
        peer.name
    ))
}

impl State {
    /// The peers that a name means: those that registered a service of this name, else the one peer that `to` would mean.
    fn meant(&self, target: &str) -> Result<Vec<Number>, Error> {
        let outside = |peer: &&Peer| peer.facts.speaks != Speaks::Inside;
        let serving =
            |peer: &&Peer| peer.registration.as_ref().is_some_and(|known| known.name == target);
        let mut of_service: Vec<Number> =
            self.peers.values().filter(outside).filter(serving).map(|peer| peer.number).collect();
        of_service.sort_unstable();
        if !of_service.is_empty() {
            return Ok(of_service);
        }
        let named = self.named(target).and_then(|number| self.peers.get(&number));
        let named = named.filter(outside).ok_or_else(|| self.nobody(target))?;
        Ok(vec![named.number])
    }
}
