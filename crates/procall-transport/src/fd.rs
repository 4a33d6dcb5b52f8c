//! Descriptors: the one room of this crate that may be unsafe.
//!
//! A parent hands its child one end of a pair as a bare number; [`adopt`] turns that number into an owner, after making sure that it
//! still is what the parent meant. Launchers in between (`npx`, `uv run`) reuse and close numbers.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, fstat};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::PeerCredentials;

/// Why a descriptor was not adopted; the inner error of what [`adopt`] returns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// Nothing is open under this number.
    #[error("descriptor {number} is not open: it did not survive the way from the parent")]
    NotOpen {
        /// The number that was to be adopted.
        number: RawFd,
    },
    /// Something else than a socket is open under this number.
    #[error("descriptor {number} is not a socket: something else uses the number")]
    NotSocket {
        /// The number that was to be adopted.
        number: RawFd,
    },
    /// Another socket is open under this number.
    #[error(
        "descriptor {number} is another socket: expected {expected:?} (device, inode), found {found:?}"
    )]
    Another {
        /// The number that was to be adopted.
        number: RawFd,
        /// Device and inode that the parent named.
        expected: (u64, u64),
        /// Device and inode of what is there.
        found: (u64, u64),
    },
    /// This socket was adopted under this number before.
    #[error("descriptor {number} was adopted before: it has an owner in this process")]
    Adopted {
        /// The number that was to be adopted.
        number: RawFd,
    },
}

impl From<AdoptError> for io::Error {
    fn from(error: AdoptError) -> Self {
        let kind = match &error {
            AdoptError::NotOpen { .. } => io::ErrorKind::NotFound,
            AdoptError::Adopted { .. } => io::ErrorKind::AlreadyExists,
            AdoptError::NotSocket { .. } | AdoptError::Another { .. } => {
                io::ErrorKind::InvalidInput
            }
        };
        Self::new(kind, error)
    }
}

/// Takes ownership of an inherited socket, named by its number, device and inode, and marks it close-on-exec.
///
/// The three must come from the parent that made the socket. Never name a descriptor that something in this process owns, such as
/// one it has opened itself: it would get a second owner, and both would close it. Adopting twice is refused for the same reason.
///
/// # Errors
///
/// With an [`AdoptError`] inside that says what was wrong; nothing has then changed.
///
/// ```
/// use procall_transport::fd::{self, AdoptError};
///
/// let error = fd::adopt(987_654, 8, 1234).unwrap_err();
/// let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<AdoptError>());
/// assert_eq!(reason, Some(&AdoptError::NotOpen { number: 987_654 }));
/// ```
pub fn adopt(number: RawFd, dev: u64, ino: u64) -> io::Result<OwnedFd> {
    /// All that were adopted: for a worker one, as long as it lives. Being close-on-exec would not do as the mark of an owned
    /// descriptor, since Node sets that on descriptors it inherits.
    static ADOPTED: Mutex<Vec<(RawFd, u64, u64)>> = Mutex::new(Vec::new());
    let mut adopted = ADOPTED.lock().unwrap_or_else(PoisonError::into_inner);

    let not_open = AdoptError::NotOpen { number };
    if number < 0 {
        return Err(not_open.into());
    }
    // SAFETY: the number is not -1. The borrow ends with this function and reaches only system calls, the first of which (F_GETFD)
    // answers EBADF when nothing is open under the number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let Ok(flags) = fcntl_getfd(borrowed) else { return Err(not_open.into()) };
    let stat = fstat(borrowed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(AdoptError::NotSocket { number }.into());
    }
    let found = (stat.st_dev, stat.st_ino);
    if found != (dev, ino) {
        return Err(AdoptError::Another { number, expected: (dev, ino), found }.into());
    }
    if adopted.contains(&(number, dev, ino)) {
        return Err(AdoptError::Adopted { number }.into());
    }
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    adopted.push((number, dev, ino));
    // SAFETY: it is open, and it is the very socket that another process made for us, so that nothing but inheritance can have brought
    // it here and nothing here owns it; the list above keeps a second adoption out.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Device and inode of an open descriptor, by which [`adopt`] recognises it in another process.
///
/// # Errors
///
/// What the kernel says.
///
/// ```
/// use procall_transport::fd;
/// use std::os::fd::AsFd;
/// use std::os::unix::net::UnixStream;
///
/// let (one, other) = UnixStream::pair()?;
/// assert_ne!(fd::identity(one.as_fd())?, fd::identity(other.as_fd())?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Who is at the other end of a Unix socket.
///
/// rustix has this too, but with a process id that cannot be 0, and the kernel says 0 for a peer in a process namespace we cannot see.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
    const SO_PEERCRED: c_int = 17;
    /// `struct ucred`: pid, uid, gid.
    const LEN: u32 = 12;
    let mut ucred = [0_u32; 3];
    let mut len = LEN;
    // SAFETY: `ucred` and `len` are valid for writing, `len` says how many bytes `ucred` has, and any bytes are valid integers.
    let status = unsafe {
        getsockopt(
            socket.as_raw_fd(),
            SOL_SOCKET,
            SO_PEERCRED,
            ucred.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    if len != LEN {
        return Err(io::Error::other("the kernel's peer credentials have an unknown size"));
    }
    let [pid, uid, gid] = ucred;
    Ok(PeerCredentials { pid, uid, gid })
}

/// Bounds how many bytes the kernel holds that TCP has not yet sent, after which the socket counts as full. rustix does not have it.
pub(crate) fn set_notsent_lowat(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    const TCP_NOTSENT_LOWAT: c_int = 25;
    // SAFETY: the value is valid for reading four bytes, which is the size given.
    let status = unsafe {
        setsockopt(socket.as_raw_fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, (&raw const bytes).cast(), 4)
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Not so on MIPS, SPARC and PA-RISC, none of which we build for.
const SOL_SOCKET: c_int = 1;
const IPPROTO_TCP: c_int = 6;

// The C library that the standard library links anyway.
unsafe extern "C" {
    fn getsockopt(
        socket: c_int,
        level: c_int,
        name: c_int,
        value: *mut c_void,
        len: *mut u32,
    ) -> c_int;
    fn setsockopt(
        socket: c_int,
        level: c_int,
        name: c_int,
        value: *const c_void,
        len: u32,
    ) -> c_int;
}
