//! Calls with an idempotency key, on their way in and out.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use procall::{
    Batch, Body, Encoded, Error, ErrorCode, Executed, Incoming, Onlooker, Queued, Shape, Started,
};

use super::Core;
use super::peer::{Number, Peer};
use super::remembered::{Found, Joined, Key, Remembered};
use crate::facts::Owner;
use crate::rights::Rights;

/// What becomes of a call with a key.
pub(super) enum Recalled {
    /// It is made, and its outcome kept.
    First(Keeper),
    /// It has the outcome of an earlier one, now or later.
    Known(Started),
}

impl Core {
    /// Looks whether a call with this key was made before.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a key that is none or belongs to other arguments, and for calls with streams; what is wrong with the method.
    pub(super) fn recall(
        self: &Arc<Self>,
        client: Number,
        batch: &Batch,
        incoming: &Incoming,
        key: &str,
    ) -> Result<Recalled, Error> {
        if incoming.shape() != Shape::Unary {
            return Err(Error::invalid("a call with a stream cannot have an idempotency key"));
        }
        let key = {
            let mut state = self.lock();
            let (method, _) = state.resolve(client, batch.method(incoming), incoming.shape())?;
            let caller = state.peers.get(&client).map(caller).unwrap_or_default();
            Key::new(caller, &method, key)?
        };
        let params = Body::new(incoming.encoding, batch.body(incoming));
        let found = self.remembered().begin(&key, &params, Instant::now())?;
        Ok(match found {
            Found::First => {
                Recalled::First(Keeper { core: self.clone(), key: Some(key), value: None })
            }
            // It would only be remembered again.
            Found::Ended(outcome) => Recalled::Known(outcome.map_err(Error::with_no_retry).into()),
            Found::Running(awaited) => {
                Recalled::Known((Box::new(Joined::new(awaited)) as Box<dyn Queued>).into())
            }
        })
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose keys they are: those of a token, of a user of this machine, or of whoever calls from an address, where our own user is kept apart from
/// guests. A caller that has lost its connection and comes back is the same.
fn caller(peer: &Peer) -> String {
    match (&peer.pass.token, peer.facts.whose()) {
        (Some(token), _) => format!("token {token}"),
        (None, Owner::User(uid)) => format!("user {uid}"),
        (None, Owner::Address(at)) if *peer.pass.rights == Rights::all() => format!("own {at}"),
        (None, Owner::Address(at)) => format!("address {at}"),
    }
}

/// Keeps the outcome of the first call with a key. Dropped without one, the call was not executed.
pub(super) struct Keeper {
    core: Arc<Core>,
    /// Until the outcome is kept.
    key: Option<Key>,
    value: Option<Encoded>,
}

impl Keeper {
    /// The result, before it is checked.
    pub(super) fn value(&mut self, value: &Encoded) {
        self.value = Some(value.clone());
    }

    pub(super) fn end(mut self, error: Option<&Error>) {
        let outcome = match (error, self.value.take()) {
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Error::new(ErrorCode::Internal, "a call ended without a result")),
            (Some(error), _) => Err(error.clone()),
        };
        self.keep(outcome);
    }

    /// The engine has lost sight of the call.
    pub(super) fn lost(mut self) {
        let gone =
            "the first call with this idempotency key was given up before its outcome was known";
        self.keep(Err(Error::new(ErrorCode::Cancelled, gone)));
    }

    fn keep(&mut self, outcome: Result<Encoded, Error>) {
        let Some(key) = self.key.take() else { return };
        let awaited = self.core.remembered().end(&key, &outcome, Instant::now());
        if let Some(awaited) = awaited {
            awaited.resolve(outcome);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let refused = "the first call with this idempotency key was refused";
        let error = Error::new(ErrorCode::Unavailable, refused).with_executed(Executed::No);
        self.keep(Err(error));
    }
}

/// Nothing is counted of a call that is answered from memory.
pub(super) struct Repeated;

impl Onlooker for Repeated {}
