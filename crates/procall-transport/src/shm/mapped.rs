//! Memory of one large array, mapped: by its owner to be written, by the other side to be read.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use rustix::fs::{
    FallocateFlags, MemfdFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate,
    memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::region::{Refused, SEALS};

/// The largest memory that is taken of the other side, in bytes.
const MAX_LEN: u64 = 8 << 30;

/// Memory that stays mapped for as long as this lives.
#[derive(Debug)]
pub(super) struct Mapped {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to no thread. Through `&Mapped` it is only read, by atomic loads; the one exception, `bytes_mut`, needs
// `&mut Mapped`.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// New memory that nobody but this process can write to, all of it there, and the descriptor of it for other processes.
    pub(super) fn create(len: usize) -> io::Result<(Self, OwnedFd)> {
        let memory =
            memfd_create(c"procall-arena", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, len as u64)?;
        // What is not there when it is touched would kill us, or the other side.
        fallocate(&memory, FallocateFlags::empty(), 0, len as u64)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let mapped = Self::map(memory.as_fd(), len, protection, MapFlags::POPULATE)?;
        // From here on this mapping is the only way to write to it.
        fcntl_add_seals(&memory, SEALS)?;
        Ok((mapped, memory))
    }

    /// Maps memory of the other side's to be read, provided that it can neither shrink nor be changed by us, and is there to its last byte.
    pub(super) fn received(memory: BorrowedFd<'_>) -> Result<Self, Refused> {
        let Ok(seals) = fcntl_get_seals(memory) else {
            return Err(Refused::Wrong("a descriptor that is no memory"));
        };
        if !seals.contains(SEALS) {
            return Err(Refused::Wrong("memory without the seals that were agreed on"));
        }
        let stat = fstat(memory).map_err(|error| Refused::Scarce(error.into()))?;
        let len = stat.st_size as u64;
        if len == 0 || len > MAX_LEN {
            return Err(Refused::Wrong("memory of a size that none may have"));
        }
        if (stat.st_blocks as u64) * 512 < len {
            return Err(Refused::Wrong("memory that is not all there"));
        }
        let len =
            usize::try_from(len).map_err(|_| Refused::Scarce(io::ErrorKind::OutOfMemory.into()))?;
        Self::map(memory, len, ProtFlags::READ, MapFlags::empty()).map_err(Refused::Scarce)
    }

    fn map(
        memory: BorrowedFd<'_>,
        len: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Self> {
        let flags = MapFlags::SHARED | flags;
        // SAFETY: a new mapping at a place of the kernel's choosing touches no memory that is in use.
        let at = unsafe { mmap(std::ptr::null_mut(), len, protection, flags, memory, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { at, len })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where it lies. It stays there for as long as `self` lives, and may change at any moment.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    /// The first `len` bytes of memory that this process made and has given to nobody yet, not even to code of its own.
    pub(super) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        let len = len.min(self.len);
        // SAFETY: the memory is mapped for as long as `self` lives, and so many bytes of it exist. It is called for memory of our own only,
        // which is mapped writable here and nowhere else; that nobody else looks at it through `self` is what `&mut` says.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), len) }
    }

    /// Appends the bytes `at..at + len`, copied once: whatever becomes of them meanwhile, what was appended stays. False when there are not
    /// so many.
    #[must_use]
    pub(super) fn copy(&self, at: usize, len: usize, into: &mut Vec<u8>) -> bool {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return false;
        }
        into.reserve(len);
        let room = &mut into.spare_capacity_mut()[..len];
        // SAFETY: `at` is inside the mapping, as was just checked.
        let from = unsafe { self.at.as_ptr().add(at) };
        // SAFETY: `from..from + len` is inside the mapping, as was just checked.
        unsafe { copy_words(from, room) };
        // SAFETY: that many bytes behind the length were just written.
        unsafe { into.set_len(into.len() + len) };
        true
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: this is what `map` mapped, and nothing refers to it any more: every borrow was of `self`, and whoever has a pointer of
        // `as_ptr` holds what `self` is in.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping can be unmapped: {unmapped:?}");
    }
}

/// A number that any bytes of its size are.
pub trait Plain: Copy + Default + sealed::Sealed {}

mod sealed {
    #[allow(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl Plain for $type {}
    )*};
}

plain!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// Bytes at a page's begin as numbers, as many as fit.
pub(super) fn elements_mut<T: Plain>(bytes: &mut [u8]) -> &mut [T] {
    // SAFETY: any bytes are a `T`, and any `T` is bytes.
    let (before, elements, _) = unsafe { bytes.align_to_mut::<T>() };
    debug_assert!(before.is_empty(), "a page is aligned to anything");
    elements
}

/// Fills `room` with what lies at `from`, loaded as atomics: others may write there meanwhile.
///
/// # Safety
///
/// So many bytes from `from` on are mapped and readable, and nobody of this process writes there but foreign code and by atomics.
unsafe fn copy_words(from: *mut u8, room: &mut [MaybeUninit<u8>]) {
    const WORD: usize = size_of::<u64>();
    let byte = |at: usize| {
        // SAFETY: inside, as the caller promises.
        let byte = unsafe { from.add(at) };
        // SAFETY: valid as just said.
        MaybeUninit::new(unsafe { AtomicU8::from_ptr(byte) }.load(Ordering::Relaxed))
    };
    let before = from.align_offset(WORD).min(room.len());
    let words = (room.len() - before) / WORD;
    for (at, place) in room[..before].iter_mut().enumerate() {
        *place = byte(at);
    }
    let (middle, after) = room[before..].split_at_mut(words * WORD);
    for (i, place) in middle.as_chunks_mut::<WORD>().0.iter_mut().enumerate() {
        // SAFETY: inside, as the caller promises.
        let word = unsafe { from.add(before + i * WORD) };
        // SAFETY: valid as just said, and `before` bytes make it aligned.
        let word = unsafe { AtomicU64::from_ptr(word.cast()) }.load(Ordering::Relaxed);
        *place = word.to_ne_bytes().map(MaybeUninit::new);
    }
    for (at, place) in after.iter_mut().enumerate() {
        *place = byte(before + words * WORD + at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_copied_from_any_place_to_any_place() {
        let mut heap = [0_u64; 16];
        let bytes: [u8; 128] = std::array::from_fn(|at| at as u8);
        for (word, bytes) in heap.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let at = heap.as_mut_ptr().cast::<u8>();
        for from in 0..20 {
            for len in 0..(128 - from) {
                let mut copied = vec![MaybeUninit::new(0); len];
                // SAFETY: `from + len` is at most 128, which `heap` has.
                let at = unsafe { at.add(from) };
                // SAFETY: as above.
                unsafe { copy_words(at, &mut copied) };
                // SAFETY: all of it was initialised in the beginning.
                let copied: Vec<u8> =
                    copied.iter().map(|byte| unsafe { byte.assume_init() }).collect();
                assert_eq!(copied, bytes[from..from + len]);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps memory")]
    fn what_lies_outside_is_not_copied() {
        let (mapped, _memory) = Mapped::create(4096).unwrap();
        let mut into = Vec::new();
        assert!(mapped.copy(4096, 0, &mut into));
        for (at, len) in [(4096, 1), (0, 4097), (usize::MAX, 1), (1, usize::MAX)] {
            assert!(!mapped.copy(at, len, &mut into), "{at} {len}");
        }
        assert!(into.is_empty());
    }
}
