//! Secrets come from files or descriptors, never from arguments or the environment, which others can see.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use procall_proto::ErrorCode;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open};

use crate::error::Error;

/// Bits that let others than the owner in.
const OTHERS: u32 = 0o077;
/// Longest file of secrets.
const MAX_LEN: u64 = 64 << 10;

/// What came out of pipes: they can be read only once.
static PIPES: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Reads a file that holds a secret: one of this user's or root's that nobody else may read, or an inherited descriptor such as `/dev/fd/3`.
///
/// # Errors
///
/// PERMISSION_DENIED with the command that helps when others may read it, INVALID_ARGUMENT when it cannot be read or has more than 64 KiB.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        Error::invalid(format!("the secret in {shown} cannot be read: {error}")).with_source(error)
    };
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(read) = pipes.get(path) {
        return Ok(read.clone());
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let stat = fstat(&file).map_err(|error| unreadable(error.into()))?;
    check(path, &stat, rustix::process::geteuid().as_raw())?;
    let mut secret = Vec::new();
    File::from(file).take(MAX_LEN + 1).read_to_end(&mut secret).map_err(unreadable)?;
    if secret.len() as u64 > MAX_LEN {
        return Err(Error::invalid(format!("{shown} has more than {MAX_LEN} bytes")));
    }
    if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
        pipes.insert(path.to_owned(), secret.clone());
    }
    Ok(secret)
}

fn check(path: &Path, stat: &Stat, own: u32) -> Result<(), Error> {
    let shown = path.display();
    let denied = |message| Err(Error::new(ErrorCode::PermissionDenied, message));
    if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Fifo) {
        return Err(Error::invalid(format!("{shown} is no file, so no secret is read from it")));
    }
    if stat.st_uid != own && stat.st_uid != 0 {
        return denied(format!(
            "{shown} belongs to user {}, who could change the secret in it; make it this user's: chown {own} {shown}",
            stat.st_uid
        ));
    }
    if stat.st_mode & OTHERS != 0 {
        return denied(format!(
            "{shown} holds a secret, and others may read it (mode {:04o}); run: chmod 600 {shown}",
            stat.st_mode & 0o7777
        ));
    }
    Ok(())
}

/// The one secret that a file holds: its text without the white space around it.
///
/// # Errors
///
/// Those of [`read_secret`], and INVALID_ARGUMENT for a file that holds none, or more than one.
pub fn read_token(path: &Path) -> Result<Vec<u8>, Error> {
    let secret = read_secret(path)?;
    let token = secret.trim_ascii();
    if token.is_empty() || token.iter().any(u8::is_ascii_whitespace) {
        return Err(Error::invalid(format!(
            "{} is to hold one secret and nothing else; the engine's own file has a name and rights beside each",
            path.display()
        )));
    }
    Ok(token.to_vec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_of_ones_own_is_read() {
        let (_directory, path) = file("  s3cret\n", 0o600);
        assert_eq!(read_token(&path).unwrap(), b"s3cret");
        std::fs::write(&path, "another").unwrap();
        assert_eq!(read_token(&path).unwrap(), b"another", "a new one counts at once");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_fix_and_without_the_secret() {
        for mode in [0o644, 0o640, 0o604, 0o660] {
            let (_directory, path) = file("s3cret", mode);
            let error = read_token(&path).unwrap_err();
            assert_eq!(error.code(), ErrorCode::PermissionDenied);
            let text = error.to_string();
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn a_file_of_another_is_refused() {
        let (_directory, path) = file("s3cret", 0o600);
        let mut stat = fstat(File::open(&path).unwrap()).unwrap();
        check(&path, &stat, stat.st_uid).unwrap();
        stat.st_uid = 4711;
        let error = check(&path, &stat, 4712).unwrap_err();
        assert!(error.message().contains("chown 4712"), "{error}");
    }

    #[test]
    fn what_holds_no_secret_or_several_is_refused() {
        for text in ["", " \n", "name s3cret all"] {
            let (_directory, path) = file(text, 0o600);
            let error = read_token(&path).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            assert!(!error.to_string().contains("s3cret"));
        }
        let (directory, _path) = file("", 0o600);
        assert_eq!(read_token(directory.path()).unwrap_err().code(), ErrorCode::InvalidArgument);
        let missing = directory.path().join("missing");
        assert_eq!(read_token(&missing).unwrap_err().code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_pipe_is_read_once_and_remembered() {
        use std::io::Write;
        use std::os::fd::AsRawFd;

        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"s3cret\n").unwrap();
        drop(writer);
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        assert_eq!(read_token(&path).unwrap(), b"s3cret");
        assert_eq!(read_token(&path).unwrap(), b"s3cret");
        PIPES.lock().unwrap().remove(&path);
    }
}
