//! How a connection lends the large arrays of what it sends, and gets those of what it receives.

use std::sync::Arc;

use procall_proto::buffer;
use procall_proto::{Blocked, Body, CallId, Encoding, Held, Payload};
use procall_transport::shm::{Arena, Arrivals, Loan, Promise};
use procall_transport::{Link, LinkError};

use super::Connection;
use super::slot::Encoded;
use super::state::State;
use crate::error::Error;
use crate::lent::{Lent, Piece, would_copy};

/// Named among the features of a peer that can be lent memory on a link in shared memory.
pub(super) const FEATURE: &str = "arena";

/// What came with one message.
pub(super) type Loans = Vec<Arc<Loan>>;

/// What a connection knows of memory that it lends and is lent.
#[derive(Default)]
pub(crate) struct Lending {
    /// Where arrays lie that are sent here.
    arena: Arena,
    /// What came with a message; only when the link is in shared memory.
    arrivals: Option<Arc<Arrivals>>,
    /// This side may lend.
    on: bool,
}

impl Lending {
    /// Both sides may lend once the link is in shared memory. The other one may be there first, so its loans are looked for from now on.
    pub(super) fn may_begin(&mut self, arrivals: Option<Arc<Arrivals>>) {
        self.arrivals = arrivals;
    }

    /// The link is in shared memory.
    pub(super) fn begin(&mut self) {
        self.on = self.arrivals.is_some();
    }

    /// What came with the message that was received last.
    pub(super) fn take_loans(&self) -> Loans {
        self.arrivals.as_ref().map(|arrivals| arrivals.take()).unwrap_or_default()
    }
}

/// A value as it arrived.
pub(super) fn arrived(encoding: Encoding, body: Payload<'_>, loans: Loans) -> Encoded {
    let mut value = Encoded::new(encoding, body.into_vec());
    value.lent = Lent::received(&mut value.bytes, loans);
    value
}

/// What a message that waits to be sent will lend.
pub(super) struct Promises(Vec<Promise>);

impl Promises {
    /// Borrows room for a message from the link, which lends what is held.
    pub(super) fn buffer(
        link: &mut dyn Link,
        len: usize,
        held: Held,
    ) -> Result<Option<&mut [u8]>, LinkError> {
        let Some(promises) = held.and_then(|held| held.downcast::<Self>().ok()) else {
            return link.buffer(len);
        };
        match link.unix() {
            Some(unix) => unix.buffer_lending(len, &promises.0),
            // Nobody else makes promises.
            None => Err(LinkError::Closed),
        }
    }
}

impl State {
    /// A body as this link can send it: it lends the arrays that the body refers to, or their bytes are put in.
    pub(super) fn lend<'a>(&mut self, body: Body<'a>) -> Result<Body<'a>, Error> {
        if body.held().is_none() {
            return Ok(body);
        }
        let (lent, encoding) = (Lent::of(&body), body.encoding());
        if let Some((bytes, held)) = self.promise(body.bytes(), &lent)? {
            return Ok(Body::owned(encoding, bytes).holding(held));
        }
        Ok(Body::owned(encoding, self.put_in(body.bytes(), &lent)?))
    }

    /// Sends an item, if there is room for it. One that cannot be sent as it is ends its stream, as one that is too long does.
    pub(super) fn lend_item(&mut self, id: CallId, item: Body<'_>) -> Result<(), Blocked> {
        if item.held().is_none() {
            return self.session.item(id, item);
        }
        // Before anything is copied or promised.
        self.session.poll_writable(id)?;
        let item = self.lend(item).map_err(|_| Blocked::Over)?;
        self.session.item(id, item)
    }

    /// The same of a value.
    pub(super) fn lend_value(&mut self, value: Encoded) -> Result<(Encoded, Held), Error> {
        if value.lent.is_none() {
            return Ok((value, None));
        }
        let (bytes, held) = match self.promise(&value.bytes, &value.lent)? {
            Some(promised) => promised,
            None => (self.put_in(&value.bytes, &value.lent)?, None),
        };
        Ok((Encoded::new(value.encoding, bytes), held))
    }

    fn put_in(&mut self, bytes: &[u8], lent: &Lent) -> Result<Vec<u8>, Error> {
        if lent.is_strict() {
            return Err(would_copy());
        }
        self.meter.sent_arrays(0, lent.pieces().len(), 0);
        lent.fill_in(bytes)
    }

    /// The bytes of a body with the names that this link has for its arrays; `None` when it cannot lend all of them.
    fn promise(&mut self, bytes: &[u8], lent: &Lent) -> Result<Option<(Vec<u8>, Held)>, Error> {
        // A body that goes in chunks can lend nothing.
        if !self.session.is_short(bytes.len()) || !self.lending.on {
            return Ok(None);
        }
        let Some(unix) = self.link.unix() else { return Ok(None) };
        let mut promises = Vec::with_capacity(lent.pieces().len());
        let mut copied = 0;
        for piece in lent.pieces() {
            let Piece::Ours { buffer, copied: was_copied } = piece else { return Ok(None) };
            copied += usize::from(*was_copied);
            // What is wrong with the link is found when it is used.
            let Ok(Some(promise)) = unix.promise(&self.lending.arena, buffer) else {
                return Ok(None);
            };
            promises.push(promise);
        }
        if lent.is_strict() && copied > 0 {
            return Err(would_copy());
        }
        let mut bytes = bytes.to_vec();
        buffer::relabel(&mut bytes, |found| {
            let promise = promises.get(found.region as usize);
            promise.map_or((u32::MAX, 0), |promise| (promise.region, promise.generation))
        });
        self.meter.sent_arrays(copied, 0, promises.len() - copied);
        Ok(Some((bytes, Some(Arc::new(Promises(promises))))))
    }
}

impl Connection {
    /// Where the large arrays of calls on this connection can lie so that they need not be copied; `None` while its link cannot lend them, as only
    /// one in shared memory can.
    ///
    /// The peer can look at all that this memory is used for.
    pub fn arena(&self) -> Option<Arena> {
        let state = self.shared.lock();
        state.lending.on.then(|| state.lending.arena.clone())
    }

    /// Lends from this arena instead of from one of its own: for connections whose peers may see what the others see.
    pub fn lend_from(&self, arena: &Arena) {
        self.shared.lock().lending.arena = arena.clone();
    }
}
