//! What a link gets of the other side's memory.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::SLOTS;
use super::mapped::Mapped;
use super::records::Notice;
use super::region::{Refused, Region};
use crate::LinkError;

/// Memory of the other side's that a message tells of. It stays as it is until this is dropped, provided that the other side keeps the rules: it
/// can change it at any moment.
#[derive(Debug)]
pub struct Loan {
    mapped: Arc<Mapped>,
    region: u32,
    generation: u32,
    slot: usize,
    /// Where we say that we are done.
    own: Arc<Region>,
}

impl Loan {
    /// How messages name it: the number of the memory on this link, and which use of it is meant.
    pub fn key(&self) -> (u32, u32) {
        (self.region, self.generation)
    }

    /// How many bytes the memory has.
    pub fn len(&self) -> usize {
        self.mapped.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends some of its bytes; false when it has not so many. They are copied once: whatever the other side does meanwhile, what was
    /// appended stays.
    #[must_use]
    pub fn copy(&self, at: usize, len: usize, into: &mut Vec<u8>) -> bool {
        self.mapped.copy(at, len, into)
    }

    /// Where `len` bytes from `at` on lie, for foreign code that only reads; `None` when it has not so many.
    ///
    /// They stay mapped for as long as this lives. The other side may write to them at any moment, so that no Rust reference to them is sound
    /// that could meet it.
    pub fn address(&self, at: usize, len: usize) -> Option<*const u8> {
        let fits = at.checked_add(len).is_some_and(|end| end <= self.len());
        fits.then(|| self.mapped.as_ptr().cast_const().wrapping_add(at))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.own.release(self.slot);
    }
}

/// What came with the message that was received last.
#[derive(Debug, Default)]
pub struct Arrivals {
    any: AtomicBool,
    loans: Mutex<Vec<Arc<Loan>>>,
}

impl Arrivals {
    /// Takes the loans; there are none of most messages.
    pub fn take(&self) -> Vec<Arc<Loan>> {
        // Asked of every message, so the answer that there are none is a plain read.
        if !self.any.load(Ordering::Acquire) || !self.any.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut self.loans.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those of the message that is received next. What nobody took of the one before is given back.
    fn put(&self, loans: &mut Vec<Arc<Loan>>) {
        if loans.is_empty() && !self.any.load(Ordering::Acquire) {
            return;
        }
        let before = std::mem::replace(
            &mut *self.loans.lock().unwrap_or_else(PoisonError::into_inner),
            std::mem::take(loans),
        );
        self.any.store(true, Ordering::Release);
        drop(before);
    }
}

/// A segment of the other side's.
#[derive(Debug)]
struct Seen {
    mapped: Arc<Mapped>,
    region: u32,
    /// The newest use of it that was lent.
    newest: u32,
}

/// All that one link was told of.
pub(super) struct Borrower {
    slots: [Option<Seen>; SLOTS],
    /// The number of the next segment that is told of.
    next: u32,
    /// What was lent with the message that comes next.
    pending: Vec<Arc<Loan>>,
    arrivals: Arc<Arrivals>,
}

/// More loans than one message can need.
const MAX_LOANS: usize = SLOTS;

impl fmt::Debug for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.slots.iter().flatten().count();
        f.debug_struct("Borrower").field("known", &known).field("next", &self.next).finish()
    }
}

impl Borrower {
    pub(super) fn new() -> Self {
        Self {
            slots: [const { None }; SLOTS],
            next: 0,
            pending: Vec::new(),
            arrivals: Arc::default(),
        }
    }

    pub(super) fn tell(&mut self, arrivals: Arc<Arrivals>) {
        self.arrivals = arrivals;
    }

    /// The other side tells of memory, or that it is gone.
    pub(super) fn hear(
        &mut self,
        notice: Notice,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<(), LinkError> {
        let (Notice::Here { slot } | Notice::Gone { slot }) = notice;
        let Some(place) = self.slots.get_mut(usize::from(slot)) else {
            return Err(LinkError::SharedMemory("a slot that no arena has"));
        };
        *place = None;
        if matches!(notice, Notice::Gone { .. }) {
            return Ok(());
        }
        let [memory] = match <[OwnedFd; 1]>::try_from(std::mem::take(descriptors)) {
            Ok(memory) => memory,
            Err(_) => return Err(LinkError::SharedMemory("an arena without its one descriptor")),
        };
        let mapped = match Mapped::received(std::os::fd::AsFd::as_fd(&memory)) {
            Ok(mapped) => Arc::new(mapped),
            Err(Refused::Wrong(why)) => return Err(LinkError::SharedMemory(why)),
            Err(Refused::Scarce(error)) => return Err(LinkError::Io(error)),
        };
        *place = Some(Seen { mapped, region: self.next, newest: 0 });
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    pub(super) fn knows(&self, region: u32) -> bool {
        self.slots.iter().flatten().any(|seen| seen.region == region)
    }

    /// The message that comes next is lent this.
    pub(super) fn borrow(
        &mut self,
        region: u32,
        generation: u32,
        own: &Arc<Region>,
    ) -> Result<(), LinkError> {
        let slots = self.slots.iter_mut().enumerate();
        let mut seen = slots.filter_map(|(slot, seen)| Some((slot, seen.as_mut()?)));
        let Some((slot, seen)) = seen.find(|(_, seen)| seen.region == region) else {
            return Err(LinkError::SharedMemory("a loan of memory that nobody told of"));
        };
        if generation.wrapping_sub(seen.newest) > u32::MAX / 2 {
            return Err(LinkError::SharedMemory("a loan of memory that was used anew since"));
        }
        if self.pending.len() >= MAX_LOANS {
            return Err(LinkError::SharedMemory("more loans than one message can have"));
        }
        seen.newest = generation;
        let mapped = seen.mapped.clone();
        self.pending.push(Arc::new(Loan { mapped, region, generation, slot, own: own.clone() }));
        Ok(())
    }

    /// A message is handed out.
    pub(super) fn arrived(&mut self) {
        self.arrivals.put(&mut self.pending);
    }
}
