//! The second way in: for workers whose launcher closed the inherited descriptor.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use procall::transport::LinkOptions;
use procall::transport::shm::Choice;
use procall::transport::unix::{UnixLink, UnixListener};
use rustix::fs::{Mode, OFlags};
use rustix::rand::{GetRandomFlags, getrandom};

/// A socket that one worker may dial with its one-time token.
///
/// It is made for one start of one worker and dropped once that worker has come by either way. Its file is unlinked as soon as it exists,
/// and is reached through this process's own entry in `/proc` instead: so even `kill -9` of this process leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Dial {
    listener: UnixListener,
    options: LinkOptions,
    /// Holds the unlinked file, which is what the path names.
    _file: Option<OwnedFd>,
    path: PathBuf,
    /// Only where `/proc` is not there: the private directory of the socket.
    folder: Option<PathBuf>,
}

impl Dial {
    pub(crate) fn new(choice: Option<Choice>) -> io::Result<Self> {
        let options = LinkOptions { choice, ..LinkOptions::default() };
        let folder = private_folder(&random::<8>()?)?;
        let file = folder.join("channel");
        let listener = UnixListener::bind(&file).inspect_err(|_| remove(&folder))?;
        match through_proc(&file) {
            Ok((handle, path)) => {
                let _ = std::fs::remove_file(&file);
                remove(&folder);
                Ok(Self { listener, options, _file: Some(handle), path, folder: None })
            }
            Err(_) => Ok(Self { listener, options, _file: None, path: file, folder: Some(folder) }),
        }
    }

    /// What the worker connects to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next worker that dialled; whether it knows the token, the session will tell.
    pub(crate) fn accept(&self) -> io::Result<Option<UnixLink>> {
        self.listener.accept(&self.options)
    }
}

impl AsFd for Dial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_file(folder.join("channel"));
            remove(folder);
        }
    }
}

/// A path to the file that goes on working once the file has no name.
fn through_proc(file: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let handle =
        rustix::fs::open(file, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), handle.as_raw_fd()));
    let (named, held) = (rustix::fs::stat(&path)?, rustix::fs::fstat(&handle)?);
    if (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok((handle, path))
}

fn private_folder(random: &[u8]) -> io::Result<PathBuf> {
    let name = format!("procall-{}-{}", std::process::id(), hex(random));
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let places = runtime.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in places {
        let folder = place.join(&name);
        // A socket's path has room for 107 bytes.
        if folder.as_os_str().len() > 98 {
            continue;
        }
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn remove(folder: &Path) {
    let _ = std::fs::remove_dir(folder);
}

/// What a worker shows to prove that it is the one that was started.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new() -> io::Result<Self> {
        random().map(Self)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// As hexadecimal digits.
    pub(crate) fn text(&self) -> String {
        hex(&self.0)
    }
}

/// It is a secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    if filled != N {
        return Err(io::Error::other("the kernel gave fewer random bytes than asked for"));
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_be_dialled_and_leaves_no_name() {
        let dial = Dial::new(None).unwrap();
        assert!(dial.folder.is_none(), "there is a /proc here");
        let _link = UnixLink::connect(dial.path(), &LinkOptions::default()).unwrap();
        assert!(dial.accept().unwrap().is_some());
    }

    #[test]
    fn a_token_is_never_the_same() {
        let (one, other) = (Token::new().unwrap(), Token::new().unwrap());
        assert_eq!(one.text().len(), 64);
        assert_ne!(one.text(), other.text());
    }
}
