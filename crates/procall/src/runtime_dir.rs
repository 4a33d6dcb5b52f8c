//! The private directory where services that were started by hand are found by name.
//!
//! Whoever can write there could put a socket of their own in place of a service's, so a directory that is not this user's alone is
//! refused. It is checked on the descriptor that it was opened with, never on a path that may mean something else a moment later.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use procall_proto::ErrorCode;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, mkdirat, open, openat, statat};
use rustix::io::Errno;

use crate::error::Error;

/// Bits that let others than the owner in.
const OTHERS: u32 = 0o077;
/// Bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;
/// Only owners may rename or remove what lies in the directory.
const STICKY: u32 = 0o1000;

/// Where the directory is, or is to be.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Made by the system, or by the user.
    base: PathBuf,
    /// Made by us.
    below: &'static [&'static str],
}

/// What is known of a file, for the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    kind: FileType,
    uid: u32,
    mode: u32,
}

impl Facts {
    fn of(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        Self { kind, uid: stat.st_uid, mode: stat.st_mode & 0o7777 }
    }
}

/// The directory, opened and found to be this user's alone.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    path: PathBuf,
    directory: OwnedFd,
}

impl Place {
    /// The place that the environment of this process names.
    pub(crate) fn of_environment() -> Result<Self, Error> {
        Self::of(std::env::var_os("XDG_RUNTIME_DIR"), std::env::var_os("HOME"))
    }

    /// `$XDG_RUNTIME_DIR/procall`, or `~/.procall/run` where that is not set.
    pub(crate) fn of(xdg: Option<OsString>, home: Option<OsString>) -> Result<Self, Error> {
        let set = |value: Option<OsString>| value.filter(|value| !value.is_empty());
        let (variable, base, below): (_, _, &[_]) = match (set(xdg), set(home)) {
            (Some(runtime), _) => ("XDG_RUNTIME_DIR", PathBuf::from(runtime), &["procall"]),
            (None, Some(home)) => ("HOME", PathBuf::from(home), &[".procall", "run"]),
            (None, None) => {
                return Err(Error::invalid(
                    "there is no place for sockets, because neither XDG_RUNTIME_DIR nor HOME is set; set one, or give an address such as unix:/path instead of a name",
                ));
            }
        };
        if !base.is_absolute() {
            return Err(Error::invalid(format!(
                "{variable} is \"{}\", which means another directory in every process; set it to an absolute path",
                base.display()
            )));
        }
        Ok(Self { base, below })
    }

    /// The directory's path.
    pub(crate) fn path(&self) -> PathBuf {
        self.base.join(self.below.iter().collect::<PathBuf>())
    }

    /// Opens the directory; `None` when there is none yet.
    pub(crate) fn open(&self) -> Result<Option<RuntimeDir>, Error> {
        self.walk(rustix::process::geteuid().as_raw(), false)
    }

    /// Opens the directory, after making it if need be.
    pub(crate) fn make(&self) -> Result<RuntimeDir, Error> {
        let made = self.walk(rustix::process::geteuid().as_raw(), true)?;
        made.ok_or_else(|| failed(&self.path(), Errno::NOENT))
    }

    fn walk(&self, own: u32, make: bool) -> Result<Option<RuntimeDir>, Error> {
        if make {
            // It usually exists; if it cannot be made, opening it says why.
            let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.base);
        }
        let mut path = self.base.clone();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut directory = match open(&path, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) if !make => return Ok(None),
            Err(error) => return Err(failed(&path, error)),
        };
        for name in self.below {
            let stat = fstat(&directory).map_err(|error| failed(&path, error))?;
            check_parent(&path, Facts::of(&stat), own)?;
            path.push(name);
            directory = match enter(&directory, name, make) {
                Ok(directory) => directory,
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(error @ (Errno::NOTDIR | Errno::LOOP)) => {
                    let stat = statat(&directory, *name, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|_| failed(&path, error))?;
                    check(&path, Facts::of(&stat), own)?;
                    return Err(failed(&path, error));
                }
                Err(error) => return Err(failed(&path, error)),
            };
        }
        let stat = fstat(&directory).map_err(|error| failed(&path, error))?;
        check(&path, Facts::of(&stat), own)?;
        Ok(Some(RuntimeDir { path, directory }))
    }
}

impl RuntimeDir {
    /// Where a service of this name listens.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        socket_in(&self.path, name)
    }

    /// The names of the sockets there, in order. Nobody may listen at some.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let read = rustix::fs::Dir::read_from(&self.directory)
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = read.map_err(|error| failed(&self.path, error))?;
        let mut names: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.file_name().to_str().ok()?.strip_suffix(SOCKET))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// What the file names of sockets end with.
pub(crate) const SOCKET: &str = ".sock";

/// Where a service of this name listens, its directory being at `directory`.
pub(crate) fn socket_in(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{SOCKET}"))
}

/// Opens a directory of ours in another, never through a symbolic link.
fn enter(directory: &OwnedFd, name: &str, make: bool) -> Result<OwnedFd, Errno> {
    if make {
        match mkdirat(directory, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// Whether this is a directory of the user `own` alone.
fn check(path: &Path, facts: Facts, own: u32) -> Result<(), Error> {
    let shown = path.display();
    match facts {
        Facts { kind: FileType::Symlink, .. } => Err(refused(format_args!(
            "{shown} is a symbolic link, and could lead anywhere; remove it (`rm {shown}`), and a directory is made in its place"
        ))),
        Facts { kind, .. } if kind != FileType::Directory => Err(refused(format_args!(
            "{shown} is a {}, not a directory; remove it (`rm {shown}`), and a directory is made in its place",
            name_of(kind)
        ))),
        Facts { uid, .. } if uid != own => Err(foreign(path, uid, own)),
        Facts { mode, .. } if mode & OTHERS != 0 => Err(refused(format_args!(
            "{shown} is open to others (mode {mode:04o}); `chmod 700 {shown}`, if nobody else has been in it"
        ))),
        _ => Ok(()),
    }
}

/// Whether nobody but the user `own` and root can put another directory in the place of one in this.
fn check_parent(path: &Path, facts: Facts, own: u32) -> Result<(), Error> {
    let shown = path.display();
    let Facts { uid, mode, .. } = facts;
    if uid != own && uid != 0 {
        return Err(foreign(path, uid, own));
    }
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Err(refused(format_args!(
            "others can write to {shown} (mode {mode:04o}), and so swap the directory in it; `chmod go-w {shown}`"
        )));
    }
    Ok(())
}

fn foreign(path: &Path, uid: u32, own: u32) -> Error {
    refused(format_args!(
        "{} belongs to user {uid}, not to user {own}, who runs this; set XDG_RUNTIME_DIR to a directory of user {own} (mode 0700)",
        path.display()
    ))
}

fn refused(why: fmt::Arguments<'_>) -> Error {
    Error::new(ErrorCode::PermissionDenied, format!("no private runtime directory: {why}"))
}

fn failed(path: &Path, error: Errno) -> Error {
    refused(format_args!(
        "{} cannot be used ({error}); set XDG_RUNTIME_DIR to a directory of your own (mode 0700)",
        path.display()
    ))
    .with_source(std::io::Error::from(error))
}

fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "thing of another kind",
    }
}

#[cfg(test)]
mod tests;
