//! Who may listen at a socket file: whoever holds the lock beside it.
//!
//! The lock is the kernel's, so that it ends with the process however that ends, and nothing has to be cleaned up before the next start.
//! Only its holder removes or replaces the socket file.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use procall_proto::ErrorCode;
use procall_transport::LinkOptions;
use procall_transport::unix::UnixLink;
use procall_transport::{Link, PeerCredentials};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, open, openat, statat,
    unlinkat,
};
use rustix::io::Errno;

use crate::error::Error;

/// The right to listen at a socket file, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    directory: OwnedFd,
    name: OsString,
    file: OwnedFd,
    identity: (u64, u64),
    /// The process that took it. A forked copy of that process must not give it away.
    owner: u32,
}

impl Lock {
    /// Takes the lock of the socket file at `socket`: the file of that name with `.lock` behind it.
    ///
    /// NAME_TAKEN when another listener holds it, in this process or another.
    pub(crate) fn take(socket: &Path) -> Result<Self, Error> {
        let Some(file_name) = socket.file_name() else {
            return Err(Error::invalid(format!(
                "unix:{} names a directory; give the path of a socket file in it",
                socket.display()
            )));
        };
        let parent = match socket.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(parent, flags, Mode::empty()).map_err(|error| {
            let fix = if error == Errno::NOENT { "; make it first" } else { "" };
            failed(socket, format_args!("the directory {}: {error}{fix}", parent.display()), error)
        })?;
        let mut name = file_name.to_owned();
        name.push(".lock");
        loop {
            let file = open_lock(&directory, &name, socket)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => return Err(taken(socket)),
                Err(error) => return Err(failed(socket, format_args!("the lock: {error}"), error)),
            }
            let stat = fstat(&file)
                .map_err(|error| failed(socket, format_args!("the lock: {error}"), error))?;
            // The holder before us may have removed the file between our opening and our locking it; then another may hold the new one.
            let present = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW);
            if present.is_ok_and(|present| identity(&present) == identity(&stat)) {
                let (identity, owner) = (identity(&stat), std::process::id());
                return Ok(Self { directory, name, file, identity, owner });
            }
        }
    }

    /// Removes a socket file that nobody listens at. Anything else in the way is left for `bind` to complain about.
    pub(crate) fn clear(&self, socket: &Path) -> Result<(), Error> {
        let Some(name) = socket.file_name() else { return Ok(()) };
        let present = statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW);
        if !present.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket) {
            return Ok(());
        }
        match knock(socket) {
            Ok(_) => Err(taken(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(taken(socket)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // If it cannot be removed, `bind` says why.
                let _ = unlinkat(&self.directory, name, AtFlags::empty());
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        let present = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if present.is_ok_and(|present| identity(&present) == self.identity) {
            // A file that stays is taken over by the next start.
            let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
        }
        // For forked copies too: closing alone would leave it with them. It can only fail for want of a lock.
        let _ = flock(&self.file, FlockOperation::NonBlockingUnlock);
    }
}

/// Who listens at a socket file.
pub(crate) fn knock(socket: &Path) -> io::Result<Option<PeerCredentials>> {
    UnixLink::connect(socket, &LinkOptions::default()).map(|link| link.info().peer)
}

fn open_lock(directory: &OwnedFd, name: &OsString, socket: &Path) -> Result<OwnedFd, Error> {
    // Not waiting at a named pipe that somebody put there; not following a link.
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC
        | OFlags::NONBLOCK
        | OFlags::NOCTTY;
    let file = openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
        failed(socket, format_args!("the lock file {}: {error}", beside(socket).display()), error)
    })?;
    let stat = fstat(&file).map_err(|error| failed(socket, format_args!("{error}"), error))?;
    let own = rustix::process::geteuid().as_raw();
    let why = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        "is not a regular file"
    } else if stat.st_uid != own {
        "belongs to another user"
    } else if stat.st_size != 0 {
        "has content, so it is no lock"
    } else {
        return Ok(file);
    };
    let path = beside(socket);
    Err(Error::new(
        ErrorCode::PermissionDenied,
        format!(
            "cannot listen at unix:{}: the lock file {} {why}; remove it, or listen at another address",
            socket.display(),
            path.display()
        ),
    ))
}

/// The path of the lock file, for people.
fn beside(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn taken(socket: &Path) -> Error {
    let pid = knock(socket).ok().flatten().map(|peer| peer.pid).filter(|pid| *pid != 0);
    let by = if pid == Some(std::process::id()) { "this" } else { "another" };
    let pid = pid.map_or_else(String::new, |pid| format!("pid {pid}, "));
    let address = format!("unix:{}", socket.display());
    let name = socket.file_name().and_then(|name| name.to_str());
    let name = match name.and_then(|name| name.strip_suffix(crate::runtime_dir::SOCKET)) {
        Some(name) => format!("\"{name}\""),
        None => address.clone(),
    };
    let message = format!("{name} is served already by {by} process ({pid}listening at {address})");
    Error::new(ErrorCode::NameTaken, message)
}

fn failed(socket: &Path, why: fmt::Arguments<'_>, error: Errno) -> Error {
    let code = match error {
        Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::ROFS => ErrorCode::PermissionDenied,
        _ => ErrorCode::Unavailable,
    };
    Error::new(code, format!("cannot listen at unix:{}: {why}", socket.display()))
        .with_source(io::Error::from(error))
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests;
