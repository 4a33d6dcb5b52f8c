//! What a child does between fork and exec, so that it never outlives its parent: the one place of this crate that may be unsafe.

#![allow(unsafe_code)]

use std::ffi::c_long;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};

/// Makes the child of this command
///
/// - lead a session and process group of its own, so that a terminal's Ctrl-C reaches only the host, and all it starts can be signalled;
/// - die when the calling *thread* ends, for which reason that thread must be permanent;
/// - give up at once when the parent is gone already, which closes the gap before the line above took effect;
/// - inherit nothing but its standard streams and `channel`.
pub(super) fn tie(command: &mut Command, channel: RawFd) {
    let parent = std::process::id();
    let prepare = move || -> io::Result<()> {
        setsid()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        if now != Some(parent) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
        }
        close_the_rest_on_exec();
        // SAFETY: the parent keeps `channel` open until the child has been started, and the borrow ends within this line.
        let channel = unsafe { BorrowedFd::borrow_raw(channel) };
        fcntl_setfd(channel, FdFlags::empty())?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure only makes system calls (setsid, prctl, getppid, close_range, fcntl), all of them thin
    // wrappers without locks, and it neither allocates nor panics: errors are plain numbers, the closure captures two integers.
    unsafe { command.pre_exec(prepare) };
}

/// Descriptors that the host left open without close-on-exec do not pass on to workers. Kernels before 5.11 refuse, and then they do.
fn close_the_rest_on_exec() {
    /// The same number on every architecture that Rust supports.
    const SYS_CLOSE_RANGE: c_long = 436;
    const CLOSE_RANGE_CLOEXEC: c_long = 4;
    let (first, last): (c_long, c_long) = (3, u32::MAX as c_long);
    // SAFETY: close_range takes three numbers, touches no memory, and with this flag closes nothing before exec.
    let _ = unsafe { syscall(SYS_CLOSE_RANGE, first, last, CLOSE_RANGE_CLOEXEC) };
}

// The C library that the standard library links anyway.
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}
