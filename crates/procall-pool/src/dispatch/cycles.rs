//! Calls that would wait for themselves: every slot of the workers they may go to is held by calls that wait for them.

use procall::{CallOptions, Chain, Error, ErrorCode, Executed, Room, is_cycle};

use super::queue::Entry;
use super::route::Route;
use super::{Busyness, Seat, State};
use crate::core::Core;

/// The calls that wait for one with these options.
pub(super) fn chain(options: &CallOptions) -> Option<Chain> {
    // One that is handed on has them among its metadata.
    options.chain.as_deref().cloned().or_else(|| Chain::of(&options.meta))
}

impl State {
    /// Whether a call on this route would wait for itself.
    pub(super) fn is_cycle(&self, route: Route, chain: &Chain) -> bool {
        is_cycle(self.takers(route).map(|seat| room(seat, chain)))
    }

    /// The workers that a call on this route may get, those that are yet to come included.
    fn takers(&self, route: Route) -> impl Iterator<Item = &Seat> {
        let seats = self.seats.iter().enumerate();
        seats
            .filter(move |&(index, seat)| match route.seat() {
                Some(only) => only == index,
                // An elastic pool fills its places when calls wait.
                None => seat.is_hopeful() || (self.elastic && seat.busyness() == Busyness::Spare),
            })
            .map(|(_, seat)| seat)
    }

    /// The error of a call that would wait for itself.
    pub(super) fn cycle(&self, route: Route, chain: &Chain, method: &str) -> Error {
        let at = |call: &str| {
            let mut takers = self.takers(route);
            takers
                .find(|seat| seat.connection().is_some_and(|peer| peer.leads_to(call)))
                .map(|seat| seat.name.to_string())
        };
        let mut names: Vec<String> = chain
            .calls()
            .map(|call| (at(call), call))
            .skip_while(|(worker, _)| worker.is_none())
            .map(|(worker, call)| worker.unwrap_or_else(|| call.to_owned()))
            .collect();
        names.push(method.to_owned());
        let message = format!(
            "no slot for \"{method}\" will come free: calls that wait for this one hold all of them: {}",
            names.join(" → ")
        );
        Error::new(ErrorCode::Deadlock, message).with_executed(Executed::No).with_chain(names)
    }
}

/// One without a worker has room once that is there.
fn room(seat: &Seat, chain: &Chain) -> Room {
    let own = seat.connection().map_or(0, |connection| connection.held_by(chain));
    let taken = if own == 0 { 0 } else { seat.in_flight() as usize };
    Room { slots: seat.slots() as usize, taken, own }
}

impl Core {
    /// Ends the waiting calls that now wait for themselves, since a worker has gone or another one's call has ended.
    pub(crate) fn break_cycles(&self) {
        let stuck: Vec<(Entry, Error)> = {
            let mut state = self.dispatch.lock();
            let chained: Vec<(u64, Route, Chain)> = state
                .queue
                .chained()
                .filter_map(|(number, entry)| Some((number, entry.route(), entry.chain()?.clone())))
                .collect();
            let mut stuck = Vec::new();
            for (number, route, chain) in chained {
                if state.is_cycle(route, &chain)
                    && let Some(entry) = state.queue.remove(number)
                {
                    let error = state.cycle(route, &chain, entry.method());
                    stuck.push((entry, error));
                }
            }
            stuck
        };
        for (entry, error) in stuck {
            entry.refuse(&self.meter, error);
        }
    }
}
