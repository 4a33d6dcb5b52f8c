//! The words that both sides look at, and the rules by which they are read and written.
//!
//! Nothing in here maps memory or makes a system call, so that a model checker can run all of it (`tests/model.rs`).

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// What one side publishes, in one cache line of its own region. Only its owner writes it, the kernel sees to that; what the other side
/// reads in it is a claim and nothing more.
///
/// Positions count bytes since the beginning and wrap around; only their differences mean anything.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Control {
    /// Bytes that the owner has put into its ring.
    tail: AtomicU32,
    /// Bytes that the owner has taken out of the other side's ring.
    head: AtomicU32,
    /// Odd while the owner sleeps and wants to be rung for the other side's tail.
    asleep: AtomicU32,
    /// Odd while the owner has more to send than there is room, and wants to be rung for the other side's head.
    waiting: AtomicU32,
    /// Not zero once the owner has closed.
    closed: AtomicU32,
    /// The processor on which the owner last ran.
    cpu: AtomicU32,
}

/// The other side's words contradict each other: it wrote nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

impl Control {
    /// All zero, as fresh memory is.
    pub(super) fn new() -> Self {
        let zero = || AtomicU32::new(0);
        Self {
            tail: zero(),
            head: zero(),
            asleep: zero(),
            waiting: zero(),
            closed: zero(),
            cpu: zero(),
        }
    }

    /// What memory of the other side's claims. Only relaxed loads are allowed there: it is mapped read-only.
    fn claim(word: &AtomicU32) -> u32 {
        let value = word.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }

    /// Whether the owner has closed.
    pub(super) fn is_closed(&self) -> bool {
        Self::claim(&self.closed) != 0
    }

    /// Says that the owner has closed.
    pub(super) fn close(&self) {
        self.closed.store(1, Ordering::Release);
    }

    /// Where the owner last ran.
    pub(super) fn cpu(&self) -> u32 {
        self.cpu.load(Ordering::Relaxed)
    }

    /// All words, to write anything into.
    #[cfg(all(test, not(loom)))]
    pub(super) fn words(&self) -> [&AtomicU32; 6] {
        [&self.tail, &self.head, &self.asleep, &self.waiting, &self.closed, &self.cpu]
    }

    /// Whether the owner wants to be rung.
    pub(super) fn is_asleep(&self) -> bool {
        is_odd(self.asleep.load(Ordering::Relaxed))
    }

    /// Says where the owner runs.
    pub(super) fn run_on(&self, cpu: u32) {
        if self.cpu() != cpu {
            self.cpu.store(cpu, Ordering::Relaxed);
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a look finds anything that a link could act on: bytes to take, room that was waited for, or the end.
pub(super) fn has_news(own: &Control, theirs: &Control, capacity: u32) -> bool {
    let arrived = Control::claim(&theirs.tail) != own.head.load(Ordering::Relaxed);
    let room = || {
        let used = own.tail.load(Ordering::Relaxed).wrapping_sub(Control::claim(&theirs.head));
        used < capacity
    };
    arrived
        || (is_odd(own.waiting.load(Ordering::Relaxed)) && room())
        || theirs.closed.load(Ordering::Relaxed) != 0
}

/// One side's own account of where both are. The shared words are copies of it, never the other way round.
#[derive(Debug)]
pub(super) struct Account {
    /// Capacity of our ring.
    capacity: u32,
    /// Capacity of theirs.
    their_capacity: u32,
    tail: u32,
    head: u32,
    asleep: u32,
    waiting: u32,
    /// The value of their `asleep` for which they were rung.
    rung: u32,
    /// The value of their `waiting` for which they were rung.
    told: u32,
}

impl Account {
    /// The account of a side that has done nothing yet, and is asleep: whatever comes first rings.
    pub(super) fn new(own: &Control, capacity: u32, their_capacity: u32) -> Self {
        own.asleep.store(1, Ordering::Relaxed);
        Self { capacity, their_capacity, tail: 0, head: 0, asleep: 1, waiting: 0, rung: 0, told: 0 }
    }

    /// Where the next byte that we send goes.
    pub(super) fn tail(&self) -> u32 {
        self.tail
    }

    /// Where the next byte that we take lies.
    pub(super) fn head(&self) -> u32 {
        self.head
    }

    /// Bytes of theirs that can be taken.
    pub(super) fn arrived(&self, theirs: &Control) -> Result<u32, Nonsense> {
        let arrived = Control::claim(&theirs.tail).wrapping_sub(self.head);
        if arrived > self.their_capacity { Err(Nonsense) } else { Ok(arrived) }
    }

    /// Bytes were taken; true when the other side waits for this and is to be rung.
    #[must_use]
    pub(super) fn taken(&mut self, own: &Control, theirs: &Control, bytes: u32) -> bool {
        self.head = self.head.wrapping_add(bytes);
        own.head.store(self.head, Ordering::Release);
        // Pairs with the fence in `want_room`: either we see that they wait, or they see what we took.
        fence(Ordering::SeqCst);
        let waiting = Control::claim(&theirs.waiting);
        is_odd(waiting) && std::mem::replace(&mut self.told, waiting) != waiting
    }

    /// Bytes that our ring has room for.
    pub(super) fn room(&self, theirs: &Control) -> Result<u32, Nonsense> {
        let used = self.tail.wrapping_sub(Control::claim(&theirs.head));
        self.capacity.checked_sub(used).ok_or(Nonsense)
    }

    /// Bytes were written behind the tail; true when the other side sleeps and is to be rung.
    #[must_use]
    pub(super) fn put(&mut self, own: &Control, theirs: &Control, bytes: u32) -> bool {
        self.tail = self.tail.wrapping_add(bytes);
        own.tail.store(self.tail, Ordering::Release);
        // Pairs with the fence in `sleep`: either we see that they sleep, or they see what we sent.
        fence(Ordering::SeqCst);
        let asleep = Control::claim(&theirs.asleep);
        is_odd(asleep) && std::mem::replace(&mut self.rung, asleep) != asleep
    }

    /// Falls asleep, unless it is; true when there is nothing to take, so that whatever comes next rings.
    pub(super) fn sleep(&mut self, own: &Control, theirs: &Control) -> Result<bool, Nonsense> {
        if !is_odd(self.asleep) {
            self.asleep = self.asleep.wrapping_add(1);
            own.asleep.store(self.asleep, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
        Ok(self.arrived(theirs)? == 0)
    }

    /// To be called whenever a bell was heard and made quiet: it may have been for something that was taken already, and the other side
    /// rings once for each value. What is still wanted is wanted anew, and whoever calls looks again.
    pub(super) fn renew(&mut self, own: &Control) {
        for (mine, shared) in [(&mut self.asleep, &own.asleep), (&mut self.waiting, &own.waiting)] {
            if is_odd(*mine) {
                *mine = mine.wrapping_add(2);
                shared.store(*mine, Ordering::Relaxed);
            }
        }
        fence(Ordering::SeqCst);
    }

    /// Wakes up; true when it slept.
    pub(super) fn wake(&mut self, own: &Control) -> bool {
        let slept = is_odd(self.asleep);
        if slept {
            self.asleep = self.asleep.wrapping_add(1);
            own.asleep.store(self.asleep, Ordering::Relaxed);
        }
        slept
    }

    /// Asks to be rung when there is room, unless that was asked; true when there is some already.
    pub(super) fn want_room(&mut self, own: &Control, theirs: &Control) -> Result<bool, Nonsense> {
        if !is_odd(self.waiting) {
            self.waiting = self.waiting.wrapping_add(1);
            own.waiting.store(self.waiting, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
        Ok(self.room(theirs)? > 0)
    }

    /// Whether room was asked for.
    pub(super) fn wants_room(&self) -> bool {
        is_odd(self.waiting)
    }

    /// Asks no longer; true when it did. Each room that was found ends the asking, or the next would not be told.
    pub(super) fn found_room(&mut self, own: &Control) -> bool {
        let wanted = self.wants_room();
        if wanted {
            self.waiting = self.waiting.wrapping_add(1);
            own.waiting.store(self.waiting, Ordering::Relaxed);
        }
        wanted
    }
}

fn is_odd(value: u32) -> bool {
    value % 2 == 1
}

#[cfg(all(test, loom))]
#[path = "model.rs"]
mod model;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const CAPACITY: u32 = 16;

    fn pair() -> (Control, Control, Account) {
        let (own, theirs) = (Control::new(), Control::new());
        let account = Account::new(&own, CAPACITY, CAPACITY);
        (own, theirs, account)
    }

    #[test]
    fn a_sleeper_is_rung_once_however_much_is_put() {
        let (own, theirs, mut account) = pair();
        theirs.asleep.store(1, Ordering::Relaxed);
        assert!(account.put(&own, &theirs, 1));
        assert!(!account.put(&own, &theirs, 1));
        theirs.asleep.store(2, Ordering::Relaxed);
        assert!(!account.put(&own, &theirs, 1), "it is awake");
        theirs.asleep.store(3, Ordering::Relaxed);
        assert!(account.put(&own, &theirs, 1), "it sleeps again");
    }

    /// The bell may come for what a look has found meanwhile. Whoever then went on sleeping under the same value would never be rung again.
    #[test]
    fn who_was_rung_in_vain_is_rung_again() {
        let (left, right) = (Control::new(), Control::new());
        let mut sender = Account::new(&left, CAPACITY, CAPACITY);
        let mut receiver = Account::new(&right, CAPACITY, CAPACITY);
        assert!(sender.put(&left, &right, 1), "the bell is on its way");
        assert_eq!(receiver.sleep(&right, &left), Ok(false));
        assert!(receiver.wake(&right));
        assert!(!receiver.taken(&right, &left, 1));
        assert_eq!(receiver.sleep(&right, &left), Ok(true));
        // As a sender does that was slow to look whether anybody sleeps.
        assert!(sender.put(&left, &right, 0));
        receiver.renew(&right);
        assert_eq!(receiver.sleep(&right, &left), Ok(true), "nothing is there");
        assert!(sender.put(&left, &right, 1), "it sleeps under another value");

        // The same for room.
        assert!(!sender.put(&left, &right, CAPACITY - 1));
        assert_eq!(sender.want_room(&left, &right), Ok(false));
        assert!(receiver.taken(&right, &left, 0));
        sender.renew(&left);
        assert_eq!(sender.want_room(&left, &right), Ok(false));
        assert!(receiver.taken(&right, &left, 1));
    }

    #[test]
    fn positions_wrap_around() {
        let (own, theirs, mut account) = pair();
        let near_the_end = u32::MAX - 3;
        (account.tail, account.head) = (near_the_end, near_the_end);
        theirs.head.store(near_the_end, Ordering::Relaxed);
        theirs.tail.store(near_the_end.wrapping_add(10), Ordering::Relaxed);
        assert_eq!(account.arrived(&theirs), Ok(10));
        assert_eq!(account.room(&theirs), Ok(CAPACITY));
        let _ = account.put(&own, &theirs, CAPACITY);
        let _ = account.taken(&own, &theirs, 10);
        assert_eq!(account.room(&theirs), Ok(0));
        assert_eq!(account.arrived(&theirs), Ok(0));
        theirs.head.store(near_the_end.wrapping_add(9), Ordering::Relaxed);
        assert_eq!(account.room(&theirs), Ok(9));
    }

    #[test]
    fn positions_that_cannot_be_are_nonsense() {
        let (own, theirs, mut account) = pair();
        for tail in [CAPACITY + 1, u32::MAX, 1 << 31] {
            theirs.tail.store(tail, Ordering::Relaxed);
            assert_eq!(account.arrived(&theirs), Err(Nonsense), "{tail}");
            assert_eq!(account.sleep(&own, &theirs), Err(Nonsense), "{tail}");
        }
        for head in [1, u32::MAX - CAPACITY, 1 << 31] {
            theirs.head.store(head, Ordering::Relaxed);
            assert_eq!(account.room(&theirs), Err(Nonsense), "{head}");
            assert_eq!(account.want_room(&own, &theirs), Err(Nonsense), "{head}");
        }
    }

    #[test]
    fn each_wait_for_room_is_told_once() {
        let (own, theirs, mut account) = pair();
        assert!(!account.taken(&own, &theirs, 1), "nobody waits");
        theirs.waiting.store(1, Ordering::Relaxed);
        assert!(account.taken(&own, &theirs, 1));
        assert!(!account.taken(&own, &theirs, 1));
        theirs.waiting.store(3, Ordering::Relaxed);
        assert!(account.taken(&own, &theirs, 1));
    }

    #[test]
    fn a_look_finds_bytes_room_that_was_asked_for_and_the_end() {
        let (own, theirs, mut account) = pair();
        assert!(!has_news(&own, &theirs, CAPACITY));
        theirs.tail.store(1, Ordering::Relaxed);
        assert!(has_news(&own, &theirs, CAPACITY));
        let _ = account.taken(&own, &theirs, 1);
        assert!(!has_news(&own, &theirs, CAPACITY));
        let _ = account.put(&own, &theirs, CAPACITY);
        assert_eq!(account.want_room(&own, &theirs), Ok(false));
        assert!(!has_news(&own, &theirs, CAPACITY));
        theirs.head.store(1, Ordering::Relaxed);
        assert!(has_news(&own, &theirs, CAPACITY));
        account.found_room(&own);
        assert!(!has_news(&own, &theirs, CAPACITY));
        theirs.close();
        assert!(has_news(&own, &theirs, CAPACITY));
    }
}
