//! How a link that is as any other comes to be asked.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::records::{self, Kind, Record};
use super::*;

fn prepared() -> (UnixLink, UnixLink) {
    let (mut left, mut right) = UnixLink::pair(&LinkOptions::default()).unwrap();
    left.prepare(true);
    right.prepare(false);
    (left, right)
}

fn send(link: &mut UnixLink, message: &[u8]) {
    link.buffer(message.len()).unwrap().unwrap().copy_from_slice(message);
    link.commit();
    assert!(link.flush().unwrap());
}

/// Turns both until nothing changes any more: each turn takes what the one before sent.
fn settle(left: &mut UnixLink, right: &mut UnixLink) {
    for _ in 0..12 {
        for link in [&mut *left, &mut *right] {
            link.flush().unwrap();
            assert!(link.receive().unwrap().is_none());
        }
    }
}

#[test]
fn either_side_may_ask_and_both_at_once() {
    for asking in [[true, false], [false, true], [true, true]] {
        let (mut left, mut right) = prepared();
        send(&mut left, b"before");
        if asking[0] {
            left.ask();
        }
        if asking[1] {
            right.ask();
        }
        send(&mut left, b"after");
        assert_eq!(right.receive().unwrap(), Some(&b"before"[..]));
        assert_eq!(right.receive().unwrap(), Some(&b"after"[..]));
        settle(&mut left, &mut right);
        assert_eq!([left.shared(), right.shared()], [Progress::Done, Progress::Done], "{asking:?}");
        send(&mut left, b"in memory");
        assert_eq!(right.receive().unwrap(), Some(&b"in memory"[..]));
        send(&mut right, b"and back");
        assert_eq!(left.receive().unwrap(), Some(&b"and back"[..]));
    }
}

#[test]
fn until_there_is_a_bell_the_socket_tells_everything() {
    let (mut left, mut right) = prepared();
    assert!(left.edges().is_some() && left.bell().is_none());
    left.ask();
    assert!(left.edges().is_some() && left.bell().is_none());
    settle(&mut left, &mut right);
    assert!(left.edges().is_none() && left.bell().is_some());
    // Whoever hears the bell itself is told nothing by the readiness any more, but of the socket.
    left.attended(true);
    left.heard().unwrap();
    assert!(left.rest());
    send(&mut right, b"news");
    assert!(!crate::readiness::wait(left.readiness(), Some(std::time::Duration::ZERO)).unwrap());
    assert_eq!(left.receive().unwrap(), Some(&b"news"[..]));
    right.close();
    left.tell();
    assert!(!left.rest(), "the end is seen once the socket was heard");
    assert!(matches!(left.receive(), Err(LinkError::Closed)));
}

#[test]
fn who_has_not_agreed_is_not_asked() {
    for (prepared, kinds) in [
        (false, &[Kind::Ask][..]),
        (true, &[Kind::Offer]),
        (true, &[Kind::Switch]),
        (true, &[Kind::Decline]),
        (true, &[Kind::Ask, Kind::Ask]),
    ] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut link = UnixLink::from_fd(ours.into(), &LinkOptions::default()).unwrap();
        if prepared {
            link.prepare(true);
        }
        for &kind in kinds {
            let record = Record { kind, capacity: CAPACITY };
            assert!(records::send(theirs.as_fd(), record, &[]).unwrap());
        }
        let error = link.receive().unwrap_err();
        let right = match kinds.len() {
            1 => matches!(error, LinkError::Empty),
            _ => matches!(error, LinkError::SharedMemory(_)),
        };
        assert!(right, "{prepared} {kinds:?}: {error:?}");
    }
}

#[test]
fn an_ask_that_comes_byte_by_byte_is_waited_for() {
    use std::io::Write;
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut link = UnixLink::from_fd(ours.into(), &LinkOptions::default()).unwrap();
    link.prepare(false);
    for byte in (Record { kind: Kind::Ask, capacity: CAPACITY }).encode() {
        assert_eq!(link.shared(), Progress::Unasked);
        theirs.write_all(&[byte]).unwrap();
        assert!(link.receive().unwrap().is_none());
    }
    assert_eq!(link.shared(), Progress::Underway);
}
