//! The directory in which an engine remembers: this user's alone, and one engine's at a time.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use procall::{Error, ErrorCode};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, statat,
};
use rustix::io::Errno;

/// The store itself.
const FILE: &str = "directory.redb";
/// Held by the kernel for the engine that uses the directory, however that engine ends.
const LOCK: &str = "lock";
/// Bits that let others than the owner in.
const OTHERS: u32 = 0o077;

/// A directory that was checked and locked.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    directory: OwnedFd,
    /// Locked for as long as this is open.
    _lock: OwnedFd,
}

impl Place {
    /// Opens the directory, after making it if need be, and takes it for this engine.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED when it is not this user's alone, NAME_TAKEN when another engine has it.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|error| unusable(path, error))?;
        // If it cannot be made, opening it says why.
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(CWD, &path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => {
                refused(&path, "is no directory; name one, and it is made")
            }
            error => unusable(&path, error.into()),
        })?;
        let stat = fstat(&directory).map_err(|error| unusable(&path, error.into()))?;
        let own = rustix::process::geteuid().as_raw();
        if stat.st_uid != own {
            let why = format!("belongs to user {}, not to user {own}, who runs this", stat.st_uid);
            return Err(refused(&path, &why));
        }
        if stat.st_mode & OTHERS != 0 {
            let why = format!(
                "is open to others (mode {:04o}); `chmod 700 {}`, if nobody else has been in it",
                stat.st_mode & 0o7777,
                path.display()
            );
            return Err(refused(&path, &why));
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&directory, LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| unusable(&path.join(LOCK), error.into()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, directory, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(Error::new(
                ErrorCode::NameTaken,
                format!(
                    "another engine keeps its state in {}; stop it, or name another directory",
                    path.display()
                ),
            )),
            Err(error) => Err(unusable(&path.join(LOCK), error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The store's file; it is made when there is none.
    pub(super) fn file(&self) -> Result<File, Error> {
        let path = self.path.join(FILE);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, FILE, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| unusable(&path, error.into()))?;
        let stat = fstat(&file).map_err(|error| unusable(&path, error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refused(&path, "is no file; move it away"));
        }
        // One that was copied here by hand may be open to others.
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)
            .map_err(|error| unusable(&path, error.into()))?;
        Ok(file.into())
    }

    /// Keeps the store's file under another name; gives that back.
    pub(super) fn put_aside(&self) -> Result<PathBuf, Error> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = format!("{FILE}.damaged-{}", since.as_secs());
        let free = |name: &String| {
            matches!(statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
        };
        let mut names = std::iter::once(first.clone())
            .chain((2_u64..).map(|number| format!("{first}-{number}")));
        let name = names.find(free).unwrap_or_default();
        renameat(&self.directory, FILE, &self.directory, &name)
            .map_err(|error| unusable(&self.path.join(FILE), error.into()))?;
        Ok(self.path.join(name))
    }
}

fn refused(path: &Path, why: &str) -> Error {
    let message = format!("the engine's state cannot be kept in {}: it {why}", path.display());
    Error::new(ErrorCode::PermissionDenied, message)
}

pub(super) fn unusable(path: &Path, error: std::io::Error) -> Error {
    let message = format!(
        "the engine's state cannot be kept in {}: {error}; name a directory of your own",
        path.display()
    );
    let code = match error.kind() {
        std::io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
        _ => ErrorCode::Unavailable,
    };
    Error::new(code, message).with_source(error)
}
