//! What somebody asks of the engine about others: to drain them, and to have the pool behind them act.

use std::sync::Arc;

use procall::{Connection, Error, ErrorCode};

use super::peer::{Number, Peer};
use super::{Core, State};
use crate::events::Event;
use crate::facts::Speaks;
use crate::own;

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

    /// Whether a client may do this: what changes something is for the same user on a Unix socket, and for the same machine over TCP.
    pub(super) fn check_right(&self, client: Number, method: &str) -> Result<(), Error> {
        if !own::changes(method) {
            return Ok(());
        }
        let may = self.peers.get(&client).is_some_and(|peer| {
            let facts = &peer.facts;
            let address = facts.address.parse::<std::net::SocketAddr>();
            // Any page in a browser can send requests to this machine.
            facts.speaks != Speaks::Http
                && (facts.credentials.is_some()
                    || facts.address == own::INSIDE
                    || address.is_ok_and(|address| address.ip().is_loopback()))
        });
        match may {
            true => Ok(()),
            false => Err(Error::new(
                ErrorCode::PermissionDenied,
                format!(
                    "{method} is for peers on the engine's own machine; ask there, or through its Unix socket"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use procall::Side;
    use procall::transport::{LinkOptions, mem};

    use super::*;
    use crate::facts::Facts;
    use crate::settings::Settings;

    fn may(speaks: Speaks, address: &str, method: &str) -> Result<(), Error> {
        let doors = crate::tokens::Doors::new(Vec::new(), crate::rights::Rights::user()).unwrap();
        let core = Core::new(Settings::default(), doors);
        let (_near, far) = mem::pair(&LinkOptions::default()).unwrap();
        let address = address.to_owned();
        let pass = Some(crate::tokens::Pass::full());
        let facts = Facts { speaks, address, credentials: None, hears_broadcasts: false, pass };
        core.join(Box::new(far), Side::Acceptor, facts).unwrap();
        let state = core.lock();
        let client = *state.peers.keys().next().unwrap();
        state.check_right(client, method)
    }

    #[tokio::test]
    async fn what_changes_something_is_for_the_own_machine_and_not_for_browsers() {
        for verb in ["cancel", "drain", "restart", "stop"] {
            let method = format!("procall.engine.{verb}");
            for address in ["127.0.0.1:900", "[::1]:900", own::INSIDE] {
                assert!(may(Speaks::Native, address, &method).is_ok(), "{method} {address}");
                assert!(may(Speaks::Json, address, &method).is_ok(), "{method} {address}");
                assert!(may(Speaks::Http, address, &method).is_err(), "{method} {address}");
            }
            let error = may(Speaks::Native, "192.0.2.1:900", &method).unwrap_err();
            assert_eq!(error.code(), ErrorCode::PermissionDenied);
        }
        assert!(may(Speaks::Native, "192.0.2.1:900", "procall.engine.peers").is_ok());
    }
}
