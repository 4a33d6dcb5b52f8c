//! Descriptors that came from a parent.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use procall_transport::fd::{AdoptError, adopt, identity};
use procall_transport::unix::UnixLink;
use procall_transport::{Link, LinkError, LinkOptions, readiness};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};

/// What a test makes inheritable, the child of another test would inherit too, and hold open.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn inheritable(fd: impl AsFd) -> OwnedFd {
    let copy = fcntl_dupfd_cloexec(fd, 64).unwrap();
    fcntl_setfd(&copy, FdFlags::empty()).unwrap();
    copy
}

/// A descriptor such as a parent leaves: at 64 or above, not close-on-exec, and without an owner.
fn inherited(fd: impl AsFd) -> (RawFd, u64, u64) {
    let (dev, ino) = identity(fd.as_fd()).unwrap();
    (inheritable(fd).into_raw_fd(), dev, ino)
}

fn reason(result: io::Result<OwnedFd>) -> AdoptError {
    let error = result.unwrap_err();
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<AdoptError>())
        .expect("a typed reason")
        .clone()
}

#[test]
fn the_right_socket_is_adopted_and_made_close_on_exec() {
    let _alone = alone();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (number, dev, ino) = inherited(&theirs);
    drop(theirs);
    let adopted = adopt(number, dev, ino).unwrap();
    assert_eq!(adopted.as_raw_fd(), number);
    assert!(fcntl_getfd(&adopted).unwrap().contains(FdFlags::CLOEXEC));

    let options = LinkOptions::default();
    let mut peer = UnixLink::from_fd(ours.into(), &options).unwrap();
    drop(UnixLink::from_fd(adopted, &options).unwrap());
    assert!(matches!(peer.receive(), Err(LinkError::Closed)), "it was the only owner");
}

#[test]
fn another_socket_is_refused_and_left_alone() {
    let _alone = alone();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (number, dev, ino) = inherited(&theirs);
    let expected = identity(ours.as_fd()).unwrap();
    let reason = reason(adopt(number, expected.0, expected.1));
    assert_eq!(reason, AdoptError::Another { number, expected, found: (dev, ino) });
    assert!(adopt(number, dev, ino).is_ok(), "the right name still fits");
}

#[test]
fn what_is_not_a_socket_is_refused() {
    let _alone = alone();
    let (number, dev, ino) = inherited(File::open("/dev/null").unwrap());
    assert_eq!(reason(adopt(number, dev, ino)), AdoptError::NotSocket { number });
}

#[test]
fn a_number_that_is_not_open_is_refused() {
    for number in [-1, RawFd::MIN, 999_999, RawFd::MAX] {
        assert_eq!(reason(adopt(number, 1, 1)), AdoptError::NotOpen { number });
    }
}

#[test]
fn adopting_twice_is_refused() {
    let _alone = alone();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (number, dev, ino) = inherited(&ours);
    let _owner = adopt(number, dev, ino).unwrap();
    assert_eq!(reason(adopt(number, dev, ino)), AdoptError::Adopted { number });
}

const INHERITED: &str = "PROCALL_TEST_INHERITED";

#[test]
fn a_child_adopts_its_end() {
    let _alone = alone();
    let options = LinkOptions::default();
    let (mut link, childs) = UnixLink::pair_for_child(&options).unwrap();
    let (dev, ino) = identity(childs.as_fd()).unwrap();
    let passed = inheritable(&childs);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "this_is_the_child"])
        .env(INHERITED, format!("{} {dev} {ino}", passed.as_raw_fd()))
        .spawn()
        .unwrap();
    drop((childs, passed));

    link.buffer(5).unwrap().unwrap().copy_from_slice(b"hello");
    link.commit();
    assert!(link.flush().unwrap());
    assert_eq!(next(&mut link).unwrap(), b"hello");
    assert!(matches!(next(&mut link), Err(LinkError::Closed)), "its end is our end of file");
    assert!(child.wait().unwrap().success());
}

/// Does nothing unless `a_child_adopts_its_end` runs it.
#[test]
fn this_is_the_child() {
    let Ok(inherited) = std::env::var(INHERITED) else { return };
    let numbers: Vec<u64> = inherited.split(' ').map(|number| number.parse().unwrap()).collect();
    let [number, dev, ino] = numbers[..] else { panic!("three numbers") };
    let socket = adopt(RawFd::try_from(number).unwrap(), dev, ino).unwrap();
    let mut link = UnixLink::from_fd(socket, &LinkOptions::default()).unwrap();
    assert_ne!(
        link.info().peer.unwrap().pid,
        std::process::id(),
        "the pair was made by the parent"
    );
    let message = next(&mut link).unwrap();
    link.buffer(message.len()).unwrap().unwrap().copy_from_slice(&message);
    link.commit();
    assert!(link.flush().unwrap());
}

fn next(link: &mut UnixLink) -> Result<Vec<u8>, LinkError> {
    loop {
        if let Some(message) = link.receive()? {
            return Ok(message.to_vec());
        }
        assert!(
            readiness::wait(link.readiness(), Some(Duration::from_secs(10)))?,
            "nothing within 10 s"
        );
    }
}
