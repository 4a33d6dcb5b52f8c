use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("calc.sock");
    (folder, socket)
}

#[test]
fn only_one_holds_it() {
    let (folder, socket) = folder();
    let lock = Lock::take(&socket).unwrap();
    let file = folder.path().join("calc.sock.lock");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let error = Lock::take(&socket).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NameTaken);
    assert_eq!(
        error.message(),
        format!(
            "\"calc\" is served already by another process (listening at unix:{})",
            socket.display()
        )
    );
    let _other = Lock::take(&folder.path().join("other.sock")).unwrap();
    drop(lock);
    assert!(!file.exists());
    Lock::take(&socket).unwrap();
}

#[test]
fn who_holds_it_is_named() {
    let (_folder, socket) = folder();
    let _lock = Lock::take(&socket).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    let error = Lock::take(&socket).unwrap_err();
    let pid = std::process::id();
    let by = format!("is served already by this process (pid {pid}, listening at unix:");
    assert!(error.message().contains(&by), "{error}");
}

#[test]
fn a_file_that_was_left_is_taken_over() {
    let (folder, socket) = folder();
    let file = folder.path().join("calc.sock.lock");
    fs::write(&file, "").unwrap();
    let left = fs::metadata(&file).unwrap().ino();
    let _lock = Lock::take(&socket).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().ino(), left);
}

#[test]
fn a_file_that_was_removed_meanwhile_is_no_lock() {
    let (folder, socket) = folder();
    let file = folder.path().join("calc.sock.lock");
    let first = Lock::take(&socket).unwrap();
    // Somebody cleans up: the next one makes a file of its own, and the first must not remove that.
    fs::remove_file(&file).unwrap();
    let _second = Lock::take(&socket).unwrap();
    drop(first);
    assert!(file.exists());
    assert_eq!(Lock::take(&socket).unwrap_err().code(), ErrorCode::NameTaken);
}

#[test]
fn whoever_waits_at_a_removed_file_takes_the_new_one() {
    // Eight threads take and give back one lock as fast as they can: at no time do two of them hold it.
    let (_folder, socket) = folder();
    let holders = std::sync::atomic::AtomicUsize::new(0);
    let taken = std::sync::atomic::AtomicUsize::new(0);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    match Lock::take(&socket) {
                        Ok(lock) => {
                            assert_eq!(holders.fetch_add(1, order), 0);
                            taken.fetch_add(1, order);
                            holders.fetch_sub(1, order);
                            drop(lock);
                        }
                        Err(error) => assert_eq!(error.code(), ErrorCode::NameTaken, "{error}"),
                    }
                }
            });
        }
    });
    assert!(taken.load(order) > 0);
    assert!(Lock::take(&socket).is_ok(), "free in the end");
}

#[test]
fn files_that_are_no_locks_are_left_alone() {
    let (folder, socket) = folder();
    let file = folder.path().join("calc.sock.lock");
    #[track_caller]
    fn refused(socket: &Path, why: &str) {
        let error = Lock::take(socket).unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied, "{error}");
        assert!(error.message().contains(why), "{error}");
    }

    fs::write(&file, "my notes").unwrap();
    refused(&socket, "has content, so it is no lock; remove it");
    assert_eq!(fs::read_to_string(&file).unwrap(), "my notes");
    fs::remove_file(&file).unwrap();

    symlink(folder.path().join("elsewhere"), &file).unwrap();
    refused(&socket, "calc.sock.lock");
    assert!(!folder.path().join("elsewhere").exists());
    fs::remove_file(&file).unwrap();

    let directory = fs::File::open(folder.path()).unwrap();
    rustix::fs::mknodat(directory, "calc.sock.lock", FileType::Fifo, Mode::RWXU, 0).unwrap();
    refused(&socket, "is not a regular file");
}

#[test]
fn a_path_without_a_directory_names_what_is_missing() {
    let error = Lock::take(Path::new("/nowhere/at/all.sock")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.message().contains("the directory /nowhere/at"), "{error}");
    assert!(error.message().contains("make it first"), "{error}");
    assert_eq!(Lock::take(Path::new("/")).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn only_a_socket_that_nobody_listens_at_is_cleared() {
    let (_folder, socket) = folder();
    let lock = Lock::take(&socket).unwrap();

    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    lock.clear(&socket).unwrap();
    assert!(!socket.exists());

    // Somebody who does not know the lock listens there.
    let listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(lock.clear(&socket).unwrap_err().code(), ErrorCode::NameTaken);
    drop(listener);
    fs::remove_file(&socket).unwrap();

    fs::write(&socket, "mine").unwrap();
    lock.clear(&socket).unwrap();
    assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
}
