//! One test, alone in its process because it takes all descriptors there are.

use std::fs::File;

use procall_transport::shm::Progress;
use procall_transport::unix::{UnixLink, UnixListener};
use procall_transport::{Link, LinkOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// All descriptors that this process can still have.
fn all_there_are() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// A pair on its way to shared memory, one step of which finds no descriptors: it stays with the socket, and works.
fn stays_with_its_socket(step: usize) {
    let (mut left, mut right) = UnixLink::pair(&LinkOptions::default()).unwrap();
    left.prepare(true);
    right.prepare(false);
    left.ask();
    for turn in 0..12 {
        for link in [&mut left, &mut right] {
            link.flush().unwrap();
            // Only now: what was sent has left the sender's hands.
            let all = if turn == step { all_there_are() } else { Vec::new() };
            assert!(link.receive().unwrap().is_none());
            drop(all);
        }
    }
    for link in [&left, &right] {
        let stayed = matches!(link.shared(), Progress::Failed(_) | Progress::Declined);
        assert!(stayed, "{step}: {:?}", link.shared());
    }
    left.buffer(2).unwrap().unwrap().copy_from_slice(b"hi");
    left.commit();
    assert!(left.flush().unwrap());
    assert_eq!(right.receive().unwrap(), Some(&b"hi"[..]));
}

#[test]
fn running_out_of_descriptors_is_an_error_and_no_end() {
    let options = LinkOptions::default();
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let _client = UnixLink::connect(listener.path(), &options).unwrap();

    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(40), ..limits }).unwrap();
    let all = all_there_are();
    let error = listener.accept(&options).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    assert!(UnixLink::pair(&options).is_err());
    drop(all);
    assert!(listener.accept(&options).unwrap().is_some(), "the peer waited in the queue");
    // First whoever leads finds none for what it makes; then who answers; then the offer's answer has no room.
    for step in [0, 2, 3] {
        stays_with_its_socket(step);
    }
}
