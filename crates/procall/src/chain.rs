//! Chains of calls: which calls wait for the one that is made here, so that one that would wait for itself fails instead.
//!
//! A handler's calls name the calls that wait for them, each by where it is served: the mark of that side of its session, and its number there.
//! Whoever gives out slots knows both of the calls that hold them, and so sees when all are held by calls that wait for the one in question.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use procall_proto::wire::{Reader, Writer};
use procall_proto::{CallId, ErrorCode, Executed};

use crate::connection::{CallOptions, Connection};
use crate::error::Error;
use crate::meta;

/// The metadata with the chain.
const CHAIN: &str = "chain";
/// The metadata with the places that a call holds at those who hand it on.
const VIA: &str = "procall.via";

thread_local! {
    /// The call whose handler runs on this thread now.
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// A call that is served here.
#[derive(Debug)]
pub(crate) struct Place {
    connection: Connection,
    id: CallId,
}

impl Place {
    pub(crate) fn new(connection: Connection, id: CallId) -> Self {
        Self { connection, id }
    }
}

/// Sets the call that is served on this thread.
pub(crate) fn replace(place: Option<Place>) -> Option<Place> {
    // A thread that ends serves nothing.
    PLACE.try_with(|current| current.replace(place)).ok().flatten()
}

/// Runs `f` as part of no call that is served here.
#[cfg(feature = "tokio")]
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    /// Also when `f` panics.
    struct Restore(Option<Place>);
    impl Drop for Restore {
        fn drop(&mut self) {
            replace(self.0.take());
        }
    }
    let _restore = Restore(replace(None));
    f()
}

/// A fresh name for one side of a session: 64 bits that nobody can guess.
pub(crate) fn new_mark() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// The calls that wait for one, outermost first, each by where it is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Each `mark/id`, or several of these with spaces between when it holds places at routers too.
    calls: Vec<Box<str>>,
}

impl Chain {
    /// Calls that may wait for one.
    pub const MAX: usize = 32;

    /// The calls that wait for one that is made on this thread now; `None` outside of handlers.
    pub fn current() -> Option<Arc<Self>> {
        PLACE.with_borrow(|place| {
            let Place { connection, id } = place.as_ref()?;
            Some(Arc::new(connection.chain_of(*id)))
        })
    }

    /// The calls that wait for one with these options that is made now.
    pub(crate) fn for_call(options: &CallOptions) -> Option<Arc<Self>> {
        options.chain.clone().or_else(Self::current)
    }

    /// Keeps the calls that wait for one with these options, which may be started by somebody else later.
    pub fn note(options: &mut CallOptions) {
        if options.chain.is_none() {
            options.chain = Self::current();
        }
    }

    /// The chain that metadata bring; what is none is not taken for one.
    ///
    /// ```
    /// use procall::{Chain, wire::Writer};
    ///
    /// let mut meta = Vec::new();
    /// Writer::new(&mut meta).map(1).text("chain").array(2).text("5f00c0de/1").text("c0ffee00/7");
    /// let chain = Chain::of(&meta).unwrap();
    /// assert!(chain.has("c0ffee00", 7) && !chain.has("c0ffee00", 1));
    /// ```
    pub fn of(meta: &[u8]) -> Option<Self> {
        Self::read(meta::entry(meta, CHAIN)?)
    }

    /// The same of the value alone. More than one call beyond [`MAX`](Self::MAX) are not kept.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let count = reader.array().ok()?;
        let mut calls = Vec::new();
        for _ in 0..count.min(Self::MAX + 1) {
            calls.push(reader.text("a call").ok()?.into());
        }
        Some(Self { calls })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.array(self.calls.len());
        for call in &self.calls {
            writer.text(call);
        }
    }

    /// Each call, outermost first.
    pub fn calls(&self) -> impl ExactSizeIterator<Item = &str> {
        self.calls.iter().map(|call| &**call)
    }

    /// Whether the call of this number is among them that is served by the side of this mark.
    pub fn has(&self, mark: &str, id: CallId) -> bool {
        self.calls().any(|call| is_at(call, mark, id))
    }

    /// DEADLOCK when more than [`MAX`](Self::MAX) calls would wait for one of `method`.
    pub fn check(&self, method: &str) -> Result<(), Error> {
        if self.calls.len() <= Self::MAX {
            return Ok(());
        }
        let message = format!(
            "calls are nested more than {} deep: that many wait for this one of \"{method}\"",
            Self::MAX
        );
        let names = self.calls().chain([method]).map(str::to_owned).collect();
        Err(Error::new(ErrorCode::Deadlock, message).with_executed(Executed::No).with_chain(names))
    }
}

/// Whether a call of a chain, `mark/id` or several of these, is the one served there.
pub(crate) fn is_at(call: &str, mark: &str, id: CallId) -> bool {
    call.split(' ').any(|place| {
        let at = place.strip_prefix(mark).and_then(|rest| rest.strip_prefix('/'));
        at.is_some_and(|at| at.parse() == Ok(id))
    })
}

/// Whether a call of a chain is served by the side of this mark, or on its way there.
pub(crate) fn is_served_by(call: &str, mark: &str) -> bool {
    call.split(' ').any(|place| place.split_once('/').is_some_and(|(side, _)| side == mark))
}

/// A worker as a call sees it that looks for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Calls it takes at once.
    pub slots: usize,
    /// Calls it has.
    pub taken: usize,
    /// Of those, calls that wait for the one in question.
    pub own: usize,
}

/// Whether a call would wait for itself: it may only go to workers without a free slot, all of whose calls wait for this one.
///
/// ```
/// use procall::{Room, is_cycle};
///
/// let own = Room { slots: 1, taken: 1, own: 1 };
/// assert!(is_cycle([own, own]));
/// assert!(!is_cycle([own, Room { slots: 1, taken: 1, own: 0 }]), "another one's call will end");
/// assert!(!is_cycle([]), "nobody is there yet");
/// ```
pub fn is_cycle(rooms: impl IntoIterator<Item = Room>) -> bool {
    let mut rooms = rooms.into_iter().peekable();
    rooms.peek().is_some() && rooms.all(|Room { slots, taken, own }| taken >= slots && own >= taken)
}

/// The chain of what the handler of a call makes that came with these metadata and is served at `own`.
pub(crate) fn onward(meta: &[u8], own: String) -> Chain {
    let mut chain = Chain::of(meta).unwrap_or_default();
    chain.calls.push(places(meta, own).into());
    chain
}

/// Whether metadata name calls that wait for the one they are of.
pub(crate) fn is_chained(meta: &[u8]) -> bool {
    meta::entry(meta, CHAIN).is_some() || meta::entry(meta, VIA).is_some()
}

/// Metadata of a call that came to `connection` and is handed on, so that those who serve it can name the place that it holds here.
#[cfg(feature = "tokio")]
pub(crate) fn handed_on(meta: &[u8], connection: &Connection, id: CallId) -> Vec<u8> {
    let places = places(meta, connection.place_of(id));
    // The session has checked the map already.
    meta::with_text(meta, VIA, &places).unwrap_or_default()
}

/// The place that a call with these metadata holds at `own`, behind those that it holds already.
fn places(meta: &[u8], own: String) -> String {
    match meta::text(meta, VIA) {
        Some(before) => format!("{before} {own}"),
        None => own,
    }
}

#[cfg(test)]
mod tests;
