//! A piece of memory that one side writes and the other reads.
//!
//! ```text
//! | control words, one cache line | … | releases | … | ring                     |
//! 0                               64  1024       1280 4096               4096 + capacity
//! ```

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, SeekFrom, fallocate, fcntl_add_seals, fcntl_get_seals,
    fstat, ftruncate, memfd_create, seek,
};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use super::control::Control;
use super::{MAX_CAPACITY, MIN_CAPACITY, SLOTS};

/// No page is smaller.
const PAGE: usize = 4096;

/// Where the releases begin: one word for each slot of the other side's arena.
const RELEASES: usize = 1024;
/// Where the ring begins.
const RING: usize = 4096;

/// What the other side must not be able to do to its memory once we look at it: to take it away under us would kill us.
pub(super) const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE);

/// Memory that stays mapped for as long as this lives.
#[derive(Debug)]
pub(super) struct Region {
    at: NonNull<u8>,
    /// Of the ring; a power of two.
    capacity: u32,
    /// Memory of the heap in the place of mapped memory, for tests where there is nothing to map: under Miri.
    #[cfg(test)]
    heap: Vec<u64>,
}

// SAFETY: the memory belongs to no thread. Through `&Region` it is only touched by atomic operations; the one exception, `Own::write`, needs
// `&mut Own`, of which there is one for each region.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// Our own region, to write to. There is one for each region.
#[derive(Debug)]
pub(super) struct Own {
    region: Arc<Region>,
}

/// The other side's region, to read from.
#[derive(Debug)]
pub(super) struct Theirs {
    region: Arc<Region>,
}

/// Why memory of the other side's was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is not what was agreed on.
    Wrong(&'static str),
    /// This process cannot have it now.
    Scarce(io::Error),
}

impl Region {
    fn len(capacity: u32) -> usize {
        RING + capacity as usize
    }

    pub(super) fn control(&self) -> &Control {
        // SAFETY: the region is mapped for as long as `self` lives, is aligned to a page, and begins with a `Control`, which is made of atomic
        // words: any bytes are valid ones, and others may change them meanwhile. Of a region that is mapped read-only only relaxed loads are
        // made, which the platforms we build for allow.
        unsafe { self.at.cast::<Control>().as_ref() }
    }

    /// How often the owner says that it is done with what it was lent in a slot.
    pub(super) fn released(&self, slot: usize) -> u32 {
        let released = self.releases()[slot].load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        released
    }

    /// Says so of our own region.
    pub(super) fn release(&self, slot: usize) {
        self.releases()[slot].fetch_add(1, Ordering::Release);
    }

    fn releases(&self) -> &[AtomicU32; SLOTS] {
        // SAFETY: the region is mapped for as long as `self` lives, and so many words lie in front of the ring. They are atomic words: any bytes
        // are valid ones, and others may change them meanwhile.
        let releases = unsafe { self.at.add(RELEASES) }.cast::<[AtomicU32; SLOTS]>();
        // SAFETY: as above, and aligned, since the region is to a page.
        unsafe { releases.as_ref() }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The places of `bytes` bytes of the ring from position `from` on: two pieces, since they may go round.
    fn pieces(&self, from: u32, bytes: usize) -> [(usize, usize); 2] {
        let capacity = self.capacity as usize;
        assert!(bytes <= capacity, "no more can lie in a ring than it holds");
        let start = from as usize & (capacity - 1);
        let first = bytes.min(capacity - start);
        [(RING + start, first), (RING, bytes - first)]
    }

    fn map(memory: BorrowedFd<'_>, capacity: u32, protection: ProtFlags) -> io::Result<Self> {
        let len = Self::len(capacity);
        // SAFETY: a new mapping at a place of the kernel's choosing touches no memory that is in use.
        let at =
            unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, memory, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            at,
            capacity,
            #[cfg(test)]
            heap: Vec::new(),
        })
    }
}

impl Region {
    /// Makes the kernel put all pages in place now, so that no access has to wait for memory, or is killed for want of it. False where the
    /// kernel is older than that.
    fn populate(&self, advice: Advice) -> io::Result<bool> {
        // SAFETY: this is what `map` mapped, and populating changes no byte of it.
        match unsafe { madvise(self.at.as_ptr().cast(), Self::len(self.capacity), advice) } {
            Ok(()) => Ok(true),
            Err(Errno::INVAL) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        #[cfg(test)]
        if !self.heap.is_empty() {
            return;
        }
        // SAFETY: this is what `map` mapped, and nothing refers to it any more: every borrow was of `self`.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), Self::len(self.capacity)) };
        debug_assert!(unmapped.is_ok(), "a mapping can be unmapped: {unmapped:?}");
    }
}

impl Own {
    /// New memory that nobody but this process can write to, and the descriptor of it for the other side.
    pub(super) fn new(capacity: u32) -> io::Result<(Self, OwnedFd)> {
        let len = Region::len(capacity) as u64;
        let memory =
            memfd_create(c"procall-ring", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, len)?;
        // What is not there when it is touched would kill us, or the other side.
        fallocate(&memory, FallocateFlags::empty(), 0, len)?;
        let region = Region::map(memory.as_fd(), capacity, ProtFlags::READ | ProtFlags::WRITE)?;
        if !region.populate(Advice::LinuxPopulateWrite)? {
            // Written to, it is there as well; a page that is only reserved looks like a hole to the other side.
            for at in (0..len).step_by(PAGE) {
                rustix::io::pwrite(&memory, &[0], at)?;
            }
        }
        // From here on this mapping is the only way to write to it.
        fcntl_add_seals(&memory, SEALS)?;
        Ok((Self { region: Arc::new(region) }, memory))
    }

    pub(super) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Writes into the ring at position `to`, where the other side looks only once the tail has passed it.
    pub(super) fn write(&mut self, to: u32, mut bytes: &[u8]) {
        for (at, len) in self.region.pieces(to, bytes.len()) {
            let (now, later) = bytes.split_at(len);
            // SAFETY: `pieces` keeps `at..at + len` inside the region.
            let to = unsafe { self.region.at.as_ptr().add(at) };
            // SAFETY: valid as just said, and mapped writable by this process alone. Nothing of this process reads these bytes: `Theirs` is
            // of another region, and there is one `Own`, borrowed mutably.
            unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), to, len) };
            bytes = later;
        }
    }
}

impl Theirs {
    /// Maps memory that the other side made, provided that it can neither shrink nor be changed by us, and is there to its last byte.
    pub(super) fn new(memory: BorrowedFd<'_>, capacity: u32) -> Result<Self, Refused> {
        if !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) || !capacity.is_power_of_two() {
            return Err(Refused::Wrong("a ring of a size that none may have"));
        }
        let Ok(seals) = fcntl_get_seals(memory) else {
            return Err(Refused::Wrong("a descriptor that is no memory"));
        };
        if !seals.contains(SEALS) {
            return Err(Refused::Wrong("memory without the seals that were agreed on"));
        }
        let stat = fstat(memory).map_err(|error| Refused::Scarce(error.into()))?;
        let len = Region::len(capacity) as u64;
        if stat.st_size as u64 != len {
            return Err(Refused::Wrong("memory of another size than was announced"));
        }
        // Sealed as it is, what is there cannot go; what is not there might not come when it is touched. That it takes so much memory does not
        // say where: a file may have some behind its end.
        let hole =
            seek(memory, SeekFrom::Hole(0)).map_err(|error| Refused::Scarce(error.into()))?;
        if (stat.st_blocks as u64) * 512 < len || hole != len {
            return Err(Refused::Wrong("memory that is not all there"));
        }
        let region = Region::map(memory, capacity, ProtFlags::READ).map_err(Refused::Scarce)?;
        // An older kernel does it page by page, when they are read.
        region.populate(Advice::LinuxPopulateRead).map_err(Refused::Scarce)?;
        Ok(Self { region: Arc::new(region) })
    }

    pub(super) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Appends `bytes` bytes from position `from` on. They are copied once: whatever the other side does meanwhile, what was appended stays.
    pub(super) fn read(&self, from: u32, bytes: usize, into: &mut Vec<u8>) {
        into.reserve(bytes);
        for (at, len) in self.region.pieces(from, bytes) {
            self.read_piece(at, len, into);
        }
    }

    fn read_piece(&self, at: usize, len: usize, into: &mut Vec<u8>) {
        const WORD: usize = size_of::<u64>();
        let before = (at.wrapping_neg() % WORD).min(len);
        for i in 0..before {
            into.push(self.byte(at + i));
        }
        let words = (len - before) / WORD;
        // SAFETY: `pieces` keeps `at..at + len` inside the region.
        let from = unsafe { self.region.at.as_ptr().add(at + before) };
        into.extend_from_words(words, |i| {
            // SAFETY: the region begins at a page, so `from` is aligned to a word, and `i < words` stays inside.
            let word = unsafe { from.cast::<u64>().add(i) };
            // SAFETY: valid and aligned as just said; the other side may write to it at any moment, in another process, which is why it is
            // loaded as an atomic.
            unsafe { AtomicU64::from_ptr(word) }.load(Ordering::Relaxed).to_ne_bytes()
        });
        for i in before + words * WORD..len {
            into.push(self.byte(at + i));
        }
    }

    fn byte(&self, at: usize) -> u8 {
        // SAFETY: `pieces` keeps `at` inside the region.
        let byte = unsafe { self.region.at.as_ptr().add(at) };
        // SAFETY: valid as just said; loaded as an atomic, because the other side may write to it.
        unsafe { AtomicU8::from_ptr(byte) }.load(Ordering::Relaxed)
    }
}

/// Appending many words at once.
trait ExtendFromWords {
    fn extend_from_words(&mut self, words: usize, word: impl Fn(usize) -> [u8; 8]);
}

impl ExtendFromWords for Vec<u8> {
    fn extend_from_words(&mut self, words: usize, word: impl Fn(usize) -> [u8; 8]) {
        self.reserve(words * 8);
        let room = &mut self.spare_capacity_mut()[..words * 8];
        for (i, place) in room.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *place = word(i).map(std::mem::MaybeUninit::new);
        }
        // SAFETY: that many bytes behind the length were just written.
        unsafe { self.set_len(self.len() + words * 8) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_the_heap() -> (Own, Theirs) {
        let mut heap = vec![0_u64; Region::len(MIN_CAPACITY) / 8 + 8];
        let skip = heap.as_ptr().align_offset(64);
        let at = NonNull::from(&mut heap[skip]).cast();
        let region = Arc::new(Region { at, capacity: MIN_CAPACITY, heap });
        (Own { region: region.clone() }, Theirs { region })
    }

    #[test]
    fn bytes_come_out_as_they_went_in_wherever_they_lie() {
        let (mut own, theirs) = on_the_heap();
        for from in (0..MIN_CAPACITY).step_by(509).chain(MIN_CAPACITY - 20..MIN_CAPACITY) {
            for len in [0, 1, 7, 8, 9, 31, 100] {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + from as usize) as u8).collect();
                own.write(from, &bytes);
                let mut found = b"before".to_vec();
                theirs.read(from, len, &mut found);
                assert_eq!(found[6..], bytes, "{len} bytes at {from}");
            }
        }
        let all: Vec<u8> = (0..MIN_CAPACITY).map(|i| (i % 251) as u8).collect();
        own.write(u32::MAX - 5, &all);
        let mut found = Vec::new();
        theirs.read(u32::MAX - 5, all.len(), &mut found);
        assert_eq!(found, all);
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps memory")]
    fn what_one_side_writes_the_other_reads_and_cannot_write() {
        let (mut own, memory) = Own::new(MAX_CAPACITY).unwrap();
        own.write(MAX_CAPACITY - 3, b"around");
        let theirs = Theirs::new(memory.as_fd(), MAX_CAPACITY).unwrap();
        let mut found = Vec::new();
        theirs.read(MAX_CAPACITY - 3, 6, &mut found);
        assert_eq!(found, b"around");
        let writable = ProtFlags::READ | ProtFlags::WRITE;
        assert!(Region::map(memory.as_fd(), MAX_CAPACITY, writable).is_err());
        assert!(rustix::io::write(&memory, b"x").is_err());
        assert!(ftruncate(&memory, 0).is_err());
        assert!(ftruncate(&memory, 1 << 20).is_err());
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        assert!(fallocate(&memory, hole, 0, 4096).is_err(), "what is there cannot go");
    }

    fn sealed(len: u64, filled: bool, seals: SealFlags) -> OwnedFd {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = memfd_create(c"test", flags).unwrap();
        ftruncate(&memory, len).unwrap();
        for at in (0..if filled { len } else { 0 }).step_by(PAGE) {
            rustix::io::pwrite(&memory, &[0], at).unwrap();
        }
        fcntl_add_seals(&memory, seals).unwrap();
        memory
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps memory")]
    fn memory_that_could_be_taken_away_is_refused() {
        let len = Region::len(MIN_CAPACITY) as u64;
        let refused = |memory: &OwnedFd, capacity| match Theirs::new(memory.as_fd(), capacity) {
            Err(Refused::Wrong(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(Theirs::new(sealed(len, true, SEALS).as_fd(), MIN_CAPACITY).is_ok());
        for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::FUTURE_WRITE] {
            let memory = sealed(len, true, SEALS.difference(missing));
            assert!(refused(&memory, MIN_CAPACITY).contains("seals"), "{missing:?}");
        }
        assert!(refused(&sealed(len - 1, true, SEALS), MIN_CAPACITY).contains("size"));
        assert!(refused(&sealed(len + 1, true, SEALS), MIN_CAPACITY).contains("size"));
        assert!(refused(&sealed(len, false, SEALS), MIN_CAPACITY).contains("not all there"));
        // As much as is needed, but behind the end or with one page too few.
        let at_the_end = || {
            let memory = sealed(len, false, SealFlags::empty());
            fallocate(&memory, FallocateFlags::KEEP_SIZE, len, 4 * len).unwrap();
            memory
        };
        let memory = at_the_end();
        assert!(fstat(&memory).unwrap().st_blocks as u64 * 512 >= len);
        fcntl_add_seals(&memory, SEALS).unwrap();
        assert!(refused(&memory, MIN_CAPACITY).contains("not all there"));
        let memory = at_the_end();
        for at in (0..len - PAGE as u64).step_by(PAGE) {
            rustix::io::pwrite(&memory, &[1], at).unwrap();
        }
        fcntl_add_seals(&memory, SEALS).unwrap();
        assert!(refused(&memory, MIN_CAPACITY).contains("not all there"));
        for capacity in [0, 1, MIN_CAPACITY - 1, MIN_CAPACITY + 1, MAX_CAPACITY * 2, u32::MAX] {
            assert!(refused(&sealed(len, true, SEALS), capacity).contains("size"), "{capacity}");
        }
        let no_memory = rustix::pipe::pipe().unwrap().0;
        assert!(refused(&no_memory, MIN_CAPACITY).contains("no memory"));
    }
}
