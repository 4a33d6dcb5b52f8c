//! Both rings of a link, as one side sees them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::CAPACITY;
use super::bell::Bell;
use super::control::{Account, Nonsense};
use super::look::Look;
use super::region::{Own, Region, Theirs};
use super::seat::Seat;
use crate::LinkError;

impl From<Nonsense> for LinkError {
    fn from(_: Nonsense) -> Self {
        Self::SharedMemory("its positions contradict each other")
    }
}

/// The processor that this thread runs on.
pub(super) fn processor() -> u32 {
    // One higher: zero is what nobody has said.
    rustix::thread::sched_getcpu() as u32 + 1
}

/// What this side makes for the other, until that has its own ready too.
#[derive(Debug)]
pub(super) struct Half {
    seat: Seat,
    own: Own,
    /// What we ring.
    bell: Bell,
}

impl Half {
    /// The second is for the other side: the memory and the bell.
    pub(super) fn new() -> std::io::Result<(Self, [OwnedFd; 2])> {
        let seat = Seat::take()?;
        let (own, memory) = Own::new(CAPACITY)?;
        let bell = Bell::new()?;
        let copy = bell.as_fd().try_clone_to_owned()?;
        Ok((Self { seat, own, bell }, [memory, copy]))
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) fn join(self, theirs: Theirs, hears: Bell) -> Ends {
        let Self { seat, own, bell } = self;
        let capacities = (own.region().capacity(), theirs.region().capacity());
        let account = Account::new(own.region().control(), capacities.0, capacities.1);
        own.region().control().run_on(processor());
        Ends { _seat: seat, own, theirs, account, rings: bell, hears }
    }
}

/// Both rings of a link.
#[derive(Debug)]
pub(super) struct Ends {
    _seat: Seat,
    own: Own,
    theirs: Theirs,
    account: Account,
    /// What wakes the other side.
    rings: Bell,
    /// What wakes us.
    hears: Bell,
}

impl Ends {
    pub(super) fn hears(&self) -> &Bell {
        &self.hears
    }

    pub(super) fn look(&self) -> Look {
        Look::new(self.own.region(), self.theirs.region())
    }

    /// Writes as much of `bytes` as there is room for; how many that were. The other side is rung when it sleeps.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<usize, LinkError> {
        let theirs = self.theirs.region().control();
        let now = bytes.len().min(self.account.room(theirs)? as usize);
        if now > 0 {
            self.own.write(self.account.tail(), &bytes[..now]);
            let own = self.own.region().control();
            own.run_on(processor());
            if self.account.put(own, theirs, now as u32) {
                self.rings.ring();
            }
        }
        Ok(now)
    }

    /// Takes as much as there is, but no more than `into` has room for; how many bytes that were. The other side is rung when it waits for
    /// room.
    pub(super) fn take(&mut self, into: &mut Vec<u8>) -> Result<usize, LinkError> {
        let (own, theirs) = (self.own.region().control(), self.theirs.region().control());
        let room = into.capacity() - into.len();
        let now = (self.account.arrived(theirs)? as usize).min(room);
        if now > 0 {
            self.theirs.read(self.account.head(), now, into);
            if self.account.taken(own, theirs, now as u32) {
                self.rings.ring();
            }
        }
        Ok(now)
    }

    /// Whether there is something to take.
    pub(super) fn has_arrived(&self) -> Result<bool, LinkError> {
        Ok(self.account.arrived(self.theirs.region().control())? > 0)
    }

    /// See [`Account::sleep`].
    pub(super) fn sleep(&mut self) -> Result<bool, LinkError> {
        let own = self.own.region().control();
        own.run_on(processor());
        Ok(self.account.sleep(own, self.theirs.region().control())?)
    }

    /// See [`Account::renew`].
    pub(super) fn renew(&mut self) {
        self.account.renew(self.own.region().control());
    }

    /// See [`Account::wake`].
    pub(super) fn wake(&mut self) -> bool {
        self.account.wake(self.own.region().control())
    }

    /// See [`Account::want_room`].
    pub(super) fn want_room(&mut self) -> Result<bool, LinkError> {
        let (own, theirs) = (self.own.region().control(), self.theirs.region().control());
        Ok(self.account.want_room(own, theirs)?)
    }

    /// See [`Account::found_room`].
    pub(super) fn found_room(&mut self) -> bool {
        self.account.found_room(self.own.region().control())
    }

    /// See [`Account::wants_room`].
    pub(super) fn wants_room(&self) -> bool {
        self.account.wants_room()
    }

    /// Whether there is room that was waited for.
    pub(super) fn has_room_it_wants(&self) -> Result<bool, LinkError> {
        Ok(self.wants_room() && self.account.room(self.theirs.region().control())? > 0)
    }

    pub(super) fn own(&self) -> &Arc<Region> {
        self.own.region()
    }

    pub(super) fn theirs(&self) -> &Arc<Region> {
        self.theirs.region()
    }

    pub(super) fn close(&self) {
        self.own.region().control().close();
    }

    /// Whether the other side has closed.
    pub(super) fn is_closed(&self) -> bool {
        self.theirs.region().control().is_closed()
    }
}
