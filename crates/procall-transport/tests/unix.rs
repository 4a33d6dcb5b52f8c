//! What is particular to Unix sockets.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use procall_transport::readiness::Set;
use procall_transport::unix::{UnixLink, UnixListener};
use procall_transport::{Link, LinkError, LinkOptions};

fn assert_own_credentials(link: &UnixLink) {
    let peer = link.info().peer.expect("the kernel knows");
    assert_eq!(peer.pid, std::process::id());
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    assert_eq!(peer.gid, rustix::process::getegid().as_raw());
}

#[test]
fn the_kernel_vouches_for_the_peer() {
    let options = LinkOptions::default();
    let (left, right) = UnixLink::pair(&options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let client = UnixLink::connect(listener.path(), &options).unwrap();
    let server = listener.accept(&options).unwrap().unwrap();
    for link in [&left, &right, &client, &server] {
        assert_own_credentials(link);
    }
    assert_eq!(client.info().address, format!("unix:{}", listener.path().display()));
}

#[test]
fn a_listener_refuses_a_path_that_exists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    fs::write(&path, "precious").unwrap();
    let error = UnixListener::bind(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    fs::remove_file(&path).unwrap();
    let first = UnixListener::bind(&path).unwrap();
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(path.exists(), "a refused listener removes nothing");
    drop(first);
    UnixListener::bind(&path).unwrap();
}

#[test]
fn only_the_owner_may_connect() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let mode = fs::metadata(listener.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_dropped_listener_removes_its_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(!path.exists());

    let ours = UnixListener::bind(&path).unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    let theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists(), "it is another's by now");
    assert!(UnixLink::connect(theirs.path(), &LinkOptions::default()).is_ok());
}

#[test]
fn a_listener_is_ready_when_somebody_connects() {
    let options = LinkOptions::default();
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let set = Set::new().unwrap();
    set.add(listener.as_fd(), 5, false).unwrap();
    let mut tokens = Vec::new();
    set.wait(Some(Duration::ZERO), &mut tokens).unwrap();
    assert_eq!(tokens, []);
    assert!(listener.accept(&options).unwrap().is_none());

    let _client = UnixLink::connect(listener.path(), &options).unwrap();
    set.wait(Some(Duration::from_secs(10)), &mut tokens).unwrap();
    assert_eq!(tokens, [5]);
    assert!(listener.accept(&options).unwrap().is_some());
    assert!(listener.accept(&options).unwrap().is_none());
}

#[test]
fn a_listener_that_went_refuses_and_its_links_live_on() {
    let options = LinkOptions::default();
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let path = listener.path().to_owned();
    let mut client = UnixLink::connect(&path, &options).unwrap();
    let mut server = listener.accept(&options).unwrap().unwrap();
    // As a crash leaves it: the file is there and nobody listens.
    fs::rename(&path, folder.path().join("stale")).unwrap();
    drop(listener);
    let error = UnixLink::connect(&folder.path().join("stale"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

    client.buffer(1).unwrap().unwrap()[0] = 1;
    client.commit();
    assert!(client.flush().unwrap());
    assert_eq!(server.receive().unwrap(), Some(&[1][..]));
}

#[test]
fn a_full_accept_queue_does_not_make_connect_wait() {
    let options = LinkOptions::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _busy = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        match UnixLink::connect(&path, &options) {
            Ok(link) if waiting.len() < 400 => waiting.push(link),
            // The standard library's queue is as long as the machine allows, which may be more than we want to open.
            Ok(_) => return,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
}

#[test]
fn a_path_that_is_too_long_is_explained() {
    let long = format!("/tmp/{}", "x".repeat(200));
    let error = UnixListener::bind(&long).unwrap_err();
    assert!(error.to_string().contains("at most 107 bytes"), "{error}");
}

#[test]
fn a_pair_is_not_inherited_by_accident() {
    let (link, child) = UnixLink::pair_for_child(&LinkOptions::default()).unwrap();
    for fd in [child.as_fd(), link.readiness()] {
        let flags = rustix::io::fcntl_getfd(fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}

#[test]
fn the_childs_death_is_the_end_of_file() {
    let (mut link, child) = UnixLink::pair_for_child(&LinkOptions::default()).unwrap();
    drop(child);
    assert!(matches!(link.receive(), Err(LinkError::Closed)));
}
