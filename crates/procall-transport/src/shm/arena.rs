//! Memory of ours that others may look at: where large arrays lie while they are on their way and while they are read.
//!
//! An arena has a few pieces of memory, the *segments*. One that nobody needs any more is used again, so that what is sent again and again
//! costs neither new memory nor its first touch. Who looks at a segment says in its own region how often it is done with it (`loans`); until
//! all have said so the segment rests. A segment that a peer took with it when its link ended is given up: the kernel frees it when the last
//! process that has mapped it unmaps it or dies.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::SLOTS;
use super::mapped::{self, Mapped, Plain};
use super::region::Region;

/// Most bytes of all segments of an arena together. What finds no room travels as bytes.
const MAX_BYTES: usize = 4 << 30;
/// Most bytes of segments that nobody needs and that are kept all the same, to be used again.
const MAX_IDLE: usize = 512 << 20;
/// Segments are whole pages.
const PAGE: usize = 4096;

/// Memory of this process that its peers may look at, but not change.
///
/// Everybody whom an array of an arena was ever sent to can look at all that its memory is used for later. So there is one arena for peers
/// that may know of each other, such as the workers of a pool.
///
/// ```
/// use procall_transport::shm::Arena;
///
/// let arena = Arena::new();
/// let mut buffer = arena.take(100_000)?.expect("room");
/// buffer.bytes_mut().fill(7);
/// drop(buffer);
/// let again = arena.take(100_000)?.expect("room");
/// assert_eq!(arena.segments(), 1, "the same memory");
/// # drop(again);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Arena {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Segments made so far.
    made: AtomicU64,
}

#[derive(Default)]
struct Inner {
    /// Segments that nobody here uses. Others may still look at them.
    resting: Vec<Segment>,
    /// Buffers that were given to foreign code, by their addresses.
    exposed: BTreeMap<usize, Weak<Buffer>>,
    segments: usize,
    bytes: usize,
}

/// One piece of memory.
#[derive(Debug)]
pub(super) struct Segment {
    mapped: Mapped,
    memory: OwnedFd,
    /// Tells it from all others of this process.
    number: u64,
    /// How often it was taken.
    generation: AtomicU32,
    /// Who was sent what lies in it.
    uses: Mutex<Vec<Arc<Use>>>,
    /// Gone when it is.
    life: Arc<()>,
}

/// What one link owes for one segment.
#[derive(Debug)]
pub(super) struct Use {
    /// How often it was lent, all segments that had the slot before included.
    pub(super) lent: AtomicU32,
    pub(super) slot: usize,
    /// Where the other side says how often it was done.
    pub(super) theirs: Arc<Region>,
    /// The link is gone.
    pub(super) over: AtomicBool,
}

impl Use {
    /// Whether the other side is done with all that it was lent.
    pub(super) fn is_settled(&self) -> bool {
        self.theirs.released(self.slot) == self.lent.load(Ordering::Acquire)
    }
}

impl Segment {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Something that is gone when it is.
    pub(super) fn life(&self) -> Weak<()> {
        Arc::downgrade(&self.life)
    }

    pub(super) fn used_by(&self, account: Arc<Use>) {
        lock(&self.uses).push(account);
    }

    /// Whether nobody looks at it any more; `None` when that will never be known again.
    fn is_free(&self) -> Option<bool> {
        let mut uses = lock(&self.uses);
        let mut free = true;
        let mut lost = false;
        uses.retain(|account| {
            let settled = account.is_settled();
            let over = account.over.load(Ordering::Acquire);
            lost |= over && !settled;
            free &= settled;
            !(over && settled)
        });
        (!lost).then_some(free)
    }
}

/// A piece of an arena that this process may write to, until it is given out of hand.
///
/// Dropping it lets the arena use the memory again once nobody looks at it any more.
pub struct Buffer {
    /// `None` only while it is dropped.
    segment: Option<Segment>,
    generation: u32,
    len: usize,
    arena: Arc<Shared>,
}

impl Arena {
    /// An arena without any memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory for `len` bytes with anything in it; `None` when the arena has as much as it may have, and all of it is in use.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors or the machine out of memory.
    pub fn take(&self, len: usize) -> io::Result<Option<Buffer>> {
        let room = room_for(len);
        let segment = {
            let mut inner = self.shared.lock();
            match inner.reuse(room) {
                Some(segment) => segment,
                None => {
                    if !inner.make_room(room) {
                        return Ok(None);
                    }
                    inner.segments += 1;
                    inner.bytes += room;
                    drop(inner);
                    // Without the lock: the kernel clears all of it.
                    self.shared.make(room).inspect_err(|_| {
                        let mut inner = self.shared.lock();
                        inner.segments -= 1;
                        inner.bytes -= room;
                    })?
                }
            }
        };
        let generation = segment.generation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        Ok(Some(Buffer { segment: Some(segment), generation, len, arena: self.shared.clone() }))
    }

    /// Gives a buffer to code that writes to it by its address; [`find`](Self::find) knows it from then on, as long as it lives.
    pub fn expose(&self, buffer: Buffer) -> Arc<Buffer> {
        let buffer = Arc::new(buffer);
        if Arc::ptr_eq(&buffer.arena, &self.shared) {
            let at = buffer.as_ptr() as usize;
            self.shared.lock().exposed.insert(at, Arc::downgrade(&buffer));
        }
        buffer
    }

    /// The exposed buffer in which `len` bytes from an address on lie, and where in it they begin.
    pub fn find(&self, at: *const u8, len: usize) -> Option<(Arc<Buffer>, usize)> {
        let at = at as usize;
        let buffer = {
            let inner = self.shared.lock();
            inner.exposed.range(..=at).next_back()?.1.upgrade()?
        };
        let offset = at - buffer.as_ptr() as usize;
        (offset.checked_add(len)? <= buffer.len).then_some((buffer, offset))
    }

    /// Whether a buffer is of this arena.
    pub fn owns(&self, buffer: &Buffer) -> bool {
        Arc::ptr_eq(&buffer.arena, &self.shared)
    }

    /// Pieces of memory that it has now.
    pub fn segments(&self) -> usize {
        self.shared.lock().segments
    }

    /// Bytes of memory that it has now.
    pub fn bytes(&self) -> usize {
        self.shared.lock().bytes
    }

    /// Pieces of memory that it has ever made. It grows with what is in use at once, not with what is sent.
    pub fn made(&self) -> u64 {
        self.shared.made.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.shared.lock();
        f.debug_struct("Arena")
            .field("segments", &inner.segments)
            .field("resting", &inner.resting.len())
            .field("bytes", &inner.bytes)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn make(&self, len: usize) -> io::Result<Segment> {
        /// Of all segments of this process, so that links tell those of several arenas apart.
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let (mapped, memory) = Mapped::create(len)?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Segment {
            mapped,
            memory,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            generation: AtomicU32::new(0),
            uses: Mutex::default(),
            life: Arc::default(),
        })
    }
}

impl Inner {
    /// The smallest resting segment that has the room, is not much larger, and that nobody looks at.
    fn reuse(&mut self, room: usize) -> Option<Segment> {
        self.forget_lost();
        let fits = |segment: &Segment| {
            let len = segment.mapped.len();
            len >= room && len <= room.saturating_mul(2) && segment.is_free() == Some(true)
        };
        let best = self.resting.iter().enumerate().filter(|(_, segment)| fits(segment));
        let at = best.min_by_key(|(_, segment)| segment.mapped.len())?.0;
        Some(self.resting.swap_remove(at))
    }

    /// Lets go of segments that somebody took with it: of those that are free, nobody knows when they are.
    fn forget_lost(&mut self) {
        let (segments, bytes) = (&mut self.segments, &mut self.bytes);
        self.resting.retain(|segment| {
            let known = segment.is_free().is_some();
            if !known {
                *segments -= 1;
                *bytes -= segment.mapped.len();
            }
            known
        });
    }

    /// Room for one more segment of so many bytes, if need be by letting go of free ones, those that rest longest first.
    fn make_room(&mut self, room: usize) -> bool {
        loop {
            if self.segments < SLOTS && self.bytes.saturating_add(room) <= MAX_BYTES {
                return true;
            }
            if !self.let_go() {
                return false;
            }
        }
    }

    fn let_go(&mut self) -> bool {
        let free = |segment: &Segment| segment.is_free() == Some(true);
        let Some(at) = self.resting.iter().position(free) else { return false };
        let segment = self.resting.remove(at);
        self.segments -= 1;
        self.bytes -= segment.mapped.len();
        true
    }

    /// A segment that nobody here uses any more.
    fn rest(&mut self, segment: Segment) {
        self.resting.push(segment);
        self.forget_lost();
        while self.resting.iter().map(|segment| segment.mapped.len()).sum::<usize>() > MAX_IDLE {
            if !self.let_go() {
                break;
            }
        }
    }
}

impl Buffer {
    fn segment(&self) -> Option<&Segment> {
        self.segment.as_ref()
    }

    /// For the link that lends it out.
    pub(super) fn lent(&self) -> Option<(&Segment, u32)> {
        Some((self.segment()?, self.generation))
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Which use of which memory it is: no other buffer of this process has the same two numbers.
    pub fn key(&self) -> (u64, u32) {
        (self.segment().map_or(0, |segment| segment.number), self.generation)
    }

    /// Its bytes. At first there is anything in them.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.segment {
            Some(segment) => segment.mapped.bytes_mut(self.len),
            // Not before it is dropped.
            None => &mut [],
        }
    }

    /// The same as numbers, as many as fit.
    pub fn elements_mut<T: Plain>(&mut self) -> &mut [T] {
        mapped::elements_mut(self.bytes_mut())
    }

    /// Whether somebody was lent it and has not given it back. Whoever writes to it now changes what they see.
    pub fn is_lent(&self) -> bool {
        self.segment().is_some_and(|segment| segment.is_free() == Some(false))
    }

    /// Where its bytes lie, for foreign code. They stay there for as long as it lives.
    pub fn as_ptr(&self) -> *mut u8 {
        self.segment().map_or(std::ptr::null_mut(), |segment| segment.mapped.as_ptr())
    }

    /// Appends some of its bytes; false when it has not so many.
    #[must_use]
    pub fn copy(&self, at: usize, len: usize, into: &mut Vec<u8>) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.len)
            && self.segment().is_some_and(|segment| segment.mapped.copy(at, len, into))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        let mut inner = self.arena.lock();
        inner.exposed.remove(&(segment.mapped.as_ptr() as usize));
        inner.rest(segment);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len)
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

/// The size of a segment for so many bytes: an eighth more at most, so that arrays of about one size share memory.
fn room_for(len: usize) -> usize {
    let len = len.max(1);
    let step = (len.next_power_of_two() / 16).max(PAGE);
    len.next_multiple_of(step)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_nobody_needs_is_used_again() {
        let arena = Arena::new();
        let first = arena.take(70_000).unwrap().unwrap();
        let (number, generation) = first.key();
        drop(first);
        let second = arena.take(69_000).unwrap().unwrap();
        assert_eq!(second.key(), (number, generation + 1));
        let third = arena.take(69_000).unwrap().unwrap();
        assert_ne!(third.key().0, number, "the other one is in use");
        assert_eq!((arena.segments(), arena.made()), (2, 2));
    }

    #[test]
    fn a_small_array_does_not_take_a_large_memory() {
        let arena = Arena::new();
        drop(arena.take(1 << 20).unwrap().unwrap());
        drop(arena.take(1 << 16).unwrap().unwrap());
        assert_eq!(arena.segments(), 2);
    }

    #[test]
    fn an_arena_has_so_many_segments_and_no_more() {
        let arena = Arena::new();
        let mut taken: Vec<_> = (0..SLOTS).map(|_| arena.take(1).unwrap().unwrap()).collect();
        assert!(arena.take(1).unwrap().is_none());
        taken.pop();
        assert!(arena.take(1 << 20).unwrap().is_some(), "a free one makes room");
        assert_eq!(arena.segments(), SLOTS);
    }

    #[test]
    fn sizes_share_memory_and_waste_little() {
        for len in [1, 4096, 4097, 100_000, 1 << 20, (1 << 20) + 1, (64 << 20) + 80] {
            let room = room_for(len);
            assert!(room >= len && room.is_multiple_of(PAGE), "{len} {room}");
            assert!(room <= len + (len / 8).max(PAGE), "{len} {room}");
        }
    }

    #[test]
    fn what_was_given_to_foreign_code_is_found_by_its_address() {
        let arena = Arena::new();
        let buffer = arena.expose(arena.take(100_000).unwrap().unwrap());
        let at = buffer.as_ptr().cast_const();
        let (found, offset) = arena.find(at.wrapping_add(16), 99_984).unwrap();
        assert!(Arc::ptr_eq(&found, &buffer));
        assert_eq!(offset, 16);
        drop(found);
        assert!(arena.find(at.wrapping_add(16), 99_985).is_none(), "it goes beyond the end");
        assert!(arena.find(at.wrapping_sub(1), 1).is_none());
        drop(buffer);
        assert!(arena.find(at, 1).is_none(), "it is gone");
    }
}
